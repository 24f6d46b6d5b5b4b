"""What a Podman that was killed in the middle leaves of a network: namespaces with an end of a cable, and the bridge they
hang on.

Podman sets a container's network up before it writes down that it has; killed in between, nobody but us knows whose it is.
It is told by its address, which belongs to one node of one cluster. Called by `network` after containers are gone, and only
where we are root on the engine's machine. Where the `ip` program is missing nothing is found.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from boathouse.dataplane.engine.client import log

NAMESPACES = Path("/run/netns")
INTERFACES = Path("/sys/class/net")
COMMAND_SECONDS = 10
ABANDONED_SECONDS = 60.0


def program() -> str | None:
    return shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")


def ports(bridge: str) -> int:
    """How many cables hang on a bridge; 0 when there is no bridge."""
    try:
        return sum(1 for _ in (INTERFACES / bridge / "brif").iterdir())
    except FileNotFoundError:
        return 0


def remove_namespaces(of: IPv4Network | IPv4Address) -> list[str]:
    """Remove the network namespaces that have an address of `of` (a cluster's network, or one node's address) and that nobody
    can be using any more; their names."""
    wanted = of if isinstance(of, IPv4Network) else IPv4Network(of)
    found = [name for name in _names() if any(address in wanted for address in _addresses(name))]
    for name in found:
        log.warning("removing the network namespace %s: its engine was killed before it knew of it", name)
        _ip("netns", "delete", name)
    return found


def remove_abandoned(clock: Callable[[], float] = time.time) -> list[str]:
    """Remove namespaces that an engine was killed over before they had an address: nothing but a loopback is in them, no process,
    and nobody takes a minute for the next step. Whose they were cannot be told any more, nor does it matter; their names."""
    found = []
    for name in _names():
        path = NAMESPACES / name
        try:
            fresh = clock() - path.stat().st_ctime < ABANDONED_SECONDS
        except FileNotFoundError:
            continue
        if not fresh and (not os.path.ismount(path) or (_bare(name) and not _ip("netns", "pids", name))):
            log.warning("removing the network namespace %s: its engine was killed while it made it", name)
            _ip("netns", "delete", name)
            found.append(name)
    return found


def remove_bridge(bridge: str) -> bool:
    """Remove a bridge that its network left; False when there is none."""
    if not (INTERFACES / bridge).exists():
        return False
    log.warning("removing the bridge %s: its engine was killed before it could", bridge)
    _ip("link", "delete", bridge)
    return True


def addresses(listing: str) -> list[IPv4Address]:
    """The IPv4 addresses in the JSON of `ip -j -4 address show`."""
    found = json.loads(listing or "[]")
    return [IPv4Address(one["local"]) for link in found for one in link.get("addr_info") or [] if one.get("family") == "inet"]


def _names() -> list[str]:
    try:
        return sorted(path.name for path in NAMESPACES.iterdir() if path.name.startswith("netns-"))
    except FileNotFoundError:
        return []


def _bare(name: str) -> bool:
    """Whether a namespace has no interface but the loopback. False when that cannot be told."""
    links = json.loads(_ip("-n", name, "-j", "link", "show") or "[]")
    return [link.get("ifname") for link in links] == ["lo"]


def _addresses(name: str) -> list[IPv4Address]:
    return addresses(_ip("-n", name, "-j", "-4", "address", "show"))


def _ip(*arguments: str) -> str:
    """Run `ip`; its answer, or nothing where it fails: a namespace may go while we look."""
    path = program()
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode:
        log.info("ip %s: %s", " ".join(arguments), " ".join(done.stderr.split())[:300])
        return ""
    return done.stdout
