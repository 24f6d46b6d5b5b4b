"""Where the images of `boathouse image` come from: an archive, an OCI folder, the engine, or a registry by the engine's pull.
What a registry refuses is an ImageFailure, which a check reports as launches do."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

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
    from boathouse.images.registry import ResolvedImage

#: The host of names that no registry has: what was built here.
_OWN_HOST = "localhost"


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
def opened(what: str, settings: Settings, max_bytes: int | None = None) -> Iterator[ImageView]:
    """Eyes on an image, as a launch has them. `max_bytes`: of its layers at a registry. Raises UnreadableArchive, ImageFailure,
    Failed."""
    if Path(what).exists():
        yield open_archive(Path(what))
        return
    from boathouse.images.views import EngineView

    with _in_engine(what, settings, max_bytes) as (images, image, told), images.view(image) as raw:
        view = EngineView(raw)
        if told is not None:  # engines do not tell the history, registries do
            view.config = replace(view.config, history=told.config.history)
        yield view


@contextmanager
def listed(what: str, settings: Settings, keep: re.Pattern[str]) -> Iterator[tuple[ArchiveView, str]]:
    """An image whose files can be listed, and its id where an engine has one: what the engine has is saved to a file first.
    Raises UnreadableArchive, ImageFailure, Failed."""
    if Path(what).exists():
        yield open_archive(Path(what), keep, jars=True), ""
        return
    with _in_engine(what, settings) as (images, image, _), tempfile.TemporaryDirectory(prefix="boathouse-image-") as scratch:
        saved = Path(scratch) / "image.tar"
        images.save(image, saved)
        yield open_archive(saved, keep, jars=True), image


@contextmanager
def _in_engine(text: str, settings: Settings, max_bytes: int | None = None) -> "Iterator[tuple[Any, str, ResolvedImage | None]]":
    """The engine's images, the id of one, and what its registry says of it. The registry is asked first, as launches do; what it
    does not show is looked for in the engine, which has what was built and not pushed. Raises ImageFailure, Failed."""
    from boathouse.dataplane.contract import NodeFailure
    from boathouse.dataplane.engine.client import EngineClient
    from boathouse.dataplane.engine.images import EngineImages
    from boathouse.dataplane.engine.locate import EngineMissing, find
    from boathouse.images import registry
    from boathouse.images.failures import NotThere, PullFailure
    from boathouse.server import planes, registries

    if text.startswith((".", "/", "~")) or text.endswith((".tar", ".tar.gz", ".tgz")):
        raise Failed(f"{text}: no such file or folder")
    parsed = references.parse(text)
    access, key = registries.access(settings), key_for(parsed, settings)
    found, silent = None, PullFailure(f"{parsed} is not in the engine.", "Build it: boathouse image build.")
    if parsed.host != _OWN_HOST:
        try:
            found, _ = access.resolve(parsed, key, max_bytes, told=_tell_wait)
        except PullFailure as failure:
            silent = failure
        except NodeFailure as error:
            raise Failed(f"{text}: {error}") from None
    try:
        engine = find(settings.cache, settings.engine or None)
    except EngineMissing as missing:
        if found is None and parsed.host != _OWN_HOST:
            raise silent from None
        raise Failed(str(missing)) from None
    client = EngineClient(engine.address)
    through = registries.pull_through(settings, access)
    try:
        images = EngineImages(client, "check", engine.downloads, through)
        image = images.local(str(parsed))
        if found is not None:
            registry.refuse_too_large(found, planes.room(settings.cache, engine.embedded))
            if image is None or not _same(images.image_config(image), found):
                image = _pulled(images, found.pinned, key, access.settings.plain_http(parsed.api_host))
        elif image is None:
            raise silent
        elif parsed.host != _OWN_HOST:
            why = "the registry does not have it" if isinstance(silent, NotThere) else f"its registry does not show it ({silent})"
            print(f"{text}: {why}; this is the engine's own", file=sys.stderr)
        yield images, image, found
    finally:
        client.close()
        if through is not None:
            through.close()


def _same(config: dict[str, Any], found: "ResolvedImage") -> bool:
    """Whether an image of the engine is what its registry shows now."""
    here = {str(each).partition("@")[2] for each in config.get("RepoDigests") or ()}
    return found.digest in here or found.index_digest in here


def _tell_wait(wait: Wait | None) -> None:
    if wait is not None:
        print(f"{wait.host} answered {wait.status}: waiting {wait.seconds:.0f} s", file=sys.stderr)


def _pulled(images: Any, pinned: str, key: "Key", plain: bool) -> str:
    from boathouse.dataplane.contract import PullState
    from boathouse.images.failures import PullFailure

    news = threading.Event()
    while True:
        pull = images.pull(pinned, key, plain, news.set)
        if pull.state is PullState.PRESENT:
            return pull.image
        if pull.state is PullState.FAILED:
            failure = PullFailure(pull.error if pull.code else f"{pinned}: {pull.error}")
            failure.code = pull.code or failure.code
            raise failure
        news.wait(60)
        news.clear()
