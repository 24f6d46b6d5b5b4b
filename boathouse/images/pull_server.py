"""The small registry that engines are sent to: HTTP over the loopback. `pull_through.py` says who may have what.

Imported when the first engine pulls: the control plane starts without an HTTP server for it.
"""

import http.server
import logging
import re
import socketserver
import threading
from typing import Any, BinaryIO

from boathouse.images.failures import PullFailure
from boathouse.images.pull_through import LOOPBACK, Fetch, PullOffer, PullThrough
from boathouse.images.registry import Descriptor

log = logging.getLogger("boathouse.images")

#: How long a connection of an engine may say nothing, in seconds.
IDLE_SECONDS = 120.0
#: What is given to an engine at once, in bytes.
PIECE = 1 << 20

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]{0,400})/(?P<kind>manifests|blobs)/(?P<digest>sha256:[0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d{1,15})-")


def serve(owner: PullThrough) -> socketserver.TCPServer:
    """Listen on a free port of the loopback, until it is shut down."""

    class Handler(_Handler):
        through = owner

    server = _Server((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, name="pull-through", daemon=True).start()
    return server


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An engine that goes away in the middle is no error of ours; others are told by the pull's end."""
        log.debug("a connection of an engine broke", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    """The part of a registry's protocol that a pull by digest uses (distribution-spec 1.1, "pull")."""

    through: PullThrough
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        offer = self.through.who(self.headers.get("Authorization", ""))
        if offer is None:
            self._answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="boathouse"'})
            return
        asked = _PATH.fullmatch(self.path.partition("?")[0])
        if self.path in ("/v2", "/v2/"):
            self._answer(200, b"{}", {"Docker-Distribution-Api-Version": "registry/2.0"})
        elif asked is None or asked["name"] != offer.image.repository:
            self._answer(404, b"{}")
        elif asked["kind"] == "manifests":
            self._manifest(offer, asked["digest"])
        else:
            self._blob(offer, asked["digest"])

    do_HEAD = do_GET

    def _manifest(self, offer: PullOffer, digest: str) -> None:
        if digest != offer.digest:
            self._answer(404, b"{}")
            return
        headers = {"Content-Type": offer.manifest.media_type, "Docker-Content-Digest": digest}
        self._answer(200, offer.manifest.body, headers)

    def _blob(self, offer: PullOffer, digest: str) -> None:
        blob = offer.blob(digest)
        if blob is None or offer.failure() is not None:
            self._answer(404 if blob is None else 502, b"{}")
            return
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked and int(asked[1]) < blob.size else 0
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        if start:
            headers["Content-Range"] = f"bytes {start}-{blob.size - 1}/{blob.size}"
        self._head(206 if start else 200, blob.size - start, headers)
        if self.command == "HEAD":
            return
        try:
            file, fetch = self._file(offer, blob)
        except OSError as error:
            why = f"A layer of {offer.image} cannot be kept: {error.strerror}."
            offer.fail(PullFailure(why, "Free disk space in the cache."))
            self.close_connection = True
            return
        try:
            self._give(offer, blob, start, file, fetch)
        except OSError:  # the engine has gone
            self.close_connection = True

    def _file(self, offer: PullOffer, blob: Descriptor) -> tuple[BinaryIO, Fetch | None]:
        """The file that has a blob, or gets it just now."""
        kept = self.through.content.open(blob.digest, blob.size)
        if kept is not None:
            offer.kept.add(blob.digest)
            return kept, None
        fetch = self.through.arriving(offer, blob)
        return fetch.file, fetch

    def _give(self, offer: PullOffer, blob: Descriptor, start: int, file: BinaryIO, fetch: Fetch | None) -> None:
        while start < blob.size:
            until = blob.size if fetch is None else fetch.reach(start)
            if until == start:  # it failed: the engine sees the end before the length that it was told
                offer.fail(fetch.failure if fetch is not None else None)
                self.close_connection = True
                return
            while start < until:
                sent = self.connection.sendfile(file, start, min(PIECE, until - start))
                if not sent:
                    raise OSError("a kept file has become shorter")
                start += sent
                offer.gave(blob.digest, start)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """What engines ask for is told by the pull, not by its requests."""
