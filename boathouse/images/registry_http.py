"""HTTP as it is spoken with a registry that may be hostile: pinned addresses, limits, no surprises.

Each connection goes to an address that `addresses.py` permitted, resolved once for the life of a client. Bodies are
bounded, never decompressed, and must arrive whole; redirects are followed only where asked, without credentials, to
judged addresses. `registry.py` and `registry_auth.py` use it; it knows nothing of manifests or tokens.
"""

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import httpcore

from boathouse.images import addresses
from boathouse.images.failures import PullFailure, quoted

MANIFEST_LIMIT = 4 << 20
CONFIG_LIMIT = 8 << 20
SMALL_LIMIT = 64 << 10  # tokens, and the words of an error
REDIRECTS = 3
RETRIES = 3
USER_AGENT = "boathouse"


class Clock(Protocol):
    """Time, handed in so that tests need not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real one."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class RegistrySettings:
    """What an operator says about registries. Hosts are `name` (every port) or `name:port`.

    `allowed_private_hosts` may be at private or loopback addresses; `plain_http_hosts` are spoken to without TLS;
    `token_realms` adds to the table of hosts that may get a registry's credentials (registry host -> realm hosts);
    `ca_file` is trusted beside the system's authorities. Times are in seconds.
    """

    allowed_private_hosts: tuple[str, ...] = ()
    plain_http_hosts: tuple[str, ...] = ()
    token_realms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ca_file: Path | None = None
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    total_seconds: float = 300.0
    longest_retry_after: float = 60.0


@dataclass(frozen=True)
class Response:
    """A whole answer. Header names are in lower case; of a repeated header all values are kept, in order."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    url: str

    def header(self, name: str) -> str:
        """The first value of a header, or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key == name]


class _PinnedBackend(httpcore.NetworkBackend):
    """Opens sockets only to permitted addresses, each host resolved once."""

    def __init__(self, settings: RegistrySettings, resolver: addresses.Resolver) -> None:
        self._settings, self._resolver = settings, resolver
        self._pinned: dict[tuple[str, int], str] = {}
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable | None = None,
    ) -> httpcore.NetworkStream:
        """Called by the connection pool with the name of the URL; TLS still verifies that name."""
        address = self._pinned.get((host, port))
        if address is None:
            address = addresses.permitted(host, port, self._resolver, self._settings.allowed_private_hosts)
            self._pinned[host, port] = address
        return self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)

    def sleep(self, seconds: float) -> None:
        self._sockets.sleep(seconds)


class Connection:
    """HTTP for one resolution of one image; a context manager. Not for several threads."""

    def __init__(
        self,
        settings: RegistrySettings,
        resolver: addresses.Resolver = addresses.system_resolver,
        clock: Clock | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._secrets = secrets
        self._deadline = self.clock.now() + settings.total_seconds
        context = ssl.create_default_context()
        if settings.ca_file:
            context.load_verify_locations(settings.ca_file)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, network_backend=_PinnedBackend(settings, resolver), max_connections=4, retries=0
        )

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._pool.close()

    def base(self, host: str) -> str:
        """`https://host`, or `http://host` for a host that settings name as such."""
        return f"{'http' if self.plain(host) else 'https'}://{host}"

    def plain(self, host: str) -> bool:
        """Whether settings allow to speak to `host` (with or without port) without TLS."""
        split = urlsplit(f"//{host}")
        return addresses.named(split.hostname or "", split.port or 80, self.settings.plain_http_hosts)

    def get(self, url: str, headers: Mapping[str, str], limit: int, redirects: bool = False) -> Response:
        """One GET, with waiting where the server asks for it: 429 and 503 with Retry-After, three times, 60 s each.

        With `redirects`, up to three are followed, each without the Authorization header. Every failure to get a
        whole answer within the limits is a PullFailure; a status is for the caller to judge.
        """
        for attempt in range(RETRIES + 1):
            response = self._follow(url, headers, limit, redirects)
            wait = self._retry_after(response)
            if wait is None:
                return response
            if attempt == RETRIES or wait > self.settings.longest_retry_after:
                return response
            self.clock.sleep(wait)
            self._deadline += wait
        raise AssertionError("the last attempt returns")

    def _follow(self, url: str, headers: Mapping[str, str], limit: int, redirects: bool) -> Response:
        response = self._once(url, headers, limit)
        for _ in range(REDIRECTS if redirects else 0):
            location = response.header("location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            try:
                target = urljoin(response.url, location)
                downgraded = response.url.startswith("https:") and urlsplit(target).scheme != "https"
            except ValueError:
                target, downgraded = "", False  # refused below, as any URL that cannot be used
            if downgraded:
                raise PullFailure(f"The registry redirects from https to {quoted(target.partition('?')[0], limit=100)}.")
            bare = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            response = self._once(target, bare, limit)
        return response

    def _once(self, url: str, headers: Mapping[str, str], limit: int) -> Response:
        host = self._checked(url)
        sent = {"Host": urlsplit(url).netloc, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        # A read may last as long as the stall limit; the exchange ends at the deadline however steadily bytes drip.
        timeout = {
            "connect": self.settings.connect_seconds,
            "read": self.settings.stall_seconds,
            "write": self.settings.stall_seconds,
            "pool": self.settings.connect_seconds,
        }
        try:
            with self._pool.stream("GET", url, headers=list(sent.items()), extensions={"timeout": timeout}) as answer:
                body = self._body(host, answer, limit)
                found = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in answer.headers)
                return Response(answer.status, found, body, url)
        except httpcore.ConnectTimeout as error:
            raise PullFailure(
                f"{host} does not answer: no connection within {self.settings.connect_seconds:g} s.",
                "Check the registry's name and the network between.",
            ) from error
        except (httpcore.ReadTimeout, httpcore.WriteTimeout) as error:
            raise PullFailure(
                f"{host} stalled: not a byte for {self.settings.stall_seconds:g} s.",
                "Try again, or ask the registry's operator.",
            ) from error
        except httpcore.ConnectError as error:
            raise self._not_connected(host, error) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise PullFailure(
                f"The connection to {host} broke, its answer is truncated or no HTTP.",
                "Try again.",
                quoted(error, self._secrets, 120),
            ) from error

    def _checked(self, url: str) -> str:
        try:
            split = urlsplit(url)
            host, port = split.hostname, split.port
        except ValueError:
            host, port, split = None, None, urlsplit("")
        if not host or split.scheme not in ("https", "http") or split.username is not None or not url.isascii():
            raise PullFailure(
                f"The registry names a URL that cannot be used: {quoted(url.partition('?')[0], self._secrets, 100)}"
            )
        if split.scheme == "http" and not addresses.named(host, port or 80, self.settings.plain_http_hosts):
            raise PullFailure(
                f"{host} would be asked without TLS, and the settings do not name it as a host that may be.",
                f'An operator can allow it: registries.plain_http_hosts = ["{host}"].',
            )
        return split.netloc

    def _body(self, host: str, answer: httpcore.Response, limit: int) -> bytes:
        encoding = next((v for k, v in answer.headers if k.lower() == b"content-encoding"), b"identity")
        if encoding.lower() != b"identity":
            raise PullFailure(f"{host} sends a compressed answer though it was asked not to.")
        body = bytearray()
        for block in answer.iter_stream():
            body += block
            if len(body) > limit:
                raise PullFailure(f"{host} sends more than the {limit} bytes that such an answer may have.")
            if self.clock.now() > self._deadline:
                raise PullFailure(f"{host} stalled: no whole answer within {self.settings.total_seconds:g} s.")
        return bytes(body)

    def _not_connected(self, host: str, error: httpcore.ConnectError) -> PullFailure:
        words = quoted(error, self._secrets, 160)
        if isinstance(error.__cause__, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError):
            return PullFailure(
                f"No trusted connection with {host}.",
                "If it has a certificate of an authority of yours, an operator can name it: registries.ca_file.",
                words,
            )
        return PullFailure(f"No connection with {host}.", "Check its name and port, and that it runs.", words)

    def _retry_after(self, response: Response) -> float | None:
        """Seconds that the server asks to wait, or None when it does not."""
        text = response.header("retry-after").strip()
        if response.status not in (429, 503) or not text:
            return None
        if text.isdigit() and len(text) < 10:
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self.clock.now())
        except (ValueError, TypeError, OverflowError):
            return None
