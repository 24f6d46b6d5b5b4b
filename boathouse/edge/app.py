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
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from sqlalchemy.exc import OperationalError

from boathouse.edge.caller import Authenticator, Caller
from boathouse.edge.context import Ctx, Services, record
from boathouse.edge.decoding import decode_body, decode_path, decode_query
from boathouse.edge.errors import ApiError, malformed, no_such_endpoint, not_served
from boathouse.edge.routing import Endpoint, Raw, Routes
from boathouse.edge.unserved import Catalogue
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


class Edge:
    """The application. `front` may take a request away by its host (the clusters' own pages) before any routing."""

    def __init__(
        self,
        routes: Routes,
        store: Store,
        authenticate: Authenticator,
        services: Services,
        front: Callable[[dict[str, Any], Mapping[str, str]], Asgi | None] = lambda scope, headers: None,
        threads: int = 32,
    ) -> None:
        self.routes, self.store, self.authenticate, self.services, self.front = routes, store, authenticate, services, front
        self.catalogue = Catalogue()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="edge")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("run with lifespan off")
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        taken = self.front(scope, headers)
        if taken is not None:
            await taken(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        who = [""]
        answer = await self._answer(scope, headers, receive, request_id, who)
        await _send(send, answer, request_id, head=scope["method"] == "HEAD")
        access.info(
            "%s %s %d %.1fms %s %s",
            scope["method"], _path(scope), answer.status, (time.perf_counter() - started) * 1000, who[0] or "-", request_id,
        )  # fmt: skip

    async def _answer(
        self, scope: dict[str, Any], headers: Mapping[str, str], receive: Receive, request_id: str, who: list[str]
    ) -> Raw:
        method = scope["method"]
        path = _path(scope)
        hit = self.routes.find(method, path)
        shape = hit[0].error_shape if hit else None
        try:
            raw = await _read_body(receive, headers, hit[0].body_limit if hit else 1 << 20)
            if hit is None:
                return await self._run(self._unserved, method, path, headers)
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

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _unserved(self, method: str, path: str, headers: Mapping[str, str]) -> Raw:
        known = self.catalogue.find(method, path)
        if known is None:
            raise no_such_endpoint(method, path)
        self.authenticate(headers, headers.get("host", ""))
        raise not_served(method, known.path, ", ".join(known.names))

    def _prepare(
        self,
        found: Endpoint,
        in_path: dict[str, str],
        scope: dict[str, Any],
        headers: Mapping[str, str],
        raw: bytes,
        request_id: str,
        who: list[str],
    ) -> tuple[Ctx, dict[str, Any]]:
        caller = NOBODY if found.public else self.authenticate(headers, headers.get("host", ""))
        who[0] = caller.name
        client = scope.get("client") or ("", 0)
        ctx = Ctx(
            store=self.store, caller=caller, services=self.services, action=found.action, request_id=request_id,
            source=client[0], method=found.method, path=scope["path"], headers=headers,
        )  # fmt: skip
        wants = found.arguments
        arguments: dict[str, Any] = {}
        if wants.ctx:
            arguments["ctx"] = ctx
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

    def _serve(self, found: Endpoint, *request: Any) -> Raw:
        ctx, arguments = self._prepare(found, *request)
        try:
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


def _form(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise malformed(f"The form is not readable: {error}") from None


async def _read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    announced = headers.get("content-length", "")
    parts: list[bytes] = []
    size = 0
    too_large = announced.isdigit() and int(announced) > limit
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise malformed("The client went away before the request was complete.")
        size += len(message.get("body", b""))
        too_large = too_large or size > limit
        if not too_large:
            parts.append(message.get("body", b""))
        if not message.get("more_body") or size > DRAIN_LIMIT:
            break
    if too_large:
        raise ApiError(413, "MAX_REQUEST_SIZE_EXCEEDED", f"The request body is larger than {limit} bytes, the limit here.")
    return b"".join(parts)


def _encode(answer: Any) -> Raw:
    if isinstance(answer, Raw):
        return answer
    return Raw(msgspec.json.encode(answer) if answer is not None else b"{}")


def _refusal(error: ApiError, shape: Callable[[ApiError], Any] | None) -> Raw:
    body = shape(error) if shape else error.body()
    return Raw(msgspec.json.encode(body), error.status, headers=error.headers)


async def _send(send: Send, answer: Raw, request_id: str, head: bool) -> None:
    headers = [
        (b"x-request-id", request_id.encode()),
        (b"content-length", str(len(answer.content)).encode()),
    ]
    if answer.status != 204:
        headers.append((b"content-type", answer.media_type.encode()))
    headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.content})
