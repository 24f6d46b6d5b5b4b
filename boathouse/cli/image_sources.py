"""Where the images of `boathouse image` come from: an archive, an OCI folder, the engine, or a registry by the engine's pull."""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boathouse.cli import Failed
from boathouse.images import references
from boathouse.images.archive_view import ArchiveView, open_archive
from boathouse.images.findings import ImageView
from boathouse.images.registry_auth import Login
from boathouse.settings import Settings


def login() -> Login | None:
    """User and password of a registry, from the environment: a command line is seen by everybody on the machine."""
    username, password = os.environ.get("BOATHOUSE_REGISTRY_USERNAME"), os.environ.get("BOATHOUSE_REGISTRY_PASSWORD")
    return Login(username, password) if username and password else None


@contextmanager
def opened(what: str, settings: Settings) -> Iterator[ImageView]:
    """Eyes on an image, as a launch has them. Raises UnreadableArchive, Failed."""
    if Path(what).exists():
        yield open_archive(Path(what))
        return
    from boathouse.images.views import EngineView

    with _in_engine(what, settings) as (_, images, image), images.view(image) as raw:
        yield EngineView(raw)


@contextmanager
def listed(what: str, settings: Settings, keep: re.Pattern[str]) -> Iterator[tuple[ArchiveView, str]]:
    """An image whose files can be listed, and its id where an engine has one: what the engine has is saved to a file first.
    Raises UnreadableArchive, Failed."""
    if Path(what).exists():
        yield open_archive(Path(what), keep, jars=True), ""
        return
    with _in_engine(what, settings) as (client, _, image), tempfile.TemporaryDirectory(prefix="boathouse-image-") as scratch:
        saved = Path(scratch) / "image.tar"
        with client.calls() as api, saved.open("wb") as file:
            for block in api.get_image(image):
                file.write(block)
        yield open_archive(saved, keep, jars=True), image


@contextmanager
def _in_engine(text: str, settings: Settings) -> Iterator[tuple[Any, Any, str]]:
    """The engine's client, its images, and the id of an image that it has, or pulls by the digest that the registry gives."""
    from boathouse.dataplane.contract import Credentials
    from boathouse.dataplane.engine.client import EngineClient
    from boathouse.dataplane.engine.images import EngineImages
    from boathouse.dataplane.engine.locate import EngineMissing, find
    from boathouse.images import registry
    from boathouse.images.failures import ImageFailure
    from boathouse.server.planes import registry_settings

    if text.startswith((".", "/", "~")) or text.endswith((".tar", ".tar.gz", ".tgz")):
        raise Failed(f"{text}: no such file or folder")
    parsed = references.parse(text)
    try:
        engine = find(settings.cache, settings.engine or None)
    except EngineMissing as missing:
        raise Failed(str(missing)) from None
    client = EngineClient(engine.address)
    try:
        images = EngineImages(client, "check", engine.downloads)
        image = images.local(str(parsed))
        if image is None:
            who = login()
            try:
                found = registry.resolve(parsed, who, registry_settings(settings), None)
            except ImageFailure as error:
                raise Failed(f"{text}: {error}") from None
            plain = registry_settings(settings).plain_http(parsed.api_host)
            image = _pulled(images, found.pinned, Credentials(who.username, who.password) if who else None, plain)
        yield client, images, image
    finally:
        client.close()


def _pulled(images: Any, pinned: str, credentials: Any, plain: bool) -> str:
    from boathouse.dataplane.contract import PullState

    news = threading.Event()
    while True:
        pull = images.pull(pinned, credentials, plain, news.set)
        if pull.state is PullState.PRESENT:
            return pull.image
        if pull.state is PullState.FAILED:
            raise Failed(f"{pinned}: {pull.error}")
        news.wait(60)
        news.clear()
