"""Registries as an operator lets them be asked: mirrors, stand-ins, proxies, an own authority, other clouds' log-ins."""

import json
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from boathouse.dataplane.contract import Credentials
from boathouse.images import references
from boathouse.images.failures import PullFailure
from boathouse.images.registry_access import Registries
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import RegistrySettings
from boathouse.outbound.proxies import Proxies
from tests.images import conftest as kit
from tests.images.conftest import Answer, Blobs, FakeRegistry


def test_a_mirror_is_asked_first(fake: FakeRegistry, other: FakeRegistry) -> None:
    image = Blobs()
    other.serve(image, "hub/library/debian", "12")
    settings = RegistrySettings(plain_http_hosts=(other.host,), mirrors={"docker.io": f"{other.host}/hub"})
    found, mirror = Registries(settings).resolve(references.parse("debian:12"), None)
    assert mirror == other.host
    assert (str(found.reference), found.pinned) == ("docker.io/library/debian:12", f"docker.io/library/debian@{found.digest}")
    assert found.digest == kit.digest(image.manifest)


def test_a_mirror_that_has_nothing_is_passed_over(fake: FakeRegistry, other: FakeRegistry) -> None:
    fake.serve(Blobs())
    other.answers["/v2/"] = Answer()
    settings = RegistrySettings(("127.0.0.1",), (other.host, fake.host), mirrors={fake.host: other.host})
    found, mirror = Registries(settings).resolve(references.parse(f"{fake.host}/team/app:1"), None)
    assert (mirror, found.digest) == ("", kit.digest(Blobs().manifest))
    assert other.asked("/v2/team/app/manifests/1") != []
    with pytest.raises(PullFailure, match="team/app:2 does not exist"):
        Registries(settings).resolve(references.parse(f"{fake.host}/team/app:2"), None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(Answer(429, headers={"Retry-After": "50"}), "429 Too Many Requests"), (Answer(length=9, hold=True), "stalled")],
)
def test_who_has_little_patience_waits_for_no_registry(
    fake: FakeRegistry, other: FakeRegistry, answer: Answer, words: str
) -> None:
    """Neither as long as it asks for, nor as long as the settings would; a mirror that is silent leaves half of it."""
    fake.serve(Blobs())
    other.answers["/v2/"] = Answer(length=9, hold=True)
    waits: list[object] = []
    settings = RegistrySettings(("127.0.0.1",), (other.host, fake.host), mirrors={fake.host: other.host})
    image, registries = references.parse(f"{fake.host}/team/app:1"), Registries(settings)
    found, mirror = registries.resolve(image, None, patience=1.0)
    assert (mirror, found.digest) == ("", kit.digest(Blobs().manifest))
    fake.answers["/v2/team/app/manifests/1"] = answer
    with pytest.raises(PullFailure, match=words):
        registries.resolve(image, None, told=waits.append, patience=1.0)
    assert waits == []


def test_a_mirror_never_sees_credentials_nor_what_needs_them(fake: FakeRegistry, other: FakeRegistry) -> None:
    fake.serve(Blobs())
    settings = RegistrySettings(("127.0.0.1",), (other.host, fake.host), mirrors={fake.host: other.host})
    Registries(settings).resolve(references.parse(f"{fake.host}/team/app:1"), Credentials("robot", "x"))
    assert other.seen == []


