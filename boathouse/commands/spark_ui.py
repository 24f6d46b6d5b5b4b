"""The Spark UI of a cluster: a ticket by API, and the pages on an origin of their own, `<cluster>.apps.localhost`.

What the driver serves there is the customer's, so it never shares an origin with the API or the console. `SparkUiFront` is handed
to the edge as its `front`: it takes requests for those hosts before any routing, and knows two ways in: a ticket, which becomes
a cookie of that origin, and that cookie. The bytes go through `page_proxy`.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from boathouse.auth import ip_gate
from boathouse.commands import passes
from boathouse.commands.access import attachable, running
from boathouse.commands.ground import Ground
from boathouse.commands.page_proxy import Refusal, proxy, refuse
from boathouse.commands.target import Target, read_target
from boathouse.compute import access
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.identity import workspaces
from boathouse.store import Reader
from boathouse.wire.commands import SparkUiTicket

DOMAIN = "apps.localhost"
COOKIE = "boathouse_page"
_HOST = re.compile(rf"(?P<cluster>[a-z0-9-]{{1,63}})\.{re.escape(DOMAIN)}(?P<port>:\d{{1,5}})?", re.I)

#: Spark's pages change nothing but by these: they end jobs and stages, and GET does it too.
_KILL = re.compile(r"/kill(?![^/;])")

_HOW_IN = (
    "This page shows a cluster's own Spark UI and opens with a ticket that is used once. "
    "Ask for a new one: GET /api/2.0/boathouse/clusters/{cluster}/spark-ui with your token, and open the url it answers."
)


@endpoint("GET", "/api/2.0/boathouse/clusters/{cluster_id}/spark-ui", action="clusters.sparkUi")
def spark_ui(ctx: Ctx, cluster_id: str) -> SparkUiTicket:
    """A URL that opens the cluster's Spark UI in a browser, once, for those who may attach."""
    with ctx.read() as reader:
        attachable(ctx, reader, cluster_id)
    with ctx.transaction() as tx:
        target = _in_our_shape(lambda: running(ctx, tx, cluster_id))
        ticket, expires_at = passes.give_ticket(tx, ctx.caller, target)
    port = re.search(r":\d{1,5}$", ctx.headers.get("host", ""))
    url = f"http://{cluster_id}.{DOMAIN}{port[0] if port else ''}/?{urlencode({'ticket': ticket})}"
    return SparkUiTicket(url=url, expires_at=expires_at)


def _in_our_shape(ask: Callable[[], Target]) -> Target:
    """This endpoint is no part of API 1.2: nobody tries its refusals again by their phrases, so a 503 must not promise that."""
    try:
        return ask()
    except ApiError as error:
        if error.status == 503:
            raise ApiError(400, "INVALID_STATE", error.message.removeprefix("ClusterNotReadyException: ")) from None
        raise


class SparkUiFront:
    """`Edge(front=...)`. `threads` run what blocks: the store, and opening streams to nodes."""

    def __init__(self, ground: Ground, threads: int = 8) -> None:
        self._ground = ground
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="spark-ui")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, scope: dict[str, Any], headers: Mapping[str, str], source: str) -> Any:
        """The application that answers this request, or None when its host is not a cluster's."""
        match = _HOST.fullmatch(headers.get("host", ""))
        if match is None:
            return None
        cluster_id = match["cluster"].lower()

        async def serve(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await send({"type": "websocket.close", "code": 1008})
                return
            try:
                await self._serve(cluster_id, scope, headers, source, receive, send)
            except Refusal as refusal:
                await refuse(send, refusal)

        return serve

    async def _serve(
        self, cluster_id: str, scope: dict[str, Any], headers: Mapping[str, str], source: str, receive: Any, send: Any
    ) -> None:
        loop = asyncio.get_running_loop()
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tickets = [value for name, value in query if name == "ticket"]
        if tickets:
            cookie = await loop.run_in_executor(self._pool, self._exchange, tickets[0], cluster_id, source)
            rest = urlencode([pair for pair in query if pair[0] != "ticket"])
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            lasts = passes.COOKIE_MS // 1000
            # The ticket leaves the address bar with the redirect, and no page gets to see it as a referrer.
            raise Refusal(
                302,
                "",
                {
                    "location": _local(scope["path"]) + (f"?{rest}" if rest else ""),
                    "set-cookie": f"{COOKIE}={cookie}; HttpOnly; SameSite=Lax; Path=/; Max-Age={lasts}{secure}",
                },
            )
        target = await loop.run_in_executor(self._pool, self._admit, cluster_id, scope["method"], scope["path"], headers, source)
        port = target.spark.get("ui_port")
        if not port:
            raise Refusal(503, f"Cluster {cluster_id} has no Spark UI (spark.ui.enabled is false).")
        await proxy(self._pool, self._ground.link, target.node_id, int(port), scope, headers, receive, send)

    def _exchange(self, ticket: str, cluster_id: str, source: str) -> str:
        with self._ground.store.transaction() as tx:
            self._guard(tx, cluster_id, source)
            cookie = passes.exchange(tx, ticket, cluster_id)
        if cookie is None:
            raise Refusal(401, "This ticket was used already, is too old, or is not for this cluster.\n" + _how(cluster_id))
        return cookie

    def _guard(self, reader: Reader, cluster_id: str, source: str) -> None:
        """Raises Refusal for an address from which the cluster's workspace may not be called."""
        target = read_target(reader, cluster_id)
        workspace = workspaces.get(reader, target.workspace_id) if target is not None else None
        if workspace is not None:
            try:
                ip_gate.check(reader, source, workspace.account_id, workspace.workspace_id)
            except ApiError as error:
                raise Refusal(403, error.message) from None

    def _admit(self, cluster_id: str, method: str, path: str, headers: Mapping[str, str], source: str) -> Target:
        """The cluster, when the cookie's holder may do this there now. Raises Refusal."""
        cookie = _cookie(headers)
        with self._ground.store.read() as reader:
            self._guard(reader, cluster_id, source)
            found = passes.find_cookie(reader, cookie, cluster_id, self._ground.store.clock()) if cookie else None
            if found is None:
                raise Refusal(401, _how(cluster_id))
            try:
                access.find(reader, found.caller, cluster_id, "attach")
                changes = method not in ("GET", "HEAD")
                if changes:
                    access.find(reader, found.caller, cluster_id, "manage")
            except ApiError as error:
                raise Refusal(403, error.message) from None
            target = read_target(reader, cluster_id)
        if target is None or not target.serving or target.launch != found.launch:
            raise Refusal(401, "The cluster was started anew, or does not run.\n" + _how(cluster_id))
        if not changes and _KILL.search(path):
            raise Refusal(405, "Jobs and stages are ended by POST.")
        # Other clusters' pages are of the same site, so their forms would carry the cookie: only this origin's own may.
        if changes and headers.get("origin", "").partition("://")[2].lower() != headers.get("host", "").lower():
            raise Refusal(403, "Only this page itself may change anything here.")
        return target


def _local(path: str) -> str:
    """A decoded path as the value of a Location header: one that stays on this host, and is one line."""
    return "/" + quote(path.lstrip("/"), safe="/:@!$&'()*+,;=~")


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def _how(cluster_id: str) -> str:
    return _HOW_IN.format(cluster=cluster_id)
