"""Where the images of `boathouse image` come from: an archive, an OCI folder, the engine, or a registry by the engine's pull."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boathouse.cli import Failed
from boathouse.images import references
from boathouse.images.archive_view import ArchiveView, open_archive
from boathouse.images.findings import ImageView
from boathouse.images.references import Reference
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import Wait
from boathouse.settings import Settings

if TYPE_CHECKING:
    from boathouse.dataplane.contract import Key


def login() -> Login | None:
    """User and password of a registry, from the environment: a command line is seen by everybody on the machine."""
    username, password = os.environ.get("BOATHOUSE_REGISTRY_USERNAME"), os.environ.get("BOATHOUSE_REGISTRY_PASSWORD")
    return Login(username, password) if username and password else None


def key_for(reference: Reference, settings: Settings) -> "Key":
    """What opens a registry for who calls: the environment's user and password, else what `docker login` has kept, else, for a
    registry of Amazon's, the AWS credentials of who calls."""
    from docker.auth import load_config
    from docker.errors import DockerException

    from boathouse.dataplane.contract import Credentials, NodeFailure, Renewable
    from boathouse.images import registry_ecr
    from boathouse.images.failures import ImageFailure
    from boathouse.server.registries import ecr_tokens

    given = login()
    if given is not None:
        return Credentials(given.username, given.password)
    try:
        kept = load_config().resolve_authconfig(reference.host) or {}
    except DockerException as error:
        raise Failed(f"the log-ins of docker cannot be read: {error}") from None
    found = {name.lower(): value for name, value in kept.items()}
    if found.get("username") and found.get("password"):
        return Credentials(found["username"], found["password"])
    place = registry_ecr.place(reference.host)
    if place is None:
        return None
    tokens = ecr_tokens(settings)

    def get(renew: bool) -> Credentials:
        try:
            return tokens.get(place, None, renew)
        except ImageFailure as failure:
            raise NodeFailure(failure.code, failure.text) from None

    return Renewable("aws", get)


@contextmanager
def opened(what: str, settings: Settings) -> Iterator[ImageView]:
    """Eyes on an image, as a launch has them. Raises UnreadableArchive, Failed."""
    if Path(what).exists():
        yield open_archive(Path(what))
        return
    from boathouse.images.views import EngineView

    with _in_engine(what, settings) as (images, image), images.view(image) as raw:
        yield EngineView(raw)


@contextmanager
def listed(what: str, settings: Settings, keep: re.Pattern[str]) -> Iterator[tuple[ArchiveView, str]]:
    """An image whose files can be listed, and its id where an engine has one: what the engine has is saved to a file first.
    Raises UnreadableArchive, Failed."""
    if Path(what).exists():
        yield open_archive(Path(what), keep, jars=True), ""
        return
    with _in_engine(what, settings) as (images, image), tempfile.TemporaryDirectory(prefix="boathouse-image-") as scratch:
        saved = Path(scratch) / "image.tar"
        images.save(image, saved)
        yield open_archive(saved, keep, jars=True), image


@contextmanager
def _in_engine(text: str, settings: Settings) -> Iterator[tuple[Any, str]]:
    """The engine's images, and the id of an image that it has, or pulls by the digest that the registry gives."""
    from boathouse.dataplane.contract import NodeFailure
    from boathouse.dataplane.engine.client import EngineClient
    from boathouse.dataplane.engine.images import EngineImages
    from boathouse.dataplane.engine.locate import EngineMissing, find
    from boathouse.images.failures import ImageFailure
    from boathouse.server import registries

    if text.startswith((".", "/", "~")) or text.endswith((".tar", ".tar.gz", ".tgz")):
        raise Failed(f"{text}: no such file or folder")
    parsed = references.parse(text)
    try:
        engine = find(settings.cache, settings.engine or None)
    except EngineMissing as missing:
        raise Failed(str(missing)) from None
    client = EngineClient(engine.address)
    access = registries.access(settings)
    through = registries.pull_through(settings, access)
    try:
        images = EngineImages(client, "check", engine.downloads, through)
        image = images.local(str(parsed))
        if image is None:
            try:
                key = key_for(parsed, settings)
                found, _ = access.resolve(parsed, key, told=_tell_wait)
            except (ImageFailure, NodeFailure) as error:
                raise Failed(f"{text}: {error}") from None
            image = _pulled(images, found.pinned, key, access.settings.plain_http(parsed.api_host))
        yield images, image
    finally:
        client.close()
        if through is not None:
            through.close()


def _tell_wait(wait: Wait | None) -> None:
    if wait is not None:
        print(f"{wait.host} answered {wait.status}: waiting {wait.seconds:.0f} s", file=sys.stderr)


def _pulled(images: Any, pinned: str, key: "Key", plain: bool) -> str:
    from boathouse.dataplane.contract import PullState

    news = threading.Event()
    while True:
        pull = images.pull(pinned, key, plain, news.set)
        if pull.state is PullState.PRESENT:
            return pull.image
        if pull.state is PullState.FAILED:
            raise Failed(pull.error if pull.code else f"{pinned}: {pull.error}")
        news.wait(60)
        news.clear()
