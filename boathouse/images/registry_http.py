"""HTTP as it is spoken with a registry that may be hostile: pinned addresses, limits, no surprises.

Each connection goes to an address that `addresses.py` permitted, resolved once for the life of a client. Bodies are
bounded, never decompressed, and must arrive whole; redirects are followed only where asked, without credentials, to
judged addresses. `registry.py` and `registry_auth.py` use it; it knows nothing of manifests or tokens.
"""

import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import msgspec

from boathouse.images import addresses
from boathouse.images.content import Content
from boathouse.images.failures import PullFailure, quoted
from boathouse.outbound.proxies import Proxies

SMALL_LIMIT = 64 << 10  # tokens, and the words of an error
REDIRECTS = 3
RETRIES = 3
#: Seconds to wait after a 429 that does not say how long, by attempt.
UNTOLD_WAITS = (5.0, 15.0, 40.0)
#: From here on a number in Retry-After is a moment (epoch seconds), as Docker Hub gives it.
EPOCH_BEGINS = 1_000_000_000
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
    """The real one. `stop` ends every wait, now and later."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)


class Wait(msgspec.Struct, frozen=True):
    """A server asks to be asked later: it is waited for `seconds`, and then asked again."""

    host: str
    status: int
    seconds: float


#: Told when a wait begins, and with None when it is over. From whichever thread asks the registry.
Told = Callable[[Wait | None], None]


class AzureLogin(msgspec.Struct, frozen=True):
    """Where service principals of a Microsoft Entra tenant log in: `endpoint` is a URL that the operator names."""

    tenant: str
    endpoint: str


class RegistrySettings(msgspec.Struct, frozen=True):
    """What an operator says about registries. Hosts are `name` (every port) or `name:port`.

    `allowed_private_hosts` may be at private or loopback addresses; `plain_http_hosts` are spoken to without TLS;
    `token_realms` adds to the table of hosts that may get a registry's credentials (registry host -> realm hosts);
    `ca_file` is trusted beside the system's authorities. `mirrors`: registry -> host, or host/prefix, that is asked first for
    what needs no log-in. `endpoints`: registry -> host that stands in its place, and gets what it would get, also credentials.
    `azure`: where service principals of Azure registries log in. Times are in seconds.
    """

    allowed_private_hosts: tuple[str, ...] = ()
    plain_http_hosts: tuple[str, ...] = ()
    token_realms: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    ca_file: Path | None = None
    mirrors: Mapping[str, str] = msgspec.field(default_factory=dict)
    endpoints: Mapping[str, str] = msgspec.field(default_factory=dict)
    proxies: Proxies = Proxies()
    azure: AzureLogin | None = None
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    total_seconds: float = 300.0
    longest_retry_after: float = 60.0

    def at(self, api_host: str) -> str:
        """The host that is asked for a registry: itself, or what stands in its place."""
        return self.endpoints.get(api_host, api_host)

    @property
    def private_hosts(self) -> tuple[str, ...]:
        """Hosts that may be at private addresses: those that are named so, and those that an operator puts somewhere."""
        mirrors = (target.partition("/")[0] for target in self.mirrors.values())
        azure = (urlsplit(self.azure.endpoint).netloc,) if self.azure else ()
        return (*self.allowed_private_hosts, *self.endpoints.values(), *mirrors, *azure)

    @property
    def plain_hosts(self) -> tuple[str, ...]:
        """Hosts that may be asked without TLS: those that are named so, and a log-in whose URL the operator gives as http://."""
        azure = urlsplit(self.azure.endpoint) if self.azure else None
        return (*self.plain_http_hosts, *((azure.netloc,) if azure and azure.scheme == "http" else ()))

    def plain_http(self, api_host: str) -> bool:
        """Whether a registry (`name`, `name:port`) is spoken to without TLS: the one rule, for our client and for the engine."""
        host, colon, port = api_host.rpartition(":")
        if colon and port.isdigit():
            return addresses.named(host, int(port), self.plain_http_hosts)
        return addresses.named(api_host, 443, self.plain_http_hosts) or addresses.named(api_host, 80, self.plain_http_hosts)


