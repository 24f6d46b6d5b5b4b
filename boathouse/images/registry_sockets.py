"""One request on the wire to a registry that may be hostile: judged addresses, whole answers, an end in time.

The only module that knows the HTTP library; imported when the first registry is asked, since the control plane's start does
not need it. `registry_http.py` puts redirects and waiting on top.
"""

import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore

from boathouse.images.failures import Broken, PullFailure, quoted
from boathouse.outbound.proxies import DEFAULT_PORTS, Proxies, bare

Permit = Callable[[str, int], str]
Left = Callable[[], float]
#: Takes a status and a piece of its body.
Sink = Callable[[int, bytes], None]
Answer = tuple[int, tuple[tuple[str, str], ...], bytes]


class Sockets:
    """Connections to permitted addresses, each host resolved once; kept open between requests.

    `permit(host, port)` judges a host and gives its address; `permit_proxied(host, port)` judges one that a proxy connects to;
    `permit_proxy(host, port)` gives a proxy's address. `left()` is the time until everything must be over; the other times, in
    seconds, hold for one connection and for one silence.
    """

    def __init__(
        self,
        permit: Permit,
        left: Left,
        connect: float,
        stall: float,
        ca_file: Path | None,
        secrets: tuple[str, ...],
        proxies: Proxies = Proxies(),
        permit_proxied: Callable[[str, int], None] = lambda host, port: None,
        permit_proxy: Permit | None = None,
    ) -> None:
        self._left, self._connect, self._stall, self._secrets = left, connect, stall, secrets
        self._proxies, self._permit_proxied = proxies, permit_proxied
        self._proxy_backend = _PinnedBackend(permit_proxy or permit, left)
        self._context = _context(ca_file)
        self._pools: dict[str, httpcore.ConnectionPool] = {
            "": httpcore.ConnectionPool(ssl_context=self._context, network_backend=_PinnedBackend(permit, left), retries=0)
        }

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def ask(
        self,
        host: str,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        method: str = "GET",
        content: bytes | None = None,
        sink: Sink | None = None,
    ) -> Answer:
        """One request: status, headers (names in lower case) and the whole body; PullFailure for anything less. The body of a
        200 or 206 goes to `sink` where there is one, piece by piece, and is empty in the answer."""
        timeout = {"connect": self._connect, "read": self._stall, "write": self._stall, "pool": self._connect}
        pool = self._pool(url)
        try:
            fields = list(headers.items())
            with pool.stream(method, url, headers=fields, content=content, extensions={"timeout": timeout}) as answer:
                found = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in answer.headers)
                taken = sink if answer.status in (200, 206) else None
                return answer.status, found, _body(host, dict(found), answer, limit, taken)
        except httpcore.TimeoutException as error:
            raise self._too_late(host, error) from error
        except httpcore.ProxyError as error:
            words = quoted(error, self._secrets, 160)
            raise PullFailure(f"The proxy does not connect to {host}.", "Check the setting registry_proxy.", words) from error
        except httpcore.ConnectError as error:
            raise self._not_connected(host, error) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, ValueError) as error:
            words = quoted(error, self._secrets, 120)
            message = f"The connection to {host} broke, its answer is truncated or no HTTP."
            raise Broken(message, "Try again.", words) from error

    def _pool(self, url: str) -> httpcore.ConnectionPool:
        """The connections by which a URL is asked: our own, or those of its proxy."""
        split = urlsplit(url)
        host, port = split.hostname or "", split.port or DEFAULT_PORTS.get(split.scheme, 443)
        proxy = self._proxies.chosen(split.scheme, host, port)
        if proxy:
            self._permit_proxied(host, port)
        if proxy not in self._pools:
            named = urlsplit(proxy)
            auth = (unquote(named.username), unquote(named.password or "")) if named.username is not None else None
            self._pools[proxy] = httpcore.HTTPProxy(
                bare(proxy), proxy_auth=auth, ssl_context=self._context, network_backend=self._proxy_backend, retries=0
            )
        return self._pools[proxy]

    def _too_late(self, host: str, error: httpcore.TimeoutException) -> PullFailure:
        if self._left() <= 0:
            message = f"{host} stalled: no whole answer in the time that a registry has."
        elif isinstance(error, httpcore.ConnectTimeout):
            message = f"{host} does not answer: no connection within {self._connect:g} s."
        else:
            message = f"{host} stalled: not a byte for {self._stall:g} s."
        return Broken(message, "Check the registry's name and the network between, or ask its operator.")

    def _not_connected(self, host: str, error: httpcore.ConnectError) -> PullFailure:
        words = quoted(error, self._secrets, 160)
        if isinstance(error.__cause__, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError):
            fix = "If an authority of yours signed its certificate, an operator can name that: setting registry_ca_file."
            return PullFailure(f"No trusted connection with {host}.", fix, words)
        return PullFailure(f"No connection with {host}.", "Check its name and port, and that it runs.", words)


class _PinnedBackend(httpcore.NetworkBackend):
    """Opens sockets only to permitted addresses."""

    def __init__(self, permit: Permit, left: Left) -> None:
        self._permit, self._left = permit, left
        self._pinned: dict[tuple[str, int], str] = {}
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Called with the name of the URL; TLS still verifies that name."""
        if (host, port) not in self._pinned:
            self._pinned[host, port] = self._permit(host, port)
        address = self._pinned[host, port]
        return _Ending(self._sockets.connect_tcp(address, port, timeout, local_address, socket_options), self._left)

    def sleep(self, seconds: float) -> None:
        self._sockets.sleep(seconds)


class _Ending(httpcore.NetworkStream):
    """A stream on which nothing lasts beyond the deadline, however steadily bytes drip, in headers or in a body."""

    def __init__(self, stream: httpcore.NetworkStream, left: Left) -> None:
        self._stream, self._left = stream, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._shorter(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._shorter(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Ending(self._stream.start_tls(ssl_context, server_hostname, self._shorter(timeout)), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _shorter(self, timeout: float | None) -> float:
        left = self._left()
        if left <= 0:
            raise httpcore.ReadTimeout("the time for the whole exchange is over")
        return left if timeout is None else min(timeout, left)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            message = f"The authorities for registries in {ca_file} cannot be read: {error}."
            raise PullFailure(message, "Correct the setting registry_ca_file.") from error
    return context


def _body(host: str, headers: Mapping[str, str], answer: httpcore.Response, limit: int, sink: Sink | None) -> bytes:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise PullFailure(f"{host} sends a compressed answer though it was asked not to.")
    body, size = bytearray(), 0
    for block in answer.iter_stream():
        size += len(block)
        if size > limit:
            raise PullFailure(f"{host} sends more than the {limit} bytes that such an answer may have.")
        if sink is not None:
            sink(answer.status, block)
        else:
            body += block
    return bytes(body)
