"""What `boathouse doctor` finds beside the engine's own probes, each with its fix."""

import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from boathouse.cli import doctor, main
from boathouse.dataplane.engine.probes import Finding
from boathouse.images.failures import PullFailure
from boathouse.releases.runtimes import RUNTIMES
from boathouse.settings import load
from boathouse.store.directory import DataDirectory


@pytest.fixture
def settings(tmp_path):
    return load({"data": str(tmp_path / "data"), "cache": str(tmp_path / "cache")}, {})


def test_a_clock_that_was_set_back(settings):
    settings.data.mkdir()
    assert doctor.clock(settings).ok
    database = settings.data / "boathouse.db"
    database.touch()
    assert doctor.clock(settings).ok
    os.utime(database, (time.time() + 7200,) * 2)
    found = doctor.clock(settings)
    assert not found.ok and "behind the last write" in found.detail and "timedatectl" in found.fix


def test_no_release_is_fatal_and_one_is_enough(settings, monkeypatch):
    found = doctor.releases(settings)
    assert len(found) == len(RUNTIMES) and not any(each.ok for each in found)
    assert found[0].fatal and found[0].fix.startswith("boathouse setup")
    assert [each.fix for each in found[1:]] == [f"boathouse release build {runtime.key}" for runtime in RUNTIMES[1:]]


def test_a_machine_without_a_jdk(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = doctor.java()
    assert not found.ok and not found.fatal and "JDK" in found.fix


def test_a_registry_that_does_not_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and says nothing
        host = f"127.0.0.1:{deaf.getsockname()[1]}"
        chosen = {"data": str(tmp_path), "registry_private_hosts": host, "registry_plain_http_hosts": host}
        found = doctor.registries(load(chosen, {}))
    assert not found.ok and host in found.detail and found.fix
    assert doctor.registries(load({"data": str(tmp_path)}, {})).ok


class Busy(BaseHTTPRequestHandler):
    """A registry that is asked too often, and wants to be left alone for five minutes."""

    asked: list[str]
    status = 429

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(self.status)
        self.send_header("Retry-After", "300")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_wants_to_be_asked_later_is_asked_once(tmp_path, status):
    handler = type("Handler", (Busy,), {"asked": [], "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        chosen = {"data": str(tmp_path), "registry_private_hosts": host, "registry_plain_http_hosts": host}
        found = doctor.registries(load(chosen, {}))
        server.shutdown()
    assert handler.asked == ["/v2/"] and not found.ok and f"{host} (" in found.detail and str(status) in found.detail


def test_registries_are_asked_side_by_side_and_one_look_up_that_hangs_stops_nothing(tmp_path, monkeypatch):
    both, never = threading.Barrier(3), threading.Event()

    def ping(host, settings):
        assert settings.longest_retry_after == 0
        both.wait(20)  # passes only when all are asked at the same time
        if host == "hangs":
            never.wait()
        if host == "refuses":
            raise PullFailure("refuses is no registry.")
        return "open"

    monkeypatch.setattr(doctor.registry, "ping", ping)
    chosen = {"data": str(tmp_path), "registry_private_hosts": "answers,hangs,refuses"}
    found = doctor.registries(load(chosen, {}))
    never.set()
    assert found.detail == "no good answer from hangs (no word within 2 s), refuses (refuses is no registry.)"


def test_an_engine_that_must_be_started_is_said_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "findings", lambda *_, starting: (starting(), [Finding("engine", False, "none", "x")])[1])
    main(["doctor", "--data", str(tmp_path / "data"), "--cache", str(tmp_path / "cache"), "--port", "0", "--output", "json"])
    told = capsys.readouterr()
    assert told.err.startswith("the embedded engine does not run yet") and json.loads(told.out)


def test_every_finding_that_is_not_fine_is_printed_with_its_fix(tmp_path, monkeypatch, capsys):
    bad = [Finding("engine", False, "none", "install one"), Finding("disk", False, "1 GiB free", "free some", fatal=False)]
    monkeypatch.setattr(doctor, "findings", lambda *_, **more: bad)
    arguments = ["doctor", "--data", str(tmp_path / "data"), "--cache", str(tmp_path / "cache"), "--port", "0"]
    assert main(arguments) == 1
    told = capsys.readouterr().out
    for line in ("✗ engine: none", "fix: install one", "! disk: 1 GiB free", "fix: free some", "cannot start until"):
        assert line in told
    assert main([*arguments, "--output", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert all(each["ok"] or each["fix"] for each in found), "a finding without its fix"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_and_what_a_killed_server_left(tmp_path, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with listener:
        number = listener.getsockname()[1]
        settings = load({"data": str(tmp_path), "host": host, "port": str(number)})
        directory = DataDirectory(tmp_path)
        (tmp_path / "ready.json").write_text(json.dumps({"host": f"http://{host}:{number}"}))
        assert not doctor.port(settings).ok, "the server that wrote it is dead"
        directory.lock()
        assert doctor.port(settings).ok
        directory.unlock()
    assert doctor.port(settings).ok


def test_a_cache_that_cannot_be_made_is_named_with_its_fix(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["doctor", "--cache", str(tmp_path / "file" / "cache"), "--data", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().out
    assert f"✗ cache: {tmp_path}/file/cache: Not a directory" in said and "--cache DIR" in said
