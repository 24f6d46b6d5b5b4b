"""Pulls without an engine: progress, endings, and what is kept of credentials."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boathouse.dataplane.contract import Credentials, NodeFailure, Pull, PullState, Renewable
from boathouse.dataplane.engine import pull
from boathouse.dataplane.engine.client import EngineRefused
from boathouse.dataplane.engine.pull import Progress, Pulls, auth_header, kept_name, without_secrets
from boathouse.images import references

PINNED = "registry.example/team/base@sha256:" + "a" * 64
ROBOT = Credentials("robot", "pa:ss w0rd")


class Answer:
    """The engine's answer to a pull; `gate` holds it back."""

    def __init__(self, engine: "FakeEngine", lines: list[dict[str, Any]], status: int = 200) -> None:
        self.engine, self.lines, self.status_code = engine, lines, status
        self.text, self.raw = json.dumps({"message": "no such host"}), None

    def iter_lines(self) -> Iterator[bytes]:
        for line in self.lines:
            yield json.dumps(line).encode()
        assert self.engine.gate.wait(5)
        self.engine.present = not any("error" in line for line in self.lines)

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class FakeEngine:
    """As much of an EngineClient and of its API as a pull uses."""

    is_podman = False
    base_url, api_version = "http+docker://localhost", "1.41"

    def __init__(self, lines: list[dict[str, Any]], status: int = 200) -> None:
        self.lines, self.status, self.present = lines, status, False
        self.gate, self.posts = threading.Event(), []

    @contextlib.contextmanager
    def calls(self) -> Iterator["FakeEngine"]:
        yield self

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        yield

    def inspect_image(self, reference: str) -> dict[str, str]:
        if not self.present:
            raise EngineRefused(404, "no such image")
        return {"Id": "sha256:local"}

    def post(self, url: str, **request: Any) -> Answer:
        self.posts.append((url, request))
        return Answer(self, self.lines, self.status)


def pulls_of(engine: FakeEngine) -> Pulls:
    return Pulls(engine, None)  # type: ignore[arg-type]


def ended(engine: FakeEngine, pulls: Pulls) -> Pull:
    news = threading.Event()
    assert pulls.pull(PINNED, ROBOT, False, news.set).state is PullState.PULLING
    engine.gate.set()
    assert news.wait(5)
    return pulls.pull(PINNED, ROBOT, False, None)


def test_progress_adds_up_the_layers() -> None:
    progress = Progress()
    for line in (
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 10, "total": 100}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 5, "total": 50}},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 60, "total": 100}},
        {"status": "Download complete", "id": "b", "progressDetail": {}},
        {"status": "Digest: sha256:..."},
    ):
        progress.read(line)
    assert (progress.done, progress.total, progress.error) == (110, 150, "")


def test_a_pull_that_succeeds() -> None:
    engine = FakeEngine([{"status": "Downloading", "id": "a", "progressDetail": {"current": 7, "total": 9}}])
    answer = ended(engine, pulls_of(engine))
    assert answer == Pull(PullState.PRESENT, image="sha256:local", bytes_done=7, bytes_total=9)
    url, request = engine.posts[0]
    assert url.endswith("/v1.41/images/create")
    assert request["params"] == {"fromImage": "registry.example/team/base", "tag": "sha256:" + "a" * 64}


def test_two_who_want_the_same_share_one_pull() -> None:
    engine, news = FakeEngine([]), [threading.Event(), threading.Event()]
    pulls = pulls_of(engine)
    for one in news:
        assert pulls.pull(PINNED, ROBOT, False, one.set).state is PullState.PULLING
    engine.gate.set()
    assert all(one.wait(5) for one in news)
    assert len(engine.posts) == 1


def test_a_failure_is_told_once_and_then_tried_again() -> None:
    engine = FakeEngine([{"error": "denied: Basic cm9ib3Q6cGE6c3MgdzByZA== for pa:ss w0rd"}])
    pulls = pulls_of(engine)
    answer = ended(engine, pulls)
    assert (answer.state, answer.error) == (PullState.FAILED, "denied: Basic ******** for ********")
    assert pulls.pull(PINNED, ROBOT, False, None).state is PullState.PULLING
    pulls.close()


def test_an_engine_that_refuses_at_once() -> None:
    engine = FakeEngine([], status=500)
    assert ended(engine, pulls_of(engine)).error == "500: no such host"


@pytest.mark.parametrize("reference", ["base", "base:latest", "base@sha256:abc", "a b@sha256:" + "a" * 64, ""])
def test_only_digests_are_pulled(reference: str) -> None:
    with pytest.raises(NodeFailure):
        pulls_of(FakeEngine([])).pull(reference, None, False, None)


def test_credentials_travel_in_a_header_and_nowhere_else() -> None:
    header = auth_header(ROBOT)["X-Registry-Auth"]
    assert json.loads(base64.urlsafe_b64decode(header)) == {"username": "robot", "password": "pa:ss w0rd"}
    assert json.loads(base64.urlsafe_b64decode(auth_header(None)["X-Registry-Auth"])) == {}
    assert "w0rd" not in repr(ROBOT)


def test_words_are_bounded() -> None:
    assert len(without_secrets("x" * 10_000, None)) == 300


class Amazon:
    """Credentials of which the first have ended."""

    def __init__(self) -> None:
        self.renewed: list[bool] = []

    def get(self, renew: bool) -> Credentials:
        self.renewed.append(renew)
        return Credentials("AWS", "fresh" if renew else "old")