class Response(msgspec.Struct, frozen=True):
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
        told: Told | None = None,
        content: Content | None = None,
    ) -> None:
        self.settings, self.content = settings, content
        self.clock: Clock = clock or SystemClock()
        self._secrets, self._told = (*secrets, *settings.proxies.secrets), told
        self._deadline = self.clock.monotonic() + settings.total_seconds
        from boathouse.images.registry_sockets import Sockets  # here: the control plane starts without the HTTP library

        self._sockets = Sockets(
            lambda host, port: addresses.permitted(host, port, resolver, settings.private_hosts),
            lambda: self._deadline - self.clock.monotonic(),
            settings.connect_seconds,
            settings.stall_seconds,
            settings.ca_file,
            self._secrets,
            settings.proxies,
            lambda host, port: addresses.judged_for_a_proxy(host, port, resolver, settings.private_hosts),
            lambda host, port: addresses.of_proxy(host, port, resolver),
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

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        redirects: bool = False,
        sink: Callable[[int, bytes], None] | None = None,
    ) -> Response:
        """One GET, with waiting where the server asks for it (429, and 503 with Retry-After): three times, each as long as
        `longest_retry_after` allows; `told` hears of each.

        With `redirects`, up to three are followed, each without the Authorization header. `sink` takes the body of a 200 or 206,
        which is not in the answer then. Every failure to get a whole answer within the limits is a PullFailure; a status is for
        the caller to judge.
        """
        for attempt in range(RETRIES + 1):
            response = self._follow(url, headers, limit, redirects, sink)
            wait = self._asked_to_wait(response, attempt)
            if wait is None:
                return response
            if attempt == RETRIES or wait > self.settings.longest_retry_after:
                return response
            self._wait(Wait(urlsplit(response.url).netloc, response.status, wait))
        raise AssertionError("the last attempt returns")

    def _wait(self, wait: Wait) -> None:
        if self._told is not None:
            self._told(wait)
        self.clock.sleep(wait.seconds)
        self._deadline += wait.seconds
        if self._told is not None:
            self._told(None)

    def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes, limit: int = SMALL_LIMIT) -> Response:
        """One request with a body, sent once: no redirect is followed, and nothing is sent again."""
        return self._once(url, {**headers, "Content-Length": str(len(content))}, limit, method, content)

    def _follow(
        self, url: str, headers: Mapping[str, str], limit: int, redirects: bool, sink: Callable[[int, bytes], None] | None
    ) -> Response:
        response = self._once(url, headers, limit, sink=sink)
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
            response = self._once(target, bare, limit, sink=sink)
        return response

    def _once(
        self,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        method: str = "GET",
        content: bytes | None = None,
        sink: Callable[[int, bytes], None] | None = None,
    ) -> Response:
        host = self._checked(url)
        sent = {"Host": host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        status, found, body = self._sockets.ask(host, url, sent, limit, method, content, sink)
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
        if split.scheme == "http" and not addresses.named(host, port or 80, self.settings.plain_hosts):
            raise PullFailure(
                f"{host} would be asked without TLS, and the settings do not name it as a host that may be.",
                f"An operator can allow it: setting registry_plain_http_hosts with {host}.",
            )
        return split.netloc

    def _asked_to_wait(self, response: Response, attempt: int) -> float | None:
        """Seconds to wait before the server is asked again, or None when its answer is to be taken as it is."""
        if response.status not in (429, 503):
            return None
        if not any(name == "retry-after" for name, _ in response.headers):
            return UNTOLD_WAITS[min(attempt, len(UNTOLD_WAITS) - 1)] if response.status == 429 else None
        text = response.header("retry-after").strip()
        if text.isdigit() and len(text) <= len(str(EPOCH_BEGINS)):
            return float(text) if int(text) < EPOCH_BEGINS else max(0.0, int(text) - self.clock.now())
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self.clock.now())
        except (ValueError, TypeError, OverflowError):
            return None
