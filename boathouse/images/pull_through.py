"""Images for engines of this machine, from registries that only we ask: a small registry on the loopback, for pulls alone.

An engine that pulls by itself would need every setting of ours in its own configuration: authorities, proxies, mirrors; it would
have the registry's credentials, resolve names anew, and could neither renew a token nor say that it waits. So it is sent here,
with a password that is worth nothing elsewhere, and gets the manifest of one digest and the blobs that this names. They are
fetched by `registry_blobs.py`, given on while they arrive, and kept by digest in `content.py`. Started at the first pull.
"""

import base64
import contextlib
import errno
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import TCPServer
from typing import TypeVar

from boathouse.dataplane.contract import Credentials, Key, NodeFailure, RegistryWait
from boathouse.images import references
from boathouse.images.failures import ImageFailure, PullFailure, TooLarge
from boathouse.images.references import Reference
from boathouse.images.registry import Descriptor
from boathouse.images.registry_access import Registries, with_key
from boathouse.images.registry_auth import Login
from boathouse.images.registry_blobs import Layers, Manifest
from boathouse.images.registry_http import Wait

log = logging.getLogger("boathouse.images")

LOOPBACK = "127.0.0.1"


Found = TypeVar("Found")

#: Registry, repository and blob: whose answer a transfer depends on, and what it is held to.
Whence = tuple[str, str, Descriptor]


class Cancelled(Exception):
    """Nobody wants these bytes any more."""


class Fetch:
    """One blob that arrives: a file that grows. Its last byte is not given to anybody before the digest fits."""

    def __init__(self, blob: Descriptor, path: Path) -> None:
        self.blob, self.path, self.file = blob, path, path.open("rb")
        self.failure: ImageFailure | None = None
        self._news = threading.Condition()
        self._there, self._done, self._cancelled = 0, False, False

    def add(self, size: int) -> None:
        with self._news:
            if self._cancelled:
                raise Cancelled
            self._there += size
            self._news.notify_all()

    def end(self, failure: ImageFailure | None = None) -> None:
        with self._news:
            self._done, self.failure = True, failure
            self._news.notify_all()

    def cancel(self) -> None:
        with self._news:
            self._cancelled = True

    def reach(self, start: int) -> int:
        """Wait until bytes behind `start` may be given on: up to where. `start` when there will be none."""
        with self._news:
            while True:
                ready = self._there if self._done and self.failure is None else min(self._there, self.blob.size - 1)
                if ready > start or self._done:
                    return max(ready, start)
                self._news.wait()


class PullOffer:
    """One pull of one image; see `dataplane.contract.Offer`."""

    def __init__(self, owner: "PullThrough", pinned: str, key: Key) -> None:
        self.key, self.image = key, references.parse(pinned, "pinned")
        assert self.image.digest is not None, "only what has a digest is pulled"
        self.digest: str = self.image.digest
        self.credentials = Credentials(secrets.token_hex(8), secrets.token_urlsafe(32))
        self.reference = f"{LOOPBACK}:{owner.port}/{self.image.repository}@{self.digest}"
        self._owner, self._guard = owner, threading.Lock()
        self._places = owner.registries.places(self.image, key)
        self._manifest: Manifest | None = None
        #: Blobs that were given as they were kept, not as they arrived.
        self.kept: set[str] = set()
        self._given: dict[str, int] = {}
        self._heard = time.monotonic()
        self._wait: RegistryWait | None = None
        self._failure: ImageFailure | None = None

    def prepare(self) -> None:
        try:
            self._manifest = self._asked_of_each(lambda layers: layers.manifest(self.digest))
        except ImageFailure as failure:
            raise NodeFailure(failure.code, failure.text) from None

    @property
    def manifest(self) -> Manifest:
        assert self._manifest is not None, "an offer is prepared before an engine hears of it"
        return self._manifest

    def blob(self, digest: str) -> Descriptor | None:
        """What the manifest says of a blob; None for one that it does not name."""
        return next((blob for blob in (self.manifest.config, *self.manifest.layers) if blob.digest == digest), None)

    def fetch(self, fetch: Fetch) -> None:
        """Have a blob in its file. What goes wrong is `fetch.failure`, and this offer's."""
        failure: ImageFailure | None = None
        try:
            with fetch.path.open("wb", buffering=0) as file:

                def take(block: bytes) -> None:
                    file.write(block)
                    self.touch()
                    fetch.add(len(block))

                self._asked_of_each(lambda layers: layers.fetch(fetch.blob, take), lambda: file.tell() == 0)
            self._owner.content.finish(fetch.path, fetch.blob.digest)
        except ImageFailure as error:
            failure = error
        except NodeFailure as error:
            failure = PullFailure(error.message)
        except Cancelled:
            failure = PullFailure("The pull was given up.")
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            words = f"A layer of {self.image} cannot be kept in {fetch.path.parent}: {error.strerror}."
            failure = (TooLarge if full else PullFailure)(words, "Free disk space there.")
        if failure is not None:
            fetch.path.unlink(missing_ok=True)
            self.fail(failure)
        self._owner.ended(self, fetch)
        fetch.end(failure)

    def _asked_of_each(self, ask: Callable[[Layers], Found], may_move_on: Callable[[], bool] = lambda: True) -> Found:
        """Ask a mirror, and the registry itself where that one fails (before it has given anything)."""
        for place in self._places:
            try:
                return with_key(self.key, lambda login, at=place: self._ask(at, login, ask))
            except PullFailure as failure:
                if place is self._places[-1] or not may_move_on():
                    raise
                log.warning("the mirror %s does not give %s: %s", place.host, self.image, failure.text)
        raise AssertionError("the registry itself is the last place")

    def _ask(self, place: Reference, login: Login | None, ask: Callable[[Layers], Found]) -> Found:
        with self._owner.registries.layers(place, self.key, login, self._told) as layers:
            return ask(layers)

    def _told(self, wait: Wait | None) -> None:
        now = round(time.time() * 1000)
        self._wait = None if wait is None else RegistryWait(wait.host, wait.status, wait.seconds, now)
        self.touch()

    def fail(self, failure: ImageFailure | None) -> None:
        """What went wrong with the registry; the first one counts."""
        self._failure = self._failure or failure

    def distrust(self) -> None:
        for digest in self.kept:
            self._owner.content.drop(digest)

    def touch(self) -> None:
        """Something has arrived, or was given."""
        self._heard = time.monotonic()

    def gave(self, digest: str, until: int) -> None:
        """The engine has been given a blob up to there."""
        with self._guard:
            self._given[digest] = max(until, self._given.get(digest, 0))
        self.touch()

    def heard(self) -> float:
        return time.monotonic() if self._wait is not None else self._heard

    def progress(self) -> tuple[int, int]:
        if self._manifest is None:
            return 0, 0
        with self._guard:
            return sum(self._given.values()), sum(blob.size for blob in (self.manifest.config, *self.manifest.layers))

    def waiting(self) -> RegistryWait | None:
        return self._wait

    def failure(self) -> tuple[str, str] | None:
        return None if self._failure is None else (self._failure.code, self._failure.text)


