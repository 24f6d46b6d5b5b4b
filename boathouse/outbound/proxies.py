"""Which proxy a connection of our own process takes: what an operator says, or the environment does. Pure.

The rules are those of Go's `net/http`, which container engines follow too: the machine itself is reached directly, whatever
is said; an entry of `bypass` is a name (and what is below it), an address or a network, with or without a port, or `*`.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


class BadProxy(ValueError):
    """A text that names no proxy; the message does not repeat it, since it may hold a password."""


@dataclass(frozen=True)
class Proxies:
    """`https`, `http`: the URL of the proxy for URLs of that scheme, empty for none; it may hold user and password, so the repr
    hides it. `bypass`: what is reached without one."""

    https: str = field(default="", repr=False)
    http: str = field(default="", repr=False)
    bypass: tuple[str, ...] = ()

    def chosen(self, scheme: str, host: str, port: int) -> str:
        """The proxy for `scheme://host:port`, or an empty text."""
        proxy = self.https if scheme == "https" else self.http
        return "" if not proxy or _local(host) or any(_fits(entry, host, port) for entry in self.bypass) else proxy

    @property
    def secrets(self) -> tuple[str, ...]:
        """The passwords in the URLs."""
        return tuple(password for url in (self.https, self.http) if (password := urlsplit(url).password))


def of_environment(environ: Mapping[str, str]) -> Proxies:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say (or the same in lower case). Raises BadProxy."""

    def value(name: str) -> str:
        return environ.get(name) or environ.get(name.lower()) or ""

    bypass = tuple(entry.strip() for entry in value("NO_PROXY").split(",") if entry.strip())
    return Proxies(checked(value("HTTPS_PROXY"), "HTTPS_PROXY"), checked(value("HTTP_PROXY"), "HTTP_PROXY"), bypass)


def checked(text: str, where: str) -> str:
    """The URL of a proxy in full; `host:port` means plain HTTP to it. Raises BadProxy."""
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    try:
        split = urlsplit(url)
        usable = split.scheme in DEFAULT_PORTS and bool(split.hostname) and (split.port or True) and url.isascii()
    except ValueError:
        usable = False
    if not usable:
        raise BadProxy(f"{where} names no proxy; give it as http://host:port")
    return url


def bare(url: str) -> str:
    """A proxy's URL without user and password, with its port."""
    split = urlsplit(url)
    host = f"[{split.hostname}]" if ":" in (split.hostname or "") else split.hostname
    return f"{split.scheme}://{host}:{split.port or DEFAULT_PORTS[split.scheme]}"


def _local(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _fits(entry: str, host: str, port: int) -> bool:
    entry, host = entry.strip().lower(), host.strip("[]").lower().rstrip(".")
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass  # one of the two is a name
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit():
        if int(digits) != port:
            return False
        entry = name.strip("[]")
    below = entry if entry.startswith(".") else f".{entry}"
    return host == entry or host.endswith(below)
