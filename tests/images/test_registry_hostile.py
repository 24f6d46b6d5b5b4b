"""Design rule: registries are hostile. One test a rule, against a fake that breaks it."""

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from boathouse.images import references, registry
from boathouse.images.failures import PullFailure, quoted
from boathouse.images.image_config import CONFIG_LIMIT, MANIFEST_LIMIT
from boathouse.images.registry_auth import Challenge, Login, challenges, trusted_realm
from boathouse.images.registry_http import RegistrySettings
from tests.images import conftest as kit
from tests.images.conftest import Answer, Blobs, FakeClock, FakeRegistry

QUICK = RegistrySettings(("127.0.0.1",), ("127.0.0.1",), connect_seconds=0.3, stall_seconds=0.3, total_seconds=20)
LOGIN = Login("robot", "hunter2-hunter2")
MANIFEST = "/v2/team/app/manifests/1"


def failure(fake: FakeRegistry, login: Login | None = None, settings: RegistrySettings = QUICK, **more) -> PullFailure:
    with pytest.raises(PullFailure) as failed:
        registry.resolve(references.parse(f"{fake.host}/team/app:1"), login, settings, **more)
    assert failed.value.code == "DOCKER_IMAGE_PULL_FAILURE"
    assert set(failed.value.parameters) == {"databricks_error_message"}
    return failed.value


def blob(image: Blobs) -> str:
    return f"/v2/team/app/blobs/{kit.digest(image.config)}"


