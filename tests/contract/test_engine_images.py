"""Pulls by a real engine from a registry that behaves as it is told, and views of what is there."""

import base64
import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator

import pytest

from boathouse.dataplane.contract import Credentials, Pull, PullState
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.pull import Pulls

pytestmark = pytest.mark.engine

ROBOT = Credentials("robot", "pa:ss w0rd")


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """One image, new for each test, behind a password. `blob` says what to send for the layer."""

    def __init__(self, mark: str) -> None:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            text = mark.encode() * 1000
            entry = tarfile.TarInfo("etc/mark")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        self.layer = gzip.compress(raw.getvalue(), mtime=0)
        rootfs = {"type": "layers", "diff_ids": [digest(raw.getvalue())]}
        config = {"os": "linux", "architecture": "amd64", "config": {"Env": [f"MARK={mark}"]}, "rootfs": rootfs}
        self.config = json.dumps(config).encode()
        kind = "application/vnd.oci.image"
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(self.config), "size": len(self.config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": digest(self.layer), "size": len(self.layer)}],
        }
        self.manifest = json.dumps(manifest).encode()
        self.sent = self.layer
        self.holds = threading.Event()
        self.release = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def pinned(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}/team/base@{digest(self.manifest)}"

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        registry = self
        wanted = "Basic " + base64.b64encode(f"{ROBOT.username}:{ROBOT.password}".encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.headers.get("Authorization") != wanted:
                    return self.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="registry"'})
                if self.path == "/v2/":
                    return self.answer(200, b"{}")
                if "/manifests/" in self.path:
                    return self.answer(200, registry.manifest, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
                if self.path.endswith(digest(registry.config)):
                    return self.answer(200, registry.config)
                if registry.holds.is_set():
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(registry.layer)))
                    self.end_headers()
                    self.wfile.write(registry.layer[:10])
                    self.wfile.flush()
                    registry.release.wait(30)
                    self.close_connection = True
                    return None
                return self.answer(200, registry.sent)

            do_HEAD = do_GET

            def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        return Handler


@pytest.fixture
def registry(engine_plane) -> Iterator[Registry]:
    made = Registry(engine_plane.instance)
    yield made
    made.close()
    with engine_plane.engine_driver.client.calls() as api:
        for image in api.images():
            if made.pinned in (image.get("RepoDigests") or []):
                api.remove_image(image["Id"], force=True)


def pulled(plane, pulls, pinned: str, credentials: Credentials | None) -> Pull:
    """Ask until the pull has ended."""
    news = threading.Event()
    answers = [pulls.pull(pinned, credentials, True, news.set)]
    if answers[0].state is PullState.PULLING:
        assert news.wait(30), "no hint that the pull ended"
        answers.append(pulls.pull(pinned, credentials, True, None))
    return answers[-1]


def test_an_image_is_pulled_once_and_is_there_the_next_time(engine_plane, registry) -> None:
    driver = engine_plane.engine_driver
    first = pulled(engine_plane, driver, registry.pinned, ROBOT)
    assert (first.state, first.error, first.cached) == (PullState.PRESENT, "", False)
    assert f"MARK={engine_plane.instance}" in driver.image_config(first.image)["Env"]
    second = driver.pull(registry.pinned, ROBOT, plain_http=True)
    assert (second.state, second.image, second.cached) == (PullState.PRESENT, first.image, True)
    with driver.view(first.image) as view:
        archive = view.get_archive("/etc/mark")
        assert archive is not None
        with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as tar:
            content = tar.extractfile("mark")
            assert content is not None and content.read().startswith(engine_plane.instance.encode())
        assert view.get_archive("/etc/nothing") is None


def test_a_wrong_password_is_told_once_and_not_repeated(engine_plane, registry) -> None:
    driver = engine_plane.engine_driver
    wrong = Credentials("robot", "s3cret-that-is-wrong")
    answer = pulled(engine_plane, driver, registry.pinned, wrong)
    assert answer.state is PullState.FAILED and "s3cret" not in answer.error
    assert "unauthorized" in answer.error.lower() or "401" in answer.error or "authentication" in answer.error
    again = pulled(engine_plane, driver, registry.pinned, ROBOT)
    assert again.state is PullState.PRESENT


def test_without_credentials_the_engine_uses_none_of_its_own(engine_plane, registry) -> None:
    assert pulled(engine_plane, engine_plane.engine_driver, registry.pinned, None).state is PullState.FAILED


def test_a_layer_that_is_not_what_was_promised_is_refused(engine_plane, registry) -> None:
    registry.sent = gzip.compress(b"something else entirely", mtime=0)
    answer = pulled(engine_plane, engine_plane.engine_driver, registry.pinned, ROBOT)
    assert answer.state is PullState.FAILED and answer.error


def test_a_registry_that_stalls_is_given_up(engine_plane, registry) -> None:
    registry.holds.set()
    pulls = Pulls(engine_plane.engine_driver.client, None, stall=2.0)
    answer = pulled(engine_plane, pulls, registry.pinned, ROBOT)
    assert answer.state is PullState.FAILED and answer.error == "stalled: nothing arrived for 2 s"


def test_views_that_a_crash_left_are_swept_and_open_ones_are_not(engine_plane) -> None:
    driver = engine_plane.engine_driver
    left = EngineImages(driver.client, engine_plane.instance).view(engine_plane.image)
    left.__enter__()
    with driver.view(engine_plane.image) as mine:
        assert list(driver.sweep(frozenset)) == [left.name]
        assert mine.get_archive("/usr/bin/python3") is not None
    assert list(driver.sweep(frozenset)) == []
