"""Where our own process may connect on behalf of a user: every name is resolved, judged, and the judged address is the one used.

Without this, a name that a user chose (or a redirect) could point our process at the cloud's metadata service or at a
machine of the inner network. Pure apart from the default resolver.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from enum import Enum

Resolver = Callable[[str, int], list[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Metadata services outside the link-local ranges: AWS over IPv6, Azure's wire server, Alibaba, Oracle.
_METADATA = {ipaddress.ip_address(text) for text in ("fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Kind(Enum):
    """What an address is to us. NEVER: link-local, metadata services, and what is no host at all."""

    PUBLIC = "public"
    PRIVATE = "private"
    NEVER = "never"


def kind(address: Address) -> Kind:
    """Judge an address; an IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged as itself."""
    inner = _inner(address)
    if inner is not None:
        return kind(inner)
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return Kind.NEVER
    if address.is_loopback:
        return Kind.PRIVATE
    if address.is_reserved or address == ipaddress.ip_address("255.255.255.255"):
        return Kind.NEVER
    return Kind.PUBLIC if address.is_global else Kind.PRIVATE


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def named(host: str, port: int, allowed: Iterable[str]) -> bool:
    """Whether settings name a host: an entry `host` allows every port of it, `host:port` only that one."""
    bare = host.strip("[]").lower()
    names = {bare, f"{bare}:{port}", f"[{bare}]", f"[{bare}]:{port}"}
    return any(entry.strip().lower() in names for entry in allowed)


def system_resolver(host: str, port: int) -> list[str]:
    """The machine's own resolver; OSError when the name is unknown."""
    return list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class NotPermitted(Exception):
    """Our process does not connect there. `why`: "unknown", "private" or "never"."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host}: {why}")
        self.host, self.why = host, why


def chosen(host: str, port: int, resolver: Resolver, allowed_private: Iterable[str]) -> str:
    """The one address that may be used for `host`; NotPermitted when the name is unknown or no address of it may be."""
    bare = host.strip("[]")
    try:
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in resolver(bare, port)]
    except (OSError, UnicodeError) as error:
        raise NotPermitted(bare, "unknown") from error
    kinds = {address: kind(address) for address in found}
    private_allowed = named(host, port, allowed_private)
    for address, judged in kinds.items():
        if judged is Kind.PUBLIC or (judged is Kind.PRIVATE and private_allowed):
            return str(address)
    raise NotPermitted(bare, "private" if Kind.PRIVATE in kinds.values() else "never")
