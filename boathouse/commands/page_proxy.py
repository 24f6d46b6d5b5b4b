"""One HTTP exchange between a browser and a web page inside a node, through the tunnel.

Spoken as HTTP/1.0 on a stream of its own: the answer ends where the stream ends, so nothing of its framing has to be believed.
Neither side sees what is ours: credentials and cookies do not reach the page, and the page sets none. Knows no rights.
"""

import asyncio
import html
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from boathouse.dataplane.contract import Link, NodeError, NodeGone

log = logging.getLogger("boathouse.commands")

HEAD_LIMIT = 64 << 10
BODY_LIMIT = 1 << 20
CHUNK = 64 << 10
#: Seconds without a byte of the page before it counts as hanging.
SILENCE = 60.0

#: Of the request: what may pass. Everything else (authorization, cookies, our own and forwarding headers) stays here.
_INWARD = (
    "accept", "accept-language", "accept-encoding", "content-type", "if-modified-since", "if-none-match", "range", "user-agent",
)  # fmt: skip
#: Of the answer: what may not pass.
_NOT_OUTWARD = frozenset(
    {
        "access-control-allow-credentials", "access-control-allow-origin", "alt-svc", "clear-site-data", "connection", "date",
        "keep-alive", "nel", "proxy-authenticate", "report-to", "server", "service-worker-allowed", "set-cookie", "set-cookie2",
        "strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade", "www-authenticate",
    }
)  # fmt: skip


class Refusal(Exception):
    """An answer of ours in the place of the page."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


async def refuse(send: Any, refusal: Refusal) -> None:
    """Answer with a plain page that says why."""
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in refusal.message.splitlines())
    body = f"<!doctype html><meta charset=utf-8><title>Boathouse</title>{paragraphs}".encode() if refusal.message else b""
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'",
        **refusal.headers,
    }
    listed = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


async def proxy(
    pool: Executor,
    link: Link,
    node_id: str,
    port: int,
    scope: dict[str, Any],
    headers: Mapping[str, str],
    receive: Any,
    send: Any,
) -> None:
    """Ask the page and pass its answer on as it comes. Raises Refusal as long as nothing was passed on."""
    body = await _body(receive)
    try:
        sock = await asyncio.get_running_loop().run_in_executor(pool, link.open, node_id, f"tcp:127.0.0.1:{port}")
    except (NodeGone, NodeError) as error:
        log.info("the page of %s does not answer: %s", node_id, error)
        raise Refusal(503, "The Spark UI does not answer now. Try again in a moment.") from None
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=sock, limit=HEAD_LIMIT)
    passing = False
    try:
        writer.write(_request(scope, headers, body))
        await writer.drain()
        status, passed = _head(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SILENCE))
        passing = True
        await send({"type": "http.response.start", "status": status, "headers": passed})
        while chunk := await asyncio.wait_for(reader.read(CHUNK), SILENCE):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError, TimeoutError) as error:
        log.info("the page of %s answered no HTTP: %r", node_id, error)
        if passing:
            raise ConnectionError("the page broke off in the middle of its answer") from None
        raise Refusal(502, "The Spark UI answered something that is not a page.") from None
    finally:
        writer.close()


async def _body(receive: Any) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "The request is not complete.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT:
            raise Refusal(413, "The request is too large for the Spark UI.")
        more = message.get("more_body", False)
    return b"".join(parts)


def _request(scope: dict[str, Any], headers: Mapping[str, str], body: bytes) -> bytes:
    path = scope["raw_path"] if scope.get("raw_path") else scope["path"].encode("latin-1", "replace")
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    # The page makes its redirects from the host it is asked by.
    passed = {"host": headers["host"], **{name: headers[name] for name in _INWARD if name in headers}}
    if body:
        passed["content-length"] = str(len(body))
    lines = [f"{scope['method']} ".encode() + path + query + b" HTTP/1.0"]
    lines += [f"{name}: {value}".encode("latin-1", "replace") for name, value in passed.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _head(raw: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    first, *lines = raw[:-4].split(b"\r\n")
    version, status = first.split(b" ", 2)[:2]
    code = int(status)
    if not version.startswith(b"HTTP/1.") or not 200 <= code <= 599:
        raise ValueError(f"status line {first[:80]!r}")
    passed = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name.strip():
            raise ValueError(f"header line {line[:80]!r}")
        if name.strip().lower().decode("latin-1") not in _NOT_OUTWARD:
            passed.append((name.strip().lower(), value.strip()))
    return code, passed
