"""Bodies that are not read whole: a request's as it arrives, and an answer's as it is made. Memory stays bounded.

An endpoint that declares `stream: Body` runs in a thread of its own pool and iterates; the loop gathers what the socket has.
An endpoint that returns `Stream` is iterated in the same pool, a chunk at a time, as fast as the client reads.
"""

import asyncio
import concurrent.futures
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from boathouse.edge.errors import ApiError, malformed

Receive = Callable[[], Awaitable[dict[str, Any]]]

#: Bytes that are handed over at once, at least (a request's end aside).
CHUNK = 1 << 20

#: Seconds without a byte after which a sender is given up, and seconds that `CHUNK` bytes may take.
PATIENCE, SLOWEST = 60.0, 300.0


class Stream(msgspec.Struct, frozen=True):
    """An answer in chunks, `length` bytes of them in all."""

    chunks: Iterable[bytes]
    length: int
    status: int = 200
    media_type: str = "application/octet-stream"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


def too_large(limit: int) -> ApiError:
    """413: the body is larger than the endpoint takes."""
    return ApiError(413, "MAX_REQUEST_SIZE_EXCEEDED", f"The request body is larger than {limit} bytes, the limit here.")


class Shares:
    """How many bodies each sender sends at once: every one holds a thread, and nobody may hold those of all."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def one(self, sender: str) -> Iterator[None]:
        """One more of `sender`'s, until the end of the `with`. Raises ApiError 429."""
        with self._lock:
            if self._held[sender] >= self._most:
                text = f"At most {self._most} bodies are taken from one sender at once. Try again when one of them is sent."
                raise ApiError(429, "REQUEST_LIMIT_EXCEEDED", text, headers={"Retry-After": "1"})
            self._held[sender] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[sender] -= 1
                if not self._held[sender]:
                    del self._held[sender]


class Body:
    """The body of a request as it arrives: iterate over it once, in the endpoint's thread. Raises ApiError: 413 past the limit,
    408 when the sender falls silent, 400 when it goes away."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop, headers: Mapping[str, str], limit: int) -> None:
        self._receive, self._loop, self._limit = receive, loop, limit
        self.media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self.content_type = headers.get("content-type", "")
        announced = headers.get("content-length", "")
        #: What the sender says it has; None when it does not say.
        self.length = int(announced) if announced.isdigit() else None
        self._over = False
        self._taken = 0

    def __iter__(self) -> Iterator[bytes]:
        if self.length is not None and self.length > self._limit:
            raise too_large(self._limit)
        while not self._over:
            future = asyncio.run_coroutine_threadsafe(self._gather(), self._loop)
            try:
                chunk = future.result()
            except concurrent.futures.CancelledError:
                raise malformed("The server stops; send the request again.") from None
            if self._taken > self._limit:
                raise too_large(self._limit)
            if chunk:
                yield chunk

    def whole(self, limit: int) -> bytes:
        """All of it at once. Raises ApiError 413 past `limit` bytes."""
        parts: list[bytes] = []
        for chunk in self:
            parts.append(chunk)
            if self._taken > limit:
                raise too_large(limit)
        return b"".join(parts)

    async def _gather(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        latest = self._loop.time() + SLOWEST
        while size < CHUNK and not self._over:
            try:
                message = await asyncio.wait_for(self._receive(), min(PATIENCE, latest - self._loop.time()))
            except TimeoutError:
                self._over = True
                slow = self._loop.time() >= latest
                words = f"{CHUNK} bytes took more than {SLOWEST:.0f}" if slow else f"No byte of the body came for {PATIENCE:.0f}"
                raise ApiError(408, "REQUEST_TIMEOUT", f"{words} seconds.") from None
            if message["type"] == "http.disconnect":
                self._over = True
                raise malformed("The client went away before the request was complete.")
            data = message.get("body", b"")
            self._over = not message.get("more_body")
            if data:
                parts.append(data)
                size += len(data)
        self._taken += size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def drain(self, limit: int) -> None:
        """Read and throw away what is left, `limit` bytes at most: the client then sees the answer and not a reset."""
        try:
            left = limit
            while not self._over and left > 0:
                left -= len(await self._gather())
        except ApiError:
            return  # gone or silent: nobody waits for the answer
