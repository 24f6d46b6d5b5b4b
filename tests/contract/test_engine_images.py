"""Pulls by a real engine from a registry that behaves as it is told, and views of what is there."""

import gzip
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator

import pytest

from boathouse.dataplane.contract import Credentials, Pull, PullState
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.pull import Pulls
from boathouse.images.pull import classify
from tests.contract.fake_registry import ROBOT, Registry

pytestmark = pytest.mark.engine


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


def test_a_truncated_layer_is_refused_and_named(engine_plane, registry) -> None:
    registry.sent, registry.promised = registry.layer[: len(registry.layer) // 2], len(registry.layer)
    answer = pulled(engine_plane, engine_plane.engine_driver, registry.pinned, ROBOT)
    failed = classify(answer.error, registry.pinned)
    assert answer.state is PullState.FAILED
    assert failed.code == "DOCKER_IMAGE_PULL_FAILURE" and "stopped sending" in failed.message, answer.error


def test_a_layer_that_does_not_fit_its_digest_is_named(engine_plane, registry) -> None:
    registry.sent = registry.layer[:-1] + b"X"
    answer = pulled(engine_plane, engine_plane.engine_driver, registry.pinned, ROBOT)
    assert answer.state is PullState.FAILED
    assert classify(answer.error, registry.pinned).code == "DOCKER_IMAGE_PULL_FAILURE", answer.error


def test_credentials_do_not_follow_a_redirect_of_a_layer(engine_plane, registry) -> None:
    """Storage that a registry sends to is another host: what opens the registry must not open it."""
    seen: list[dict[str, str]] = []

    class Storage(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", str(len(registry.layer)))
            self.end_headers()
            self.wfile.write(registry.layer)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry.elsewhere = f"http://localhost:{server.server_address[1]}/store"  # another name: as another host
    try:
        answer = pulled(engine_plane, engine_plane.engine_driver, registry.pinned, ROBOT)
    finally:
        server.shutdown()
        server.server_close()
    assert (answer.state, answer.error) == (PullState.PRESENT, "")
    assert seen and not any("authorization" in headers for headers in seen)


@pytest.mark.parametrize("way", ["upwards", "by a link", "by a hard link", "absolute"])
def test_a_layer_writes_nothing_outside_of_its_image(engine_plane, registry, tmp_path, way) -> None:
    """The engine unpacks what a registry sends: refused or kept inside, the machine's own files stay as they are."""
    there = tmp_path / "outside"
    there.mkdir()
    (there / "mine").write_text("mine")
    up = "../" * 20 + str(there).strip("/")
    entries = {
        "upwards": [(f"{up}/written", tarfile.REGTYPE, "")],
        "by a link": [("etc/way", tarfile.SYMTYPE, f"../../{up}"), ("etc/way/written", tarfile.REGTYPE, "")],
        "by a hard link": [("etc/mine", tarfile.LNKTYPE, f"{up}/mine"), ("etc/mine", tarfile.REGTYPE, "")],
        "absolute": [(f"{there}/written", tarfile.REGTYPE, "")],
    }[way]
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, kind, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 7 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"hostile"))
    registry.keep(raw.getvalue())
    answer = pulled(engine_plane, engine_plane.engine_driver, registry.pinned, ROBOT)
    assert answer.state in (PullState.PRESENT, PullState.FAILED)
    assert [path.name for path in there.iterdir()] == ["mine"] and (there / "mine").read_text() == "mine"


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
