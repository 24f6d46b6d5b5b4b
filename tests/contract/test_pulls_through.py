"""Pulls by a real engine that is sent to us: an own authority that it does not know, credentials that it never has, a registry of
Amazon's that an instance profile opens."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boathouse.compute.registry_keys import RegistryKeys
from boathouse.compute.secrets_step import Values
from boathouse.dataplane.contract import Credentials, Key, Pull, PullState
from boathouse.dataplane.engine import podman
from boathouse.dataplane.engine.images import EngineImages
from boathouse.dataplane.engine.pull import kept_name
from boathouse.images import references
from boathouse.images.content import Content
from boathouse.images.pull_through import PullThrough
from boathouse.images.registry_access import Registries
from boathouse.images.registry_auth import Login
from boathouse.images.registry_ecr import Tokens
from boathouse.images.registry_http import RegistrySettings
from boathouse.settings import default_cache
from boathouse.wire.compute import AwsAttributes, ClusterSpec, DockerImage
from tests.contract.fake_registry import ROBOT, Registry

pytestmark = pytest.mark.engine


@contextmanager
def running(plane, tmp_path: Path, **more) -> Iterator[Registry]:
    registry = Registry(plane.instance, **more)
    try:
        yield registry
    finally:
        registry.close()
        found = plane.engine_driver.local(":".join(kept_name(registry.pinned)))
        if found is not None:
            with plane.engine_driver.client.calls() as api:
                api.remove_image(found, force=True)


@contextmanager
def images_of(plane, tmp_path: Path, how: RegistrySettings) -> Iterator[tuple[EngineImages, Registries]]:
    """The engine's images by way of us, and the registries behind."""
    registries = Registries(how, Content(tmp_path / "pulled", 10**9))
    through = PullThrough(registries)
    try:
        yield EngineImages(plane.engine_driver.client, plane.instance, plane.engine.downloads, through), registries
    finally:
        through.close()


def pulled(images: EngineImages, pinned: str, key: Key) -> Pull:
    news = threading.Event()
    answer = images.pull(pinned, key, hint=news.set)
    if answer.state is PullState.PULLING:
        assert news.wait(60), "no hint that the pull ended"
        answer = images.pull(pinned, key)
    return answer


def test_an_own_authority_is_enough_and_the_engine_has_no_credentials(engine_plane, tmp_path: Path) -> None:
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=inner", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    login = Credentials("robot", f"hunter2-{engine_plane.instance}")
    lines: list[str] = []
    with running(engine_plane, tmp_path, login=login, tls=tls) as registry:
        registry.seen = lambda: lines.append(command_lines())
        how = RegistrySettings(allowed_private_hosts=(registry.host,), ca_file=certificate)
        with images_of(engine_plane, tmp_path, how) as (images, _):
            first = pulled(images, registry.pinned, login)
            assert (first.state, first.error, first.cached) == (PullState.PRESENT, "", False)
            assert first.bytes_done == first.bytes_total == len(registry.layer) + len(registry.config)
            assert f"MARK={engine_plane.instance}" in images.image_config(first.image)["Env"]
            assert pulled(images, registry.pinned, login).cached
        with images_of(engine_plane, tmp_path, how) as (another, _):  # as after a restart: another port, another password
            again = pulled(another, registry.pinned, login)
            assert (again.state, again.image, again.cached) == (PullState.PRESENT, first.image, True)
        told = [*lines, command_lines(), *told_by(engine_plane, first.image)]
        kept = [path for path in (tmp_path / "pulled").iterdir() if path.stat().st_size]
        for secret in Login(login.username, login.password).secrets:
            assert lines and not [text for text in told if secret in text]
            assert kept and not [path for path in kept if secret.encode() in path.read_bytes()]


def command_lines() -> str:
    """The command lines and environments of all processes that we may look at, but our own environment."""
    found = []
    for process in Path("/proc").iterdir():
        for part in ("cmdline", "environ"):
            try:
                found.append((process / part).read_bytes().decode(errors="replace"))
            except OSError:
                continue  # it has ended, or it is no process
    return "\n".join(found)


def told_by(plane, image: str) -> Iterator[str]:
    """What the engine tells of the image and of all containers, and what the embedded one has written beside its storage."""
    with plane.engine_driver.client.calls() as api:
        yield json.dumps(api.inspect_image(image))
        for container in plane.engine_driver.client.containers():
            yield json.dumps(plane.engine_driver.client.inspect(container["Id"]))
    where = podman.service(default_cache())
    for file in (where.log, where.home / "auth.json", where.home / "containers.conf"):
        if file.exists():
            yield file.read_text(errors="replace")


def test_what_is_wrong_with_the_registry_is_said_in_our_words(engine_plane, tmp_path: Path) -> None:
    with running(engine_plane, tmp_path) as registry:
        registry.sent = b"x" * len(registry.layer)
        how = RegistrySettings((registry.host,), (registry.host,))
        with images_of(engine_plane, tmp_path, how) as (images, _):
            answer = pulled(images, registry.pinned, ROBOT)
            assert (answer.state, answer.code) == (PullState.FAILED, "DOCKER_IMAGE_PULL_FAILURE")
            assert "does not have the digest it must have" in answer.error and "push the image again" in answer.error
            wrong = pulled(images, registry.pinned, Credentials("robot", "s3cret-that-is-wrong"))
            assert wrong.state is PullState.FAILED and "refuses the user and password" in wrong.error
            assert "s3cret" not in wrong.error
            registry.sent = registry.layer
            assert pulled(images, registry.pinned, ROBOT).state is PullState.PRESENT


PROFILE = "arn:aws:iam::123456789012:instance-profile/pulls"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


class Wish:
    spec = ClusterSpec(
        spark_version="",
        docker_image=DockerImage(f"{HOST}/team/base:1"),
        aws_attributes=AwsAttributes(instance_profile_arn=PROFILE),
    )
    values, workspace_id, editor = Values(), 1, "ann@x.org"


def test_an_image_of_amazons_by_the_instance_profile(engine_plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEMACHINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        address, port = moto.get_host_and_port()
        tokens = Tokens({"api.ecr.us-east-1.amazonaws.com": f"http://{address}:{port}"})
        key = RegistryKeys(None, tokens, {PROFILE: "machine"}).of(Wish())
        with running(engine_plane, tmp_path, login=Credentials("AWS", "123456789012-auth-token")) as registry:
            how = RegistrySettings(plain_http_hosts=(registry.host,), endpoints={HOST: registry.host})
            with images_of(engine_plane, tmp_path, how) as (images, registries):
                found, _ = registries.resolve(references.parse(f"{HOST}/team/base:1"), key)
                assert found.pinned.startswith(f"{HOST}/team/base@sha256:")
                answer = pulled(images, found.pinned, key)
                assert (answer.state, answer.error) == (PullState.PRESENT, "")
                with engine_plane.engine_driver.client.calls() as api:
                    api.remove_image(answer.image, force=True)
    finally:
        moto.stop()