def test_what_stands_in_for_a_registry_gets_its_credentials(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    login = Login("robot", "pass")
    fake.lock(lambda given: given == login.header, 'Basic realm="x"')
    settings = RegistrySettings(plain_http_hosts=(fake.host,), endpoints={"registry.corp.example": fake.host})
    found, _ = Registries(settings).resolve(references.parse("registry.corp.example/team/app:1"), Credentials("robot", "pass"))
    assert found.pinned.startswith("registry.corp.example/team/app@sha256:")


@pytest.mark.parametrize(
    ("host", "path", "username", "password"),
    [
        ("europe-docker.pkg.dev", "/v2/token", "_json_key", '{"type": "service_account",\n "private_key": "-----BEGIN\\nx"}'),
        ("gcr.io", "/v2/token", "_json_key", '{"type": "service_account"}'),
        ("ghcr.io", "/token", "octocat", "ghp_token"),
        ("team.azurecr.io", "/oauth2/token", "0f8fad5b-d9cb-469f-a165-70867728950e", "secret"),
        ("registry.gitlab.com", "/jwt/auth", "deploy", "token"),
    ],
)
def test_log_ins_of_other_registries(fake: FakeRegistry, host: str, path: str, username: str, password: str) -> None:
    """Each names a token service of its own at this path, and takes the password there; the registry sees the token alone."""
    fake.serve(Blobs())
    login = Login(username, password)
    challenge = f'Bearer realm="http://{fake.host}{path}",service="{host}",scope="repository:team/app:pull"'
    fake.lock(lambda given: given == "Bearer t0ken", challenge)
    fake.answers[path] = lambda headers: (
        Answer(body=json.dumps({"token": "t0ken"}).encode()) if headers.get("authorization") == login.header else Answer(401)
    )
    settings = RegistrySettings(plain_http_hosts=(fake.host,), endpoints={host: fake.host})
    found, _ = Registries(settings).resolve(references.parse(f"{host}/team/app:1"), Credentials(username, password))
    assert found.pinned.startswith(f"{host}/team/app@")
    assert all(headers.get("authorization") != login.header for where, headers in fake.seen if not where.startswith(path))
    with pytest.raises(PullFailure, match="401") as failed:
        Registries(settings).resolve(references.parse(f"{host}/team/app:1"), Credentials(username, "wr0ng-one"))
    assert "wr0ng-one" not in failed.value.text


# ---- a proxy, and TLS by an authority of one's own


@dataclass
class Proxy:
    """A proxy that knows names which nobody else does."""

    port: int
    names: dict[str, int]
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@contextmanager
def run_proxy(names: dict[str, int]) -> Iterator[Proxy]:
    """CONNECT to a name leads to its port on this machine; another name is refused with 403."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split(" ")
            while line := self.rfile.readline().decode().strip():
                if line.lower().startswith("proxy-authorization:"):
                    proxy.logins.append(line.partition(":")[2].strip())
            proxy.asked.append(f"{method} {target}")
            port = proxy.names.get(target)
            if method != "CONNECT" or port is None:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", port)) as there:
                onward = threading.Thread(target=self._copy, args=(there, self.connection), daemon=True)
                onward.start()
                self._copy(self.connection, there)
                onward.join()

        def _copy(self, source: socket.socket, target: socket.socket) -> None:
            try:
                while block := source.recv(65536):
                    target.sendall(block)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                return

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(server.server_address[1], names)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-made certificate for `registry.inner` and 127.0.0.1, which is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("ca")
    certificate, key = folder / "ca.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=registry.inner", "-addext", "subjectAltName=DNS:registry.inner,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def secure(authority: tuple[Path, Path]) -> Iterator[FakeRegistry]:
    """A registry with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)
    yield from kit.run_fake(context)


def test_a_proxy_reaches_what_only_it_knows(secure: FakeRegistry, authority: tuple[Path, Path]) -> None:
    secure.serve(Blobs())
    image = references.parse("registry.inner/team/app:1")

    def nobody(host: str, port: int) -> list[str]:
        if host == "127.0.0.1":
            return [host]
        raise OSError("unknown")

    with run_proxy({"registry.inner:443": secure.port}) as proxy:
        url = f"http://robot:pa%3Ass@127.0.0.1:{proxy.port}"
        settings = RegistrySettings(ca_file=authority[0], proxies=Proxies(url, url))
        found, _ = Registries(settings, resolver=nobody).resolve(image, None)
        assert found.digest == kit.digest(Blobs().manifest)
        assert set(proxy.asked) == {"CONNECT registry.inner:443"}
        assert set(proxy.logins) == {Login("robot", "pa:ss").header}
        with pytest.raises(PullFailure, match="The proxy does not connect to other.inner") as failed:
            Registries(settings, resolver=nobody).resolve(references.parse("other.inner/team/app:1"), None)
        assert "pa%3Ass" not in failed.value.text and "pa:ss" not in failed.value.text
        direct = RegistrySettings(ca_file=authority[0], proxies=Proxies(url, url, ("registry.inner",)))
        with pytest.raises(PullFailure, match="unknown here"):
            Registries(direct, resolver=nobody).resolve(image, None)


@pytest.mark.parametrize(("address", "words"), [("10.0.0.7", "private address"), ("169.254.169.254", "link-local")])
def test_a_proxy_is_not_asked_for_what_we_may_not_reach_ourselves(address: str, words: str) -> None:
    with run_proxy({}) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        resolver = lambda host, port: [host if host == "127.0.0.1" else address]  # noqa: E731
        with pytest.raises(PullFailure, match=words):
            settings = RegistrySettings(proxies=Proxies(url, url))
            Registries(settings, resolver=resolver).resolve(references.parse("inner.example/a:1"), None)
        assert proxy.asked == []


def test_an_own_authority_is_needed_and_enough(secure: FakeRegistry, authority: tuple[Path, Path]) -> None:
    secure.serve(Blobs())
    image = references.parse(f"{secure.host}/team/app:1")
    with pytest.raises(PullFailure, match="registry_ca_file"):
        Registries(RegistrySettings(("127.0.0.1",))).resolve(image, None)
    found, _ = Registries(RegistrySettings(("127.0.0.1",), ca_file=authority[0])).resolve(image, None)
    assert found.digest == kit.digest(Blobs().manifest)
