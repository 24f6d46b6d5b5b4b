"""The ASGI application: one request from socket to answer.

A plain `def` endpoint runs whole (authentication, decoding, call, encoding) in one hop to a thread of our own pool; an
`async def` endpoint runs in the loop after the same steps. Nothing here knows a resource.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from sqlalchemy.exc import OperationalError

from boathouse import telemetry
from boathouse.edge.caller import Authenticator, Caller
from boathouse.edge.context import Ctx, Services, record
from boathouse.edge.decoding import decode_body, decode_path, decode_query
from boathouse.edge.errors import ApiError, malformed, no_such_endpoint, not_served
from boathouse.edge.routing import Endpoint, Raw, Routes
from boathouse.edge.sources import Sources
from boathouse.edge.streams import Body, Shares, Stream, too_large
from boathouse.edge.unserved import Catalogue
from boathouse.reconcile import Precedence
from boathouse.store import Store

access = logging.getLogger("boathouse.access")
log = logging.getLogger("boathouse.edge")

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Asgi = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

#: Who a caller of a public endpoint is.
NOBODY = Caller(principal_id=0, name="", kind="nobody", workspace_id=0)

#: How much of a refused body is read and thrown away, so that the client sees the answer and not a reset.
DRAIN_LIMIT = 64 << 20

#: Threads for bodies that are streamed, in and out: slow senders keep one each, and must not hold up other calls.
STREAM_THREADS = 64

#: How many of them one sender may hold: a principal, or the address of one that shows none.
STREAMS_OF_ONE = STREAM_THREADS // 4

#: What a stranger may send before we ask who it is, in bytes.
UNASKED = 1 << 20


class Edge:
    """The application. `front` may take a request away by its host (the clusters' own pages) before any routing; it is told the
    address that the request comes from."""

    def __init__(
        self,
        routes: Routes,
        store: Store,
        authenticate: Authenticator,
        services: Services,
        front: Callable[[dict[str, Any], Mapping[str, str], str], Asgi | None] = lambda scope, headers, source: None,
        threads: int = 32,
        precedence: Precedence | None = None,
        sources: Sources | None = None,
    ) -> None:
        self.routes, self.store, self.authenticate, self.services, self.front = routes, store, authenticate, services, front
        self._sources = sources or Sources()
        self._confirm = getattr(authenticate, "confirm", None)
        self._admit = getattr(authenticate, "admit", None)
        self.catalogue = Catalogue()
        self._precedence = precedence or Precedence()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="edge")
        self._streams = ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="edge-stream")
        self._shares = Shares(STREAMS_OF_ONE)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._streams.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("run with lifespan off")
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        taken = self.front(scope, headers, self._sources.of(scope, headers))
        if taken is not None:
            await taken(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        who = ["", "none"]
        answer = await self._answer(scope, headers, receive, request_id, who)
        if isinstance(answer, Stream):
            await self._send_stream(send, answer, request_id, head=scope["method"] == "HEAD")
        else:
            await _send(send, answer, request_id, head=scope["method"] == "HEAD")
        access.info(
            "%s %s %d %.1fms %s %s",
            scope["method"], _path(scope), answer.status, (time.perf_counter() - started) * 1000, who[0] or "-", request_id,
        )  # fmt: skip
        telemetry.REQUESTS.observe(time.perf_counter() - started, who[1], str(answer.status))

    async def _answer(
        self, scope: dict[str, Any], headers: Mapping[str, str], receive: Receive, request_id: str, who: list[str]
    ) -> Raw | Stream:
        method = scope["method"]
        path = _path(scope)
        hit = self.routes.find(method, path)
        shape = hit[0].error_shape if hit else self.routes.shape_near(path)
        if hit is not None:
            who[1] = hit[0].action
        body: Body | None = None
        try:
            if hit is not None and hit[0].arguments.stream:
                body = Body(receive, asyncio.get_running_loop(), headers, hit[0].body_limit)
                return await self._run_streamed(self._serve, *hit, scope, headers, body, request_id, who)
            if hit is not None and hit[0].body_limit > UNASKED and not hit[0].public and _is_large(headers):
                body = Body(receive, asyncio.get_running_loop(), headers, hit[0].body_limit)
                await self._run(self._who, scope, headers, hit[1].get("account_id"))
                body = None
            raw = await _read_body(receive, headers, hit[0].body_limit if hit else 1 << 20)
            if hit is None:
                return await self._run(self._unserved, method, path, scope, headers)
            found, in_path = hit
            call = (found, in_path, scope, headers, raw, request_id, who)
            if found.is_async:
                ctx, arguments = await self._run(self._prepare, *call)
                return _encode(await found.function(**arguments))
            return await self._run(self._serve, *call)
        except ApiError as error:
            return _refusal(error, shape)
        except RecursionError:
            return _refusal(malformed("The request body is nested too deeply."), shape)
        except OperationalError as error:
            log.exception("request %s: the store refused", request_id)
            return _refusal(
                ApiError(503, "TEMPORARILY_UNAVAILABLE", f"The store does not answer now: {str(error.orig)[:200]}",
                         headers={"Retry-After": "1"}), shape,
            )  # fmt: skip
        except Exception:
            log.exception("request %s %s %s failed", request_id, method, path)
            return _refusal(ApiError(500, "INTERNAL_ERROR", f"Internal error; request id {request_id}."), shape)
        finally:
            if body is not None:
                await body.drain(DRAIN_LIMIT)

    async def _run_streamed(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._streams, function, *arguments)

    async def _send_stream(self, send: Send, answer: Stream, request_id: str, head: bool) -> None:
        chunks = iter(answer.chunks)
        try:
            headers = _headers(answer, answer.length, request_id)
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            while not head and (chunk := await self._run_streamed(next, chunks, None)) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._precedence.begin()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        finally:
            self._precedence.end()

    def _unserved(self, method: str, path: str, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Raw:
        known = self.catalogue.find(method, path)
        if known is None and self.routes.shape_near(path) is not None and (allowed := self.routes.methods(path)):
            self._who(scope, headers, None)
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"{path} answers {', '.join(allowed)} only.",
                           headers={"Allow": ", ".join(allowed)})  # fmt: skip
        if known is None:
            raise no_such_endpoint(method, path)
        self._who(scope, headers, _account_id(known.path, path))
        raise not_served(method, known.path, ", ".join(known.names))

    def _who(self, scope: Mapping[str, Any], headers: Mapping[str, str], account_id: str | None) -> Caller:
        account = () if account_id is None else (unquote(account_id),)
        return self.authenticate(headers, headers.get("host", ""), self._sources.of(scope, headers), *account)

    def _prepare(
        self,
        found: Endpoint,
        in_path: dict[str, str],
        scope: dict[str, Any],
        headers: Mapping[str, str],
        raw: bytes | Body,
        request_id: str,
        who: list[str],
    ) -> tuple[Ctx, dict[str, Any]]:
        caller = NOBODY if found.public else self._who(scope, headers, in_path.get("account_id"))
        who[0] = caller.name
        source = self._sources.of(scope, headers)
        if found.public and not found.anywhere and self._admit is not None:
            self._admit(headers.get("host", ""), source, unquote(in_path["account_id"]) if "account_id" in in_path else None)
        ctx = Ctx(
            store=self.store, caller=caller, services=self.services, action=found.action, request_id=request_id,
            source=source, method=found.method, path=scope["path"], headers=headers,
            in_path={name: unquote(value) for name, value in in_path.items()},
            confirm=None if found.public else self._confirm,
        )  # fmt: skip
        wants = found.arguments
        arguments: dict[str, Any] = {}
        if wants.ctx:
            arguments["ctx"] = ctx
        if isinstance(raw, Body):
            arguments["stream"] = raw
            raw = b""
        if wants.body is not None:
            arguments["body"] = ctx.params = decode_body(wants, raw)
        if wants.query is not None:
            arguments["query"] = decode_query(wants.query, scope["query_string"].decode("latin-1"))
            ctx.params = ctx.params or arguments["query"]
        if wants.raw:
            arguments["raw"] = raw
        if wants.form:
            arguments["form"] = _form(raw)
        for name, kind in wants.path:
            arguments[name] = decode_path(name, kind, unquote(in_path[name]))
        return ctx, arguments

    def _serve(self, found: Endpoint, *request: Any) -> Raw | Stream:
        ctx, arguments = self._prepare(found, *request)
        share = self._shares.one(ctx.caller.name or ctx.source) if "stream" in arguments else nullcontext()
        try:
            with share:
                return _encode(found.function(**arguments))
        except ApiError as error:
            if error.status == 403 and found.method != "GET":
                with self.store.transaction() as tx:
                    record(tx, ctx, 403)
            raise


def _path(scope: Mapping[str, Any]) -> str:
    """As it was sent, still encoded: a name may hold an encoded slash, and no line break gets into the log. Each part is decoded
    once, in `_prepare`."""
    return scope["raw_path"].decode("latin-1") if scope.get("raw_path") else quote(scope["path"])


def _account_id(pattern: str, path: str) -> str | None:
    """What stands in `path` where `pattern` has `{account_id}`; None where it has none."""
    parts = pattern.split("/")
    return path.split("/")[parts.index("{account_id}")] if "{account_id}" in parts else None


def _form(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise malformed(f"The form is not readable: {error}") from None


def _is_large(headers: Mapping[str, str]) -> bool:
    """Whether a body has more than what a stranger may send, or may have: its sender does not say."""
    announced = headers.get("content-length", "")
    return int(announced) > UNASKED if announced.isdecimal() else "transfer-encoding" in headers


async def _read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    announced = headers.get("content-length", "")
    parts: list[bytes] = []
    size = 0
    past_limit = announced.isdigit() and int(announced) > limit
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise malformed("The client went away before the request was complete.")
        size += len(message.get("body", b""))
        past_limit = past_limit or size > limit
        if not past_limit:
            parts.append(message.get("body", b""))
        if not message.get("more_body") or size > DRAIN_LIMIT:
            break
    if past_limit:
        raise too_large(limit)
    return b"".join(parts)


def _encode(answer: Any) -> Raw | Stream:
    if isinstance(answer, Raw | Stream):
        return answer
    return Raw(msgspec.json.encode(answer) if answer is not None else b"{}")


def _refusal(error: ApiError, shape: Callable[[ApiError], Any] | None) -> Raw:
    body = shape(error) if shape else error.body()
    if isinstance(body, Raw):
        return body
    return Raw(msgspec.json.encode(body), error.status, headers=error.headers)


async def _send(send: Send, answer: Raw, request_id: str, head: bool) -> None:
    headers = _headers(answer, len(answer.content), request_id)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.content})


def _headers(answer: Raw | Stream, length: int, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id.encode()), (b"content-length", str(length).encode())]
    if answer.status != 204:
        headers.append((b"content-type", answer.media_type.encode()))
    return headers + [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
