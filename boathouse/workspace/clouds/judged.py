"""Sockets of the clouds' client libraries, to permitted addresses only: the one way by which they connect.

All of them use urllib3: its connections are given ours, which resolve a name, have the address judged, and connect to that one.
The name stays what TLS verifies. Proxies of the environment are not used: they would connect in our place.
"""

import contextlib
import socket
import threading
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


class Deadline:
    """Cuts the connections of one exchange when it takes too long, however steadily bytes drip in: the time limit of a socket
    begins anew with every byte. Ends with the `with`, or by `over`."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None
        self._held: list[socket.socket] = []
        self._guard = threading.Lock()
        self.passed = False

    def begin(self, seconds: float) -> None:
        """The exchange begins now."""
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connection: socket.socket) -> None:
        """Cut this connection too."""
        with self._guard:
            self._held.append(connection.dup())

    def _cut(self) -> None:
        with self._guard:
            self.passed = True
            for held in self._held:
                with contextlib.suppress(OSError):  # the other end was first
                    held.shutdown(socket.SHUT_RDWR)

    def over(self) -> None:
        """The exchange has ended. Called twice: nothing happens."""
        if self._timer is not None:
            self._timer.cancel()
        with self._guard:
            while self._held:
                self._held.pop().close()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self.over()


def classes(
    allowed_private: tuple[str, ...],
    plain: type[HTTPConnection] = HTTPConnection,
    secure: type[HTTPSConnection] = HTTPSConnection,
    resolver: Resolver = system_resolver,
    deadline: Deadline | None = None,
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
        if deadline is not None and deadline.passed:
            raise NewConnectionError(self, f"no connection with {self._dns_host}: it answers too slowly")
        try:
            made = create_connection((address, self.port), self.timeout, socket_options=self.socket_options)
        except OSError as error:
            raise NewConnectionError(self, f"no connection with {self._dns_host}: {error}") from error
        if deadline is not None:
            deadline.watch(made)
        return made

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