def test_a_stall_ends_after_the_limit(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    fake.answers[MANIFEST] = Answer(body=b'{"schema', length=5000, hold=True)
    assert "stalled: not a byte for 0.3 s" in failure(fake).text


@pytest.mark.parametrize("where", ["headers", "body"])
def test_dripping_bytes_end_at_the_deadline(clock: FakeClock, where: str) -> None:
    """Each byte is in time, the whole is not: a server that sends one more header, or one more byte, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with contextlib.suppress(OSError), server.accept()[0] as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\n" + (b"" if where == "headers" else b"Content-Length: 99999\r\n\r\n"))
                while True:
                    clock.time += 5
                    client.sendall(b"X-A: b\r\n" if where == "headers" else b".")
                    client.settimeout(0.01)
                    with contextlib.suppress(TimeoutError):
                        if client.recv(1) == b"":
                            return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(PullFailure, match="no whole answer in the time"):
            registry.resolve(references.parse(f"127.0.0.1:{server.getsockname()[1]}/a:1"), None, QUICK, clock=clock)
        thread.join()


def test_nobody_listens(fake: FakeRegistry) -> None:
    with pytest.raises(PullFailure, match="No connection with 127.0.0.1:1"):
        registry.resolve(references.parse("127.0.0.1:1/team/app:1"), None, QUICK)


def test_no_answer_to_a_connection_is_given_up(fake: FakeRegistry) -> None:
    settings = RegistrySettings(("black.hole",), ("black.hole",), connect_seconds=0.2)
    with pytest.raises(PullFailure, match="no connection within 0.2 s|No connection"):
        registry.resolve(references.parse("black.hole:81/a:1"), None, settings, resolver=lambda *_: ["192.0.2.1"])


def test_truncated(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    fake.answers[MANIFEST] = Answer(body=b'{"schema', length=5000)
    assert "truncated" in failure(fake).text


@pytest.mark.parametrize("limit", [MANIFEST_LIMIT])
def test_a_manifest_is_bounded(fake: FakeRegistry, limit: int) -> None:
    fake.serve(Blobs())
    fake.answers[MANIFEST] = Answer(body=b" " * (limit + 1))
    assert f"more than the {limit} bytes" in failure(fake).text


def test_a_configuration_is_bounded(fake: FakeRegistry) -> None:
    image = Blobs()
    fake.serve(image)
    fake.answers[blob(image)] = Answer(body=b" " * (CONFIG_LIMIT + 1))
    assert f"more than the {CONFIG_LIMIT} bytes" in failure(fake).text
    manifest = json.loads(image.manifest)
    manifest["config"]["size"] = CONFIG_LIMIT + 1
    fake.answers[MANIFEST] = Answer(body=json.dumps(manifest).encode())
    assert "are allowed" in failure(fake).text


def test_digests_are_verified(fake: FakeRegistry) -> None:
    image = Blobs()
    fake.serve(image)
    fake.answers[blob(image)] = Answer(body=image.config + b" ")
    assert "does not have the digest" in failure(fake).text
    fake.serve(image)
    fake.answers[MANIFEST] = Answer(body=image.manifest, headers={"Docker-Content-Digest": "sha256:" + "0" * 64})
    assert "does not have the digest" in failure(fake).text
    wanted = "sha256:" + "1" * 64
    fake.answers[f"/v2/team/app/manifests/{wanted}"] = Answer(body=image.manifest)
    with pytest.raises(PullFailure, match="does not have the digest"):
        registry.resolve(references.parse(f"{fake.host}/team/app@{wanted}"), None, QUICK)


def test_a_manifest_in_a_list_must_fit_its_digest(fake: FakeRegistry) -> None:
    image = Blobs()
    fake.serve(image)
    fake.answers[MANIFEST] = Answer(body=kit.index_of(image))
    fake.answers[f"/v2/team/app/manifests/{kit.digest(image.manifest)}"] = Answer(body=Blobs(layer=b"x").manifest)
    assert "does not have the digest" in failure(fake).text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"schemaVersion": 1, "fsLayers": []}',
        b'{"schemaVersion": 2, "config": {}, "layers": []}',
        b'{"schemaVersion": 2, "config": null, "layers": [1]}',
        b'{"schemaVersion": 2, "layers": 5, "config": {"mediaType": "a", "digest": "sha256:../../x", "size": 1}}',
        b'{"mediaType": 5, "schemaVersion": {"a": []}}',
    ],
)
def test_malformed_manifests_are_refused(fake: FakeRegistry, body: bytes) -> None:
    fake.serve(Blobs())
    fake.answers[MANIFEST] = Answer(body=body)
    failure(fake)


@pytest.mark.parametrize("body", [b"no json", b"[]", b"[" * 100_000, b'{"os": 5}', b'{"config": {"Env": [5]}}'])
def test_malformed_configurations_are_refused(fake: FakeRegistry, body: bytes) -> None:
    image = Blobs()
    manifest = json.loads(image.manifest)
    manifest["config"] |= {"digest": kit.digest(body), "size": len(body)}
    fake.serve(image)
    fake.answers[MANIFEST] = Answer(body=json.dumps(manifest).encode())
    fake.answers[f"/v2/team/app/blobs/{kit.digest(body)}"] = Answer(body=body)
    assert "cannot be read" in failure(fake).text


def test_an_artifact_is_no_image(fake: FakeRegistry) -> None:
    fake.serve(Blobs(config_type="application/vnd.cncf.helm.config.v1+json"))
    assert "is no container image" in failure(fake).text


def test_a_foreign_layer_is_not_asked_for(fake: FakeRegistry) -> None:
    """Its address is the image author's choice: an engine that follows it can be sent anywhere."""
    image = Blobs()
    fake.serve(image)
    kind = b"application/vnd.oci.image.layer.nondistributable.v1.tar"
    fake.answers[MANIFEST] = Answer(body=image.manifest.replace(b"application/vnd.oci.image.layer.v1.tar", kind))
    assert "foreign" in failure(fake).text


def test_compressed_answers_are_refused(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    fake.answers[MANIFEST] = Answer(body=b"x", headers={"Content-Encoding": "gzip"})
    assert "compressed" in failure(fake).text


def test_credentials_do_not_follow_a_redirect(fake: FakeRegistry, other: FakeRegistry) -> None:
    image = Blobs()
    fake.serve(image)
    fake.answers["/v2/"] = Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    other.answers["/store"] = Answer(body=image.config)
    fake.answers[blob(image)] = Answer(307, headers={"Location": f"http://{other.host}/store"})
    found = registry.resolve(references.parse(f"{fake.host}/team/app:1"), LOGIN, QUICK)
    assert found.platform == "linux/amd64"
    assert fake.asked(MANIFEST)[0]["authorization"] == LOGIN.header
    assert len(other.seen) == 1 and "authorization" not in other.asked("/store")[0]


def test_redirects_are_judged_like_any_address(fake: FakeRegistry) -> None:
    image = Blobs()
    fake.serve(image)
    settings = RegistrySettings(("127.0.0.1",), ("127.0.0.1", "10.9.9.9", "169.254.169.254"), connect_seconds=0.3)
    for place, words in (("10.9.9.9", "private address"), ("169.254.169.254", "never are")):
        fake.answers[blob(image)] = Answer(302, headers={"Location": f"http://{place}/latest/meta-data"})
        assert words in failure(fake, settings=settings).text
    for location in ("ftp://x/y", "http://a:b@c/d", "http://[", "file:///etc/passwd"):
        fake.answers[blob(image)] = Answer(302, headers={"Location": location})
        assert "cannot be used" in failure(fake, settings=settings).text
    fake.answers[blob(image)] = Answer(302, headers={"Location": blob(image)})
    assert "answers 302" in failure(fake).text
    assert len(fake.asked(blob(image))) == 4 + 2 + 4


def test_a_token_realm_never_redirects(fake: FakeRegistry, other: FakeRegistry) -> None:
    fake.serve(Blobs())
    challenge = f'Bearer realm="http://{fake.host}/token"'
    fake.answers["/v2/"] = Answer(401, headers={"WWW-Authenticate": challenge})
    fake.answers["/token"] = Answer(302, headers={"Location": f"http://{other.host}/steal"})
    assert "answers 302" in failure(fake, LOGIN).text
    assert other.seen == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"token": 5}', b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": "' + b"a" * 20000 + b'"}']
)
def test_tokens_are_checked(fake: FakeRegistry, body: bytes) -> None:
    fake.serve(Blobs())
    fake.answers["/v2/"] = Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{fake.host}/token"'})
    fake.answers["/token"] = Answer(body=body)
    assert "no usable token" in failure(fake, LOGIN).text


