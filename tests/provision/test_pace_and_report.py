"""Waiting when the server says so, what is handed out, and what a plan looks like."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from boathouse.cli.provision import plan_text
from boathouse.provision import connect, report
from boathouse.provision.api import Pace, Refused
from boathouse.provision.fleet import Fleet
from boathouse.provision.people import checked
from boathouse.provision.report import COLUMNS, Row
from boathouse.provision.runner import Outcome
from tests.provision.conftest import Desk


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_what_one_call_must_wait_all_wait():
    clock = Clock()
    pace = Pace(clock)
    pace.wait()
    assert clock.slept == []
    pace.sleep(3.0)
    assert (clock.now, pace.waits) == (103.0, 1)
    pace._until = clock.now + 5.0  # another thread was told to wait
    pace.wait()
    assert clock.now == 108.0


class Busy(BaseHTTPRequestHandler):
    """Says 429 to the first two calls of each list, and then answers."""

    asked = 0

    def do_GET(self) -> None:
        headers: dict[str, str] = {}
        if self.path.startswith("/.well-known"):
            status, body = 200, {"oidc_endpoint": "", "account_id": "a", "workspace_id": "7", "cloud": "AWS"}
        elif "Me" in self.path:
            status, body, headers = 200, {"id": "1"}, {"X-Databricks-Org-Id": "7"}
        elif "broken" in self.path:
            status, body = 500, {"error_code": "INTERNAL_ERROR", "message": "oh"}
        elif "there" in self.path:
            status, body = 409, {"error_code": "ALREADY_EXISTS", "message": "it is there"}
        else:
            Busy.asked += 1
            status, body = 200, {"said": self.headers["X-Databricks-Workspace-Id"]}
            if Busy.asked <= 2:
                status, body = 429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slowly"}
                headers = {"Retry-After": "17"}
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_sdk_waits_as_long_as_the_server_says(busy: str):
    clock = Clock()
    pace = Pace(clock)
    place = connect.place(Fleet(fleet="f", people=[]), busy, "dapi", 2, pace)
    assert place.name == f"{busy} workspace 7"
    assert place.workspace.do("GET", "/api/2.0/x") == {"said": "7"}
    assert pace.waits == 2 and all(17 <= each < 19 for each in clock.slept)
    with pytest.raises(Refused) as broken:
        place.workspace.do("GET", "/api/2.0/broken")
    assert broken.value.unsure and broken.value.code == "INTERNAL_ERROR"
    with pytest.raises(Refused) as there:
        place.workspace.do("GET", "/api/2.0/there")
    assert there.value.exists and not there.value.unsure
    with pytest.raises(Refused, match="account: true"):
        place.account.do("GET", "/api/2.0/x")


def test_a_host_that_does_not_answer_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # nobody listens, and nobody else comes to
        host = f"http://127.0.0.1:{probe.getsockname()[1]}"
        monkeypatch.setattr(connect, "_KNOCK", 1)
        with pytest.raises(Refused, match=f"^{host} does not answer; is it the right host, and does it run"):
            connect.place(Fleet(fleet="f", people=[]), host, "dapi", 1, Pace())
    assert capfd.readouterr().err == ""


def test_a_report_has_no_formulas_and_no_markup():
    evil = Row("=cmd@x.org", "<script>alert(1)</script>", problem=["+1", "two"])
    text = report.as_csv([evil])
    assert text.splitlines()[1].startswith("'=cmd@x.org,<script>") and text.startswith("\ufeff" + ",".join(COLUMNS))
    page = report.as_html("lab & co", "https://h", [evil])
    assert "<script>" not in page and "lab &amp; co" in page and "&lt;script&gt;" in page


def test_rows_say_what_each_person_has_and_lacks(desk: Callable[..., Desk]):
    d = desk(start="{clusters: all}")
    d.platform.fails_to_start = {"lab-bob"}
    outcomes: list[Outcome] = d.apply()
    session, place = d.session(), d.platform.place()
    with session.journal(place, writing=False) as journal:
        ann, bob, celik = report.rows(session.people, session.wanted, journal.records, outcomes)
    assert (ann.state, ann.schemas, ann.cluster) == ("ready", ["main.ann"], ["lab-ann"])
    assert ann.cluster_id and ann.started_s
    assert bob.state == "incomplete" and bob.problem == ["launch: did not start: DOCKER_IMAGE_PULL_FAILURE (image: x)"]
    assert len(celik.cells()) == len(COLUMNS)


def test_a_plan_is_read_by_people(desk: Callable[..., Desk]):
    d = desk()
    session, place = d.session(), d.platform.place()
    with session.journal(place, writing=False) as journal:
        planned = session.plan(session.look(place, journal), journal)
    text = plan_text(session, planned, ["gone@x.org"], ["schema main.old"])
    assert "  + user ann@x.org\n      name: Ann\n" in text and "      node_type_id: m5.large\n" in text
    assert "No longer wanted; `undo` takes them back with the rest:\n  schema main.old\n" in text
    assert "  + grant CREATE_TABLE, USE_SCHEMA on schema main.ann to ann@x.org" in text
    assert "  + permission CAN_RESTART on cluster lab-ann to ann@x.org" in text and "  + stop cluster lab-ann" in text
    assert "No longer in the file: gone@x.org." in text
    assert text.splitlines()[-1] == f"Plan for 3 people: {len(planned)} to make, 0 to change, 0 as wanted."
    d.apply()
    d.file.write_text(d.file.read_text().replace("m5.large", "m5.xlarge"))
    session = d.session()
    with session.journal(place, writing=False) as journal:
        planned = session.plan(session.look(place, journal), journal)
    assert "  ~ cluster lab-ann\n      node_type_id: m5.large -> m5.xlarge" in plan_text(session, planned, [], [])


def test_a_long_plan_is_shortened():
    from boathouse.provision.diff import CREATE, Action
    from boathouse.provision.wishes import wishes

    people = checked([("here", f"p{number}@x.org") for number in range(50)], {}, [])
    session: Any = SimpleNamespace(people=people)
    planned = [Action(wish, CREATE) for wish in wishes(Fleet(fleet="f", people=[]), people, [])]
    assert "+ ... and 10 more: user (--all shows them)" in plan_text(session, planned, [], [])
    assert "p49@x.org" in plan_text(session, planned, [], [], everything=True)
