"""Which addresses a cluster gets: one /27 of our pool, and in it a fixed place for each node. Pure.

Engines run out of their own default pools at about thirty networks, and hand out addresses that we could not know before a
container runs. With fixed addresses Spark needs no name service, and executors can be told the driver's address before it
exists.
"""

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

DEFAULT_POOL = IPv4Network("10.213.0.0/16")
PREFIX = 27
FIRST_NODE = 2
NODES_PER_NETWORK = 2 ** (32 - PREFIX) - 3
"""Addresses of a /27 that are neither its own, nor the bridge's, nor the broadcast's."""


class PoolExhausted(Exception):
    """Every /27 of the pool is taken or overlaps with something that this machine routes."""


class PlaceMissing(Exception):
    """A node's index does not fit into the cluster's network."""


def choose(pool: IPv4Network, key: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """A free network for `key`. The search begins at a place that depends on the key, so that two engines on one machine
    that do not see each other's networks seldom choose the same. `taken`: networks of engines and routes of the host; the
    default route is no obstacle. Raises PoolExhausted."""
    obstacles = [network for network in taken if network.prefixlen > 0 and network.overlaps(pool)]
    count = 2 ** (PREFIX - pool.prefixlen) if pool.prefixlen <= PREFIX else 0
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    for step in range(count):
        offset = (start + step) % count
        candidate = IPv4Network((int(pool.network_address) + offset * 2 ** (32 - PREFIX), PREFIX))
        if not any(candidate.overlaps(obstacle) for obstacle in obstacles):
            return candidate
    raise PoolExhausted(f"no free /{PREFIX} in {pool}: {len(obstacles)} networks or routes are in the way")


def place(network: IPv4Network, index: int) -> IPv4Address:
    """The address of node `index` (0 the driver). Raises PlaceMissing."""
    if not 0 <= index < network.num_addresses - 3:
        raise PlaceMissing(f"a cluster on one machine has at most {network.num_addresses - 3} nodes; this is number {index + 1}")
    return network[FIRST_NODE + index]


def gateway(network: IPv4Network) -> IPv4Address:
    """The bridge's own address on the host."""
    return network[1]


def routes(table: str) -> list[IPv4Network]:
    """The networks in the text of /proc/net/route (addresses in hexadecimal, in the byte order of the machine: little-endian)."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        address, mask = (int.from_bytes(bytes.fromhex(fields[column]), "little") for column in (1, 7))
        found.append(IPv4Network((address, mask.bit_count())))
    return found


def default_interfaces(table: str) -> list[str]:
    """The interfaces by which the machine reaches everything else, in the text of /proc/net/route."""
    lines = (line.split() for line in table.splitlines()[1:])
    return sorted({fields[0] for fields in lines if len(fields) >= 8 and fields[1] == "00000000" and fields[7] == "00000000"})
