"""From which addresses a workspace or an account may be called. Block lists come first; where there is an allow list, the address
must be in one. What a `Gate` says is pure."""

import ipaddress
from collections.abc import Iterable

import msgspec
from sqlalchemy import select

from boathouse.auth.tables import ip_access_lists as lists
from boathouse.auth.tables import ip_access_switches as switches
from boathouse.edge.errors import ApiError
from boathouse.edge.sources import Network, address_of
from boathouse.identity import workspaces
from boathouse.store import Reader

ALLOW, BLOCK = "ALLOW", "BLOCK"

#: The switch of a workspace (`workspace-conf`).
SWITCH = "enableIpAccessLists"

#: `workspace_id` of the account's own lists.
ACCOUNT = 0


def network_of(text: str) -> Network | None:
    """An address or a network (CIDR); an IPv4 one inside IPv6 as itself. None for what is neither."""
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    return ipaddress.ip_network((mapped, found.prefixlen - 96), strict=False) if mapped and found.prefixlen >= 96 else found


class Gate(msgspec.Struct, frozen=True):
    """The enabled lists of one place, as networks."""

    allow: tuple[Network, ...]
    block: tuple[Network, ...]

    def admits(self, source: str) -> bool:
        """Whether a call from this address may come in. One that has no address passes only where nothing must be allowed."""
        address = address_of(source)
        if address is None:
            return not self.allow
        if any(address in network for network in self.block):
            return False
        return not self.allow or any(address in network for network in self.allow)


def gate(entries: Iterable[tuple[str, bool, list[str]]]) -> Gate:
    """The gate of lists: type, enabled, addresses."""
    found: dict[str, list[Network]] = {ALLOW: [], BLOCK: []}
    for kind, enabled, addresses in entries:
        if enabled:
            found[kind] += [network for network in map(network_of, addresses) if network is not None]
    return Gate(tuple(found[ALLOW]), tuple(found[BLOCK]))


def stored(reader: Reader, account_id: str, workspace_id: int) -> Gate:
    """The gate of a workspace, or of the account, whether it is switched on or not."""
    there = (lists.c.account_id == account_id) & (lists.c.workspace_id == workspace_id)
    rows = reader.execute(select(lists.c.list_type, lists.c.enabled, lists.c.addresses).where(there))
    return gate((row.list_type, row.enabled, row.addresses) for row in rows)


def in_force(reader: Reader, account_id: str, workspace_id: int) -> Gate | None:
    """The gate that calls must pass; None where it is switched off."""
    if workspace_id == ACCOUNT:
        on = bool(reader.execute(select(switches.c.enabled).where(switches.c.account_id == account_id)).scalar_one_or_none())
    else:
        on = workspaces.conf(reader, workspace_id, SWITCH) == "true"
    return stored(reader, account_id, workspace_id) if on else None


def blocked(source: str, account_id: str, workspace_id: int) -> ApiError:
    """The refusal, as the platform words it (reference api 0.2)."""
    where = f"workspace: {workspace_id}" if workspace_id != ACCOUNT else f"account: {account_id}"
    return ApiError(403, 403, f"Source IP address: {source or 'unknown'} is blocked by Databricks IP ACL for {where}")


def check(reader: Reader, source: str, account_id: str, workspace_id: int) -> None:
    """Raises ApiError 403 when this address may not call the workspace, or the account."""
    gate = in_force(reader, account_id, workspace_id)
    if gate is not None and not gate.admits(source):
        raise blocked(source, account_id, workspace_id)


def refuse_lock_out(reader: Reader, source: str, account_id: str, workspace_id: int) -> None:
    """Called in the transaction that changes lists or the switch: raises ApiError 400 when its author could not call again."""
    if not stored(reader, account_id, workspace_id).admits(source):
        text = f"The IP access lists would block your own address, {source or 'unknown'}: allow it, or do not block it."
        raise ApiError(400, "INVALID_STATE", text)