def test_credentials_that_have_ended_are_renewed_once() -> None:
    class Refusing(FakeEngine):
        def post(self, url: str, **request: Any) -> Answer:
            given = json.loads(base64.urlsafe_b64decode(request["headers"]["X-Registry-Auth"]))["password"]
            self.lines = [] if given == "fresh" else [{"error": "unauthorized: authentication required"}]
            return super().post(url, **request)

    engine, amazon, news = Refusing([]), Amazon(), threading.Event()
    pulls, key = pulls_of(engine), Renewable("profile", amazon.get)
    engine.gate.set()
    assert pulls.pull(PINNED, key, False, news.set).state is PullState.PULLING
    assert news.wait(5)
    assert pulls.pull(PINNED, key, False, None).state is PullState.PRESENT
    assert amazon.renewed == [False, True]


def test_credentials_that_cannot_be_had_are_the_reason() -> None:
    def get(renew: bool) -> Credentials:
        raise NodeFailure("SECRET_PERMISSION_DENIED", "ann may not read the scope")

    engine, news = FakeEngine([]), threading.Event()
    pulls, key = pulls_of(engine), Renewable("profile", get)
    pulls.pull(PINNED, key, False, news.set)
    assert news.wait(5)
    answer = pulls.pull(PINNED, key, False, None)
    assert (answer.state, answer.code, answer.error) == (
        PullState.FAILED, "SECRET_PERMISSION_DENIED", "ann may not read the scope",
    )  # fmt: skip
    assert engine.posts == []


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("docker.io/library/debian", "docker-io/library/debian"),
        ("registry.corp:5000/team/app", "registry-corp-5000/team/app"),
        ("[2001:db8::1]:5000/a", "2001-db8-1-5000/a"),
        ("docker.io/" + "a" * 200, ""),
    ],
)
def test_the_name_under_which_an_engine_keeps_what_it_got_from_us(name: str, place: str) -> None:
    repository, tag = kept_name(f"{name}@sha256:{'a' * 64}")
    assert repository == "localhost/boathouse/pulled" + (f"/{place}" if place else "") and tag == "a" * 64
    parsed = references.parse(f"{repository}:{tag}")
    assert (parsed.host, parsed.tag) == ("localhost", tag)


@pytest.mark.parametrize(
    ("digests", "state"),
    [
        ([f"127.0.0.1:4711/team/base@{PINNED.partition('@')[2]}"], PullState.PRESENT),
        ([f"localhost/boathouse/pulled/registry-example/team/base@sha256:{'b' * 64}"], PullState.PULLING),
        ([], PullState.PULLING), (None, PullState.PULLING),
    ],
)  # fmt: skip
def test_a_kept_name_is_believed_only_with_its_digest(digests: list[str] | None, state: PullState) -> None:
    """Whoever builds on the engine can give an image of theirs the name of somebody's pull."""

    class Named(FakeEngine):
        def inspect_image(self, reference: str) -> dict[str, Any]:
            if reference != ":".join(kept_name(PINNED)):
                raise EngineRefused(404, "no such image")
            return {"Id": "sha256:named", "RepoDigests": digests}

    engine = Named([])
    engine.gate.set()
    answer = pulls_of(engine).pull(PINNED, None, False, None)
    assert answer.state is state and answer.image == ("sha256:named" if state is PullState.PRESENT else "")


class Deaf(FakeEngine):
    """An engine that does not even begin to answer while its registry is silent."""

    def post(self, url: str, **request: Any) -> Answer:
        assert self.gate.wait(10)
        return super().post(url, **request)


class Time:
    """Seconds that pass with every look at the clock."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def given_up(engine: FakeEngine, pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> Pull:
    """How a pull ends of which nobody hears anything."""
    monkeypatch.setattr(pull, "WATCH_SECONDS", 0.005)
    news = threading.Event()
    assert pulls.pull(PINNED, ROBOT, False, news.set).state is PullState.PULLING
    assert news.wait(5), "nobody gave up"
    answer = pulls.pull(PINNED, ROBOT, False, None)
    engine.gate.set()
    return answer


@pytest.mark.parametrize("engine", [FakeEngine([]), Deaf([])], ids=["silent in the middle", "silent from the beginning"])
def test_a_stall_is_given_up_though_the_engine_still_waits(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    pulls = Pulls(engine, None, Time(10.0))  # type: ignore[arg-type]
    answer = given_up(engine, pulls, monkeypatch)
    assert (answer.state, answer.error) == (PullState.FAILED, "stalled: nothing arrived for 30 s")


def test_a_pull_that_never_ends_is_given_up_after_twenty_minutes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine, clock = Deaf([]), Time(10.0)
    pulls = Pulls(engine, tmp_path, clock)  # type: ignore[arg-type]
    sizes = iter(range(0, 1 << 30, 1000))
    monkeypatch.setattr(pulls, "_size", lambda: next(sizes))  # something arrives at every look
    answer = given_up(engine, pulls, monkeypatch)
    assert (answer.state, answer.error) == (PullState.FAILED, "not finished after 20 minutes")


def test_what_never_ends_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = Deaf([])
    pulls = Pulls(engine, tmp_path)  # type: ignore[arg-type]
    sizes = iter(range(0, 1 << 40, 100 << 20))
    monkeypatch.setattr(pulls, "_size", lambda: next(sizes))
    monkeypatch.setattr(pull.shutil, "disk_usage", lambda _: SimpleNamespace(free=pull.DISK_RESERVE - 1))
    answer = given_up(engine, pulls, monkeypatch)
    assert answer.state is PullState.FAILED and answer.error.startswith("no space left: less than 512 MiB are free")
