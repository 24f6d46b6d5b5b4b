"""The firewall around the clusters of this machine: one nftables table of ours, shared by all data directories.

What it says: a cluster's network reaches itself and the outside world; not another bridge, not the machine it runs on, not
link-local addresses (a cloud's metadata service). Nobody reaches into it. Translation to the outside is the engine's own
work. (Measured: plain bridges reach each other, and every service that the host binds to 0.0.0.0.) What is refused is
answered with an ICMP error and not swallowed: a program that asks for cloud metadata goes on at once instead of waiting for
its time-out.

The texts are pure; `Firewall` runs `nft`, whose transactions are whole or not at all. Elements carry instance and cluster as
comment, so that each data directory removes its own. The table goes with the last element.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from boathouse.dataplane.engine import machine_lock

TABLE = "boathouse"
COMMAND_SECONDS = 10


class FirewallFailed(Exception):
    """`nft` refused, with its own words."""


@dataclass(frozen=True)
class Fence:
    """One network inside the firewall: the cluster's bridge and its addresses, and whose it is."""

    bridge: str
    subnet: IPv4Network
    instance: str
    cluster_id: str

    @property
    def owner(self) -> str:
        return f"{self.instance} {self.cluster_id}"


def base(uplinks: Sequence[str]) -> str:
    """The table, its sets and its rules. Read by nft as one transaction; the same text again changes nothing.

    `uplinks`: interfaces of the default route; one of them may be a bridge itself, and traffic to the world may leave by it.
    """
    names = ", ".join(f'"{name}"' for name in uplinks)
    through_uplink = f"oifname {{ {names} }} accept" if names else ""
    return f"""
add table inet {TABLE}
add set inet {TABLE} bridges {{ type ifname; }}
add set inet {TABLE} networks {{ type ipv4_addr; flags interval; }}
add set inet {TABLE} same {{ type ipv4_addr . ipv4_addr; flags interval; }}
add chain inet {TABLE} passing {{ type filter hook forward priority -10; policy accept; }}
add chain inet {TABLE} arriving {{ type filter hook input priority -10; policy accept; }}
flush chain inet {TABLE} passing
flush chain inet {TABLE} arriving
table inet {TABLE} {{
  chain passing {{
    ip saddr . ip daddr @same accept
    ct state established,related accept
    oifname @bridges counter reject with icmpx admin-prohibited
    iifname != @bridges accept
    ip daddr 169.254.0.0/16 counter reject with icmpx admin-prohibited
    ip6 daddr fe80::/10 counter drop
    ip daddr @networks counter reject with icmpx admin-prohibited
    {through_uplink}
    meta oifkind "bridge" counter reject with icmpx admin-prohibited
  }}
  chain arriving {{
    iifname != @bridges accept
    ct state established,related accept
    counter reject with icmpx admin-prohibited
  }}
}}
"""


def enclose(fence: Fence) -> str:
    """Add one network. Adding what is there already is no error."""
    subnet = fence.subnet
    return f"""
add element inet {TABLE} bridges {{ "{fence.bridge}" comment "{fence.owner}" }}
add element inet {TABLE} networks {{ {subnet} comment "{fence.owner}" }}
add element inet {TABLE} same {{ {subnet} . {subnet} comment "{fence.owner}" }}
"""


def removals(name: str) -> list[str]:
    """The commands that take a bridge or a subnet out; separate, because nft refuses a transaction that removes what is not
    there."""
    if "/" in name:
        return [
            f"delete element inet {TABLE} same {{ {name} . {name} }}",
            f"delete element inet {TABLE} networks {{ {name} }}",
        ]
    return [f'delete element inet {TABLE} bridges {{ "{name}" }}']


def elements(listing: str) -> dict[str, str]:
    """Bridges and networks in the JSON of `nft -j list table`, each with its owner (instance and cluster)."""
    found: dict[str, str] = {}
    for entry in json.loads(listing or "{}").get("nftables", []):
        group = entry.get("set", {})
        if group.get("name") not in ("bridges", "networks"):
            continue
        for element in group.get("elem", []):
            inner = element.get("elem", {}) if isinstance(element, dict) and "elem" in element else {"val": element}
            found[_value(inner["val"])] = str(inner.get("comment", ""))
    return found


def _value(value: object) -> str:
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    return str(value)


class Firewall:
    """The table on this machine. `lock` is a file that all processes on the machine share: looking whether the table is
    empty and removing it must not meet somebody who adds to it."""

    def __init__(self, lock: Path) -> None:
        self._lock = lock

    @contextmanager
    def held(self) -> Iterator[None]:
        """The machine-wide lock, which the choice of subnets takes as well. Not to be taken twice by one thread."""
        with machine_lock.held(self._lock):
            yield

    def add(self, fence: Fence, uplinks: Sequence[str]) -> None:
        """Put a network inside; twice is the same as once. The caller holds the lock. Raises FirewallFailed."""
        _nft("-f", "-", text=base(uplinks) + enclose(fence))

    def remove(self, owner: str) -> list[str]:
        """Take out what has this owner; the names. Nothing there is no error. The caller holds the lock."""
        inside = self.elements()
        found = [name for name, whose in inside.items() if whose == owner]
        for name in found:
            for command in removals(name):
                _nft("-f", "-", text=command, missing_is_fine=True)
            del inside[name]
        if not inside:
            _nft("delete", "table", "inet", TABLE, missing_is_fine=True)
        return found

    def elements(self) -> dict[str, str]:
        """Bridges and networks inside, with their owners; empty without a table."""
        return elements(_nft("-j", "list", "table", "inet", TABLE, missing_is_fine=True))

    def subnets(self) -> list[IPv4Network]:
        """The networks inside, of every instance: the register of subnets on this machine, whichever engine made them."""
        return [IPv4Network(name) for name in self.elements() if "/" in name]


def program() -> str | None:
    """Where `nft` is, or None. It stands in a directory that users' paths often lack."""
    return shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")


def _nft(*arguments: str, text: str = "", missing_is_fine: bool = False) -> str:
    path = program()
    if path is None:
        raise FirewallFailed("nft is not installed (Debian: apt-get install nftables)")
    try:
        done = subprocess.run(
            [path, *arguments], input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FirewallFailed(f"nft did not answer within {COMMAND_SECONDS} s") from error
    if done.returncode == 0:
        return done.stdout
    if missing_is_fine and "No such file or directory" in done.stderr:
        return ""
    raise FirewallFailed(" ".join(done.stderr.split())[:300])
