"""Registries for the tests of this room: a real one with a password, and one that misbehaves on demand."""

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bcrypt
import pytest
from hypothesis import settings

from boathouse.images import debian, rootfs, wheels
from tests.images.debian_mirror import Mirror

settings.register_profile("images", deadline=None)  # a busy machine is no failure
settings.load_profile("images")

USER, PASSWORD = "robot", "pa:ss w0rd-ünï"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Blobs:
    """A small image as a registry keeps it."""

    os: str = "linux"
    architecture: str = "amd64"
    config_type: str = "application/vnd.oci.image.config.v1+json"
    layer: bytes = b"not really a layer"

    @property
    def config(self) -> bytes:
        inner = {"Env": ["PATH=/usr/bin:/bin", "A=1"], "Cmd": ["sleep"], "User": "nobody", "WorkingDir": "/srv"}
        rootfs = {"type": "layers", "diff_ids": [digest(self.layer)]}
        return json.dumps({"os": self.os, "architecture": self.architecture, "config": inner, "rootfs": rootfs}).encode()

    @property
    def manifest(self) -> bytes:
        kind = "application/vnd.oci.image.layer.v1.tar"
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": self.config_type, "digest": digest(self.config), "size": len(self.config)},
                "layers": [{"mediaType": kind, "digest": digest(self.layer), "size": len(self.layer)}],
            }
        ).encode()


def index_of(*images: Blobs) -> bytes:
    entries = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(image.manifest),
            "size": len(image.manifest),
            "platform": {"os": image.os, "architecture": image.architecture},
        }
        for image in images
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}).encode()


@dataclass
class Answer:
    """What the fake sends: `length` lies about the body's size, `hold` keeps the connection open without a byte more."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    hold: bool = False


@dataclass
class FakeRegistry:
    """A registry on 127.0.0.1 whose every answer the test decides; `seen` is what it was asked (path, headers)."""

    port: int
    answers: dict[str, Answer | Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serve(self, image: Blobs, repository: str = "team/app", tag: str = "1") -> None:
        """Answer everything as an honest open registry does."""
        base = f"/v2/{repository}"
        self.answers |= {
            "/v2/": Answer(),
            f"{base}/manifests/{tag}": Answer(body=image.manifest),
            f"{base}/manifests/{digest(image.manifest)}": Answer(body=image.manifest),
            f"{base}/blobs/{digest(image.config)}": Answer(body=image.config),
            f"{base}/blobs/{digest(image.layer)}": Answer(body=image.layer),
        }

    def lock(self, opens: Callable[[str], bool], challenge: str) -> None:
        """From now on everything that it answers is for those alone whose Authorization header opens it."""
        for path, answer in list(self.answers.items()):

            def guarded(headers: dict[str, str], answer: Answer | Callable[[dict[str, str]], Answer] = answer) -> Answer:
                if not opens(headers.get("authorization", "")):
                    return Answer(401, headers={"WWW-Authenticate": challenge})
                return answer(headers) if callable(answer) else answer

            self.answers[path] = guarded

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of every request for a path (without query)."""
        return [headers for found, headers in self.seen if found.partition("?")[0] == path]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    yield from run_fake()


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """A second fake: somewhere else to be sent to."""
    yield from run_fake()


def run_fake(tls: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            registry.seen.append((self.path, headers))
            answer = registry.answers.get(self.path.partition("?")[0], Answer(404))
            if callable(answer):
                answer = answer(headers)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
            if answer.hold:
                registry.released.wait(20)
            self.close_connection = True

        def do_POST(self) -> None:
            """A form is seen by the test as the header `body`."""
            self.headers["body"] = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.do_GET()

        do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    registry = FakeRegistry(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield registry
    registry.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class RealRegistry:
    """Debian's docker-registry with one user."""

    host: str

    def push(self, repository: str, tag: str, image: Blobs) -> None:
        """Upload an image as any client does."""
        for data in (image.config, image.layer):
            location = self._call("POST", f"/v2/{repository}/blobs/uploads/", b"").headers["Location"]
            path = location.removeprefix(f"http://{self.host}")
            self._call("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest(data)}", data)
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, json.loads(image.manifest)["mediaType"])

    def put_index(self, repository: str, tag: str, index: bytes) -> None:
        """Upload a list of platforms whose manifests are there."""
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", index, "application/vnd.oci.image.index.v1+json")

    def _call(self, method: str, path: str, data: bytes, kind: str = "application/octet-stream"):
        request = urllib.request.Request(f"http://{self.host}{path}", data, method=method)
        request.add_header("Content-Type", kind)
        request.add_header("Authorization", "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()
            return response


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A real registry with htpasswd on a free port of 127.0.0.1, for the whole session."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry (apt-get install docker-registry) is not installed")
    root: Path = tmp_path_factory.mktemp("registry")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    (root / "htpasswd").write_text(f"{USER}:{hashed}\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (root / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n"
    )
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(root / "config.yml")], stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v2/", process)
        yield RealRegistry(f"127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            threading.Event().wait(0.05)
    raise RuntimeError(f"the registry did not start (status {process.poll()})")


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Debian's mirror, mmdebstrap, PyPI and pip in memory; all locks of the package can be met."""
    made = Mirror.of_recipes()
    monkeypatch.setattr(debian, "index", made.index)
    monkeypatch.setattr(rootfs, "build", made.build)
    monkeypatch.setattr(wheels, "fetch", made.fetch)
    monkeypatch.setattr(wheels, "layer", made.layer)
    return made
