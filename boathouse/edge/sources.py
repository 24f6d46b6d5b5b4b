"""The address that a request comes from, for IP access lists and the audit.

`X-Forwarded-For` is a word of whoever sent it: it is believed only as far as it was written by proxies that settings name. Read
from its end, the first address that is no such proxy is the caller's.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address_of(text: str) -> Address | None:
    """An address as it is compared: without brackets, port or zone, an IPv4 address inside IPv6 as itself. None: it is none."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


class Sources:
    """Whose word about the origin of a request counts. `proxies`: addresses or networks, such as `10.0.0.0/8`.

    Raises ValueError for an entry that is neither.
    """

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        self._proxies: list[Network] = [ipaddress.ip_network(entry, strict=False) for entry in proxies]

    def of(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
        """The address of the caller, or "" where there is none (a socket without addresses)."""
        peer = (scope.get("client") or ("", 0))[0]
        if not self._proxies or not self._trusted(peer):
            return peer
        for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
            if not hop.strip():
                continue
            address = address_of(hop)
            if address is None:
                return peer  # a proxy of ours passed on what is no address: believe nobody beyond it
            peer = str(address)
            if not self._trusted(peer):
                break
        return peer

    def _trusted(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and any(address in network for network in self._proxies)