def test_an_echoed_password_is_not_repeated(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    fake.answers["/v2/"] = Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    def echo(headers: dict[str, str]) -> Answer:
        words = {"errors": [{"code": "DENIED", "message": f"\x1b[31m{LOGIN.password}\n{headers['authorization']}" + "x" * 999}]}
        return Answer(403, json.dumps(words).encode())

    fake.answers[MANIFEST] = echo
    failed = failure(fake, LOGIN)
    assert LOGIN.password not in failed.text and LOGIN.header[6:] not in failed.text and "\x1b" not in failed.text
    assert "[REDACTED]" in failed.evidence and len(failed.evidence) <= 300


def test_words_are_bounded_and_plain() -> None:
    assert quoted("a\nb\x00\x1b[0m\u202ec\td") == "a b[0mc d"
    assert len(quoted("x" * 10**6)) == 300
    assert quoted("password secret", ("secret", "")) == "password [REDACTED]"


def test_private_addresses_need_the_settings(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    closed = RegistrySettings(plain_http_hosts=("127.0.0.1",))
    assert "private address" in failure(fake, settings=closed).text
    assert fake.seen == []


def test_plain_http_needs_the_settings(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    failed = failure(fake, LOGIN, RegistrySettings(allowed_private_hosts=("127.0.0.1",)))
    assert "No trusted connection" in failed.text or "No connection" in failed.text or "no HTTP" in failed.text
    assert fake.seen == []


def test_a_name_is_resolved_once(fake: FakeRegistry) -> None:
    fake.serve(Blobs())
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    settings = RegistrySettings(("registry.test",), ("registry.test",))
    reference = references.parse(f"registry.test:{fake.port}/team/app:1")
    assert registry.resolve(reference, None, settings, resolver=lambda *_: answers.pop(0)).platform == "linux/amd64"
    assert len(answers) == 1 and len(fake.seen) == 3


def test_an_untrusted_certificate_is_explained(fake: FakeRegistry, tmp_path: Path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            tmp_path / "key",
            "-out",
            tmp_path / "crt",
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")

    class Quiet(HTTPServer):
        def handle_error(self, request, client_address) -> None:
            return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    reference = references.parse(f"localhost:{server.server_port}/a:1")
    settings = RegistrySettings(allowed_private_hosts=("localhost",))
    try:
        with pytest.raises(PullFailure, match="No trusted connection") as failed:
            registry.resolve(reference, None, settings, resolver=lambda *_: ["127.0.0.1"])
        assert "registry_ca_file" in failed.value.fix
        trusting = RegistrySettings(allowed_private_hosts=("localhost",), ca_file=tmp_path / "crt")
        with pytest.raises(PullFailure, match="is no registry: it answers 404"):
            registry.resolve(reference, None, trusting, resolver=lambda *_: ["127.0.0.1"])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_challenges_of_every_shape() -> None:
    assert challenges(['Bearer realm="https://a/t?x=1",service="s, \\"q\\"" , Basic realm=plain']) == [
        Challenge("bearer", {"realm": "https://a/t?x=1", "service": 's, "q"'}),
        Challenge("basic", {"realm": "plain"}),
    ]
    assert challenges(["Basic", 'Bearer realm="x"']) == [Challenge("basic", {}), Challenge("bearer", {"realm": "x"})]
    assert challenges(["", '="', "Bearer realm=" + "a" * 9999])[0].scheme == "bearer"


@pytest.mark.parametrize(
    ("host", "realm", "expected"),
    [
        ("registry-1.docker.io", "https://auth.docker.io/token", True),
        ("registry-1.docker.io", "https://auth.docker.io.evil.example/token", False),
        ("registry-1.docker.io", "https://auth.docker.io:8443/token", False),
        ("x.azurecr.io", "https://x.azurecr.io/oauth2/token", True),
        ("x.azurecr.io", "https://y.azurecr.io/oauth2/token", False),
        ("r.example:5000", "https://r.example:5000/token", True),
        ("r.example:5000", "https://r.example/token", False),
        ("r.example", "https://r.example:443/token", True),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("r.example", "https://sso.example/token", True),
        ("r2.example", "https://sso.example/token", False),
    ],
)
def test_trusted_realms(host: str, realm: str, expected: bool) -> None:
    assert trusted_realm(host, realm, {"r.example": ("sso.example",)}) is expected
