"""Small documents from other servers (keys, metadata, tokens) over judged and pinned addresses: no redirects, no proxies, a size
limit, and an end in time however slowly bytes drip.

The HTTP library is imported when the first document is asked for: the control plane's start does not need it.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from boathouse.outbound.addresses import NotPermitted, Resolver, chosen, named, system_resolver

#: Seconds for one exchange, and bytes of one answer.
SECONDS, BYTES = 10.0, 1 << 20


class Unreachable(Exception):
    """There is no whole answer; the message names the host and why, never what was sent."""


class Documents:
    """`private_hosts` (`host` or `host:port`) may be at private addresses, and be asked without TLS."""

    def __init__(self, private_hosts: Iterable[str] = (), resolver: Resolver = system_resolver) -> None:
        self._private, self._resolver = tuple(private_hosts), resolver

    def permitted(self, url: str) -> str:
        """Why a URL cannot be asked, or an empty text: HTTPS, or a host that settings name."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return "is not a URL"
        if not parts.hostname or parts.username is not None or parts.fragment or not url.isascii():
            return "is not the URL of a server"
        if parts.scheme == "https" or (parts.scheme == "http" and named(parts.hostname, port, self._private)):
            return ""
        return "must begin with https://"

    def get(self, url: str) -> bytes:
        """The body of a 200. Raises Unreachable."""
        return self._exchange("GET", url, {}, b"")

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> bytes:
        """The body of the 200 that answers a form. Raises Unreachable."""
        sent = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._exchange("POST", url, sent, urlencode(form).encode())

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        import httpcore

        why = self.permitted(url)
        if why:
            raise Unreachable(f"{url[:200]} {why}")
        host, until = urlsplit(url).hostname or "", time.monotonic() + SECONDS
        sent = [("host", urlsplit(url).netloc), ("accept", "application/json"), ("accept-encoding", "identity"), *headers.items()]
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS)
        try:
            with (
                httpcore.ConnectionPool(network_backend=_backend(self._private, self._resolver), retries=0) as pool,
                pool.stream(method, url, headers=sent, content=body or None, extensions={"timeout": timeout}) as answer,
            ):
                if answer.status != 200:
                    raise Unreachable(f"{host} answers {answer.status}")
                found = bytearray()
                for block in answer.iter_stream():
                    found += block
                    if len(found) > BYTES:
                        raise Unreachable(f"{host} sends more than {BYTES} bytes")
                    if time.monotonic() > until:
                        raise Unreachable(f"{host} takes longer than {SECONDS:g} s")
                return bytes(found)
        except NotPermitted as error:
            known = {"unknown": "its name is unknown", "private": "its address is private and no setting names it"}
            raise Unreachable(f"{host}: {known.get(error.why, 'its address may never be asked')}") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ValueError) as error:
            raise Unreachable(f"{host} does not answer as it should ({type(error).__name__})") from error


def _backend(private: tuple[str, ...], resolver: Resolver) -> Any:
    import httpcore

    class Judged(httpcore.SyncBackend):
        """Connects to the address that was judged; TLS still verifies the name."""

        def connect_tcp(self, host: str, port: int, *rest: Any, **named: Any) -> httpcore.NetworkStream:
            return super().connect_tcp(chosen(host, port, resolver, private), port, *rest, **named)

    return Judged()
