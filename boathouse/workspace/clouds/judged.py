"""Sockets of the clouds' client libraries, to permitted addresses only: the one way by which they connect.

All of them use urllib3: its connections are given ours, which resolve a name, have the address judged, and connect to that one.
The name stays what TLS verifies. Proxies of the environment are not used: they would connect in our place.
"""

import socket
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import create_connection

from boathouse.outbound.addresses import NotPermitted, Resolver, chosen, system_resolver

#: Seconds for a connection, and for a silence.
CONNECT_SECONDS, SILENCE_SECONDS = 10.0, 30.0


def classes(
    allowed_private: tuple[str, ...],
    plain: type[HTTPConnection] = HTTPConnection,
    secure: type[HTTPSConnection] = HTTPSConnection,
    resolver: Resolver = system_resolver,
) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Pools for `pool_classes_by_scheme` of a urllib3 PoolManager. `plain` and `secure`: the library's own connections."""

    def connect(self: Any) -> socket.socket:
        try:
            address = chosen(self._dns_host, self.port, resolver, allowed_private)
        except NotPermitted as error:
            why = {
                "unknown": "its name is unknown here",
                "private": "it is at a private address, and the setting location_private_hosts does not name it",
                "never": "it is at a link-local or metadata address",
            }[error.why]
            raise NewConnectionError(self, f"no connection with {error.host}: {why}") from None
        try:
            return create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
        except OSError as error:
            raise NewConnectionError(self, f"no connection with {self._dns_host}: {error}") from error

    made_plain = type("JudgedConnection", (plain,), {"_new_conn": connect})
    made_secure = type("JudgedTlsConnection", (secure,), {"_new_conn": connect})
    return {
        "http": type("JudgedPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": made_plain}),
        "https": type("JudgedTlsPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": made_secure}),
    }


class _Adapter(HTTPAdapter):
    def __init__(self, allowed_private: tuple[str, ...]) -> None:
        self._allowed = allowed_private
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = classes(self._allowed)


def mount(session: requests.Session, allowed_private: tuple[str, ...]) -> None:
    """Have a session of `requests` connect to permitted addresses only."""
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(allowed_private))


def said(error: BaseException) -> str:
    """What `connect` above said, found in the chain of a library's error; else the error's own words, short."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen)
        if "no connection with " in text:
            return text[text.index("no connection with ") :].split("\n")[0].rstrip("')\">")[:300]
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
