"""Layers of an image, fetched by our own registry client: in pieces, taken up where a connection broke, held to size and digest.

`pull_through.py` uses it. Everything that `registry.py` promises holds here: judged addresses, credentials for the registry
alone, own authorities, proxies, waiting that is told.
"""

import hashlib
from collections.abc import Callable

import msgspec

from boathouse.images.failures import Broken, PullFailure
from boathouse.images.references import Reference
from boathouse.images.registry import Descriptor, Session, _descriptors, media_type
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import Connection

#: How often a transfer that broke is taken up again without a byte more than before.
ATTEMPTS = 3


class Manifest(msgspec.Struct, frozen=True):
    """A manifest as an engine is given it, and what it names."""

    media_type: str
    body: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]


class Layers(Session):
    """What one repository's manifest and blobs are fetched by. Not for several threads. `renew`: another log-in in the place
    of one that has ended, if there can be one."""

    def __init__(
        self, connection: Connection, reference: Reference, login: Login | None, renew: Callable[[], Login] | None = None
    ) -> None:
        super().__init__(connection, reference, login)
        self._renew = renew

    def manifest(self, digest: str) -> Manifest:
        """The manifest of this digest, whose right to be read `resolve` has shown. Raises PullFailure."""
        if self._kept(digest) is None:
            self.log_in()
        _, body, content_type = self._manifest_bytes(digest, digest, known=True)
        document = self._parsed(body, content_type)
        config, layers = _descriptors(document, self._reference)
        return Manifest(media_type(document), body, config, layers)

    def fetch(self, blob: Descriptor, take: Callable[[bytes], None]) -> None:
        """Give all bytes of a blob to `take`, in order. Raises PullFailure when they cannot be had whole, or are not those of the
        digest; what `take` raises goes through."""
        taken, skip, digest = 0, 0, hashlib.sha256()

        def sink(status: int, block: bytes) -> None:
            nonlocal taken, skip
            if status == 200 and skip:  # it begins anew, though it was asked to go on
                dropped = min(skip, len(block))
                block, skip = block[dropped:], skip - dropped
            taken += len(block)
            digest.update(block)
            take(block)

        self.log_in()
        idle = 0
        while True:
            before = skip = taken
            try:
                self._blob_from(blob, taken, sink)
                break
            except Broken:
                idle = idle + 1 if taken == before else 0
                if idle >= ATTEMPTS or taken >= blob.size:
                    raise
        if taken != blob.size:
            raise PullFailure(f"A layer of {self._reference} has {taken} bytes; its manifest says {blob.size}.")
        if f"sha256:{digest.hexdigest()}" != blob.digest:
            raise PullFailure(
                f"A layer of {self._reference} does not have the digest it must have.",
                "Its bytes were changed on the way or in the registry: push the image again.",
                f"wanted {blob.digest}, got sha256:{digest.hexdigest()}",
            )

    def _blob_from(self, blob: Descriptor, start: int, sink: Callable[[int, bytes], None]) -> None:
        url = f"{self._base}{self._reference.repository}/blobs/{blob.digest}"
        for renewed in (False, True):
            headers = {**self._headers, "Accept": "*/*", **({"Range": f"bytes={start}-"} if start else {})}
            response = self._connection.get(url, headers, blob.size or 1, redirects=True, sink=sink)
            if response.status == 401 and not renewed:  # what opened it has ended meanwhile
                self._login = self._renew() if self._renew is not None else self._login
                self.log_in()
                continue
            if response.status not in (200, 206):
                raise self._refused(response, "layer")
            return
