"""HTTP as it is spoken with a registry that may be hostile: pinned addresses, limits, no surprises.

Each connection goes to an address that `addresses.py` permitted, resolved once for the life of a client. Bodies are
bounded, never decompressed, and must arrive whole; redirects are followed only where asked, without credentials, to
judged addresses. `registry.py` and `registry_auth.py` use it; it knows nothing of manifests or tokens.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from boathouse.images import addresses
from boathouse.images.failures import PullFailure, quoted

SMALL_LIMIT = 64 << 10  # tokens, and the words of an error
REDIRECTS = 3
RETRIES = 3
USER_AGENT = "boathouse"


class Clock(Protocol):
    """Time, handed in so that tests need not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for deadlines."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real one."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

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

    def plain_http(self, api_host: str) -> bool:
        """Whether a registry (`name`, `name:port`) is spoken to without TLS: the one rule, for our client and for the engine."""
        host, colon, port = api_host.rpartition(":")
        if colon and port.isdigit():
            return addresses.named(host, int(port), self.plain_http_hosts)
        return addresses.named(api_host, 443, self.plain_http_hosts) or addresses.named(api_host, 80, self.plain_http_hosts)


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
        self._deadline = self.clock.monotonic() + settings.total_seconds
        from boathouse.images.registry_sockets import Sockets  # here: the control plane starts without the HTTP library

        self._sockets = Sockets(
            lambda host, port: addresses.permitted(host, port, resolver, settings.allowed_private_hosts),
            lambda: self._deadline - self.clock.monotonic(),
            settings.connect_seconds,
            settings.stall_seconds,
            settings.ca_file,
            secrets,
        )

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._sockets.close()

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
        sent = {"Host": host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        status, found, body = self._sockets.get(host, url, sent, limit)
        return Response(status, found, body, url)

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
                f"An operator can allow it: setting registry_plain_http_hosts with {host}.",
            )
        return split.netloc

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