class PullThrough:
    """See `dataplane.contract.Source`. One for the control plane; any thread."""

    def __init__(self, registries: Registries) -> None:
        assert registries.content is not None, "what is pulled through us is kept"
        self.registries, self.content = registries, registries.content
        self._guard = threading.Lock()
        self._server: TCPServer | None = None
        self._offers: dict[str, PullOffer] = {}
        self._fetches: dict[Whence, Fetch] = {}

    @property
    def port(self) -> int:
        """Where engines ask; begins to listen at the first call."""
        with self._guard:
            if self._server is None:
                from boathouse.images.pull_server import serve  # here: the control plane starts without it

                self._server = serve(self)
            return int(self._server.server_address[1])

    @contextlib.contextmanager
    def offer(self, pinned: str, key: Key) -> Iterator[PullOffer]:
        made = PullOffer(self, pinned, key)
        with self._guard:
            self._offers[made.credentials.username] = made
        try:
            with self.content.holding(frozenset({made.digest})):
                yield made
        finally:
            with self._guard:
                del self._offers[made.credentials.username]
                if not self._offers:
                    for fetch in self._fetches.values():
                        fetch.cancel()
            self.content.trim()

    def close(self) -> None:
        """Listen no more, and wait for no registry."""
        self.registries.stop()
        with self._guard:
            server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def who(self, authorization: str) -> PullOffer | None:
        """The offer whose password somebody gives."""
        scheme, _, given = authorization.partition(" ")
        try:
            username, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (ValueError, UnicodeDecodeError):
            return None
        with self._guard:
            found = self._offers.get(username)
        fits = found is not None and hmac.compare_digest(found.credentials.password.encode(), password.encode())
        return found if fits and scheme.lower() == "basic" else None

    def arriving(self, offer: PullOffer, blob: Descriptor) -> Fetch:
        """The blob, as it arrives: fetched for `offer` unless somebody has it fetched from the same repository already. Not from
        another: one registry that is slow or lies would hold up who has the same layer of another."""
        whence = (offer.image.host, offer.image.repository, blob)
        with self._guard:
            found = self._fetches.get(whence)
            if found is not None:
                return found
            made = self._fetches[whence] = Fetch(blob, self.content.part(blob.digest))
        threading.Thread(target=offer.fetch, args=(made,), name="layer", daemon=True).start()
        return made

    def ended(self, offer: PullOffer, fetch: Fetch) -> None:
        with self._guard:
            self._fetches.pop((offer.image.host, offer.image.repository, fetch.blob), None)
