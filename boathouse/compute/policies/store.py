"""The policies of a workspace: rows, and the default ones, which have a row only once they were edited.

Who may use which is told by permissions on `cluster-policies`; workspace admins may use and change all. Everybody may use
Personal Compute while the account says so (its setting `dcp_acct_enable`).
"""

import hashlib
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import and_, select

from boathouse.account import settings
from boathouse.auth import permissions
from boathouse.compute.policies import families
from boathouse.compute.policies.definition import Definition, MalformedDefinition, merged, parse
from boathouse.compute.tables import cluster_policies as table
from boathouse.edge.caller import Caller
from boathouse.edge.errors import ApiError, denied, invalid, not_found
from boathouse.identity import principals, workspaces
from boathouse.store import Reader

TYPE = "cluster-policies"
CAN_USE = "CAN_USE"

#: A day on which all default policies were there: policies are sorted by when they were made.
_ALWAYS = 0


class PolicyRow(msgspec.Struct, frozen=True):
    """A policy as the store has it; `definition` and `overrides` are JSON texts."""

    policy_id: str
    workspace_id: int
    name: str
    description: str | None
    definition: str | None
    family_id: str | None
    overrides: str | None
    libraries: list[Any] | None
    max_clusters_per_user: int | None
    is_default: bool
    creator: str | None
    created_at: int

    def whole(self, cloud: str) -> str:
        """The definition with that of its family, as a JSON text."""
        if self.family_id is None:
            return self.definition or "{}"
        return merged(families.families(cloud)[self.family_id].definition, self.overrides or "")

    def rules(self, cloud: str) -> Definition:
        """The definition. Raises ApiError in the platform's words for one that cannot be read (any more)."""
        try:
            return _parsed(self.whole(cloud))
        except MalformedDefinition:
            raise invalid(
                f"Requests for the policy {self.policy_id} cannot be satisfied due to the malformed policy definition. "
                "Please contact your administrator to correct the policy definition."
            ) from None


@lru_cache(maxsize=512)
def _parsed(text: str) -> Definition:
    return parse(text)


_COLUMNS = tuple(column for column in table.c if column.name != "name_key")


def default_id(workspace_id: int, family_id: str) -> str:
    """The id of a default policy: the same for ever, in the platform's shape."""
    return hashlib.sha256(f"{workspace_id}\0{family_id}".encode()).hexdigest()[:16].upper()


def new_id() -> str:
    """An id in the platform's shape."""
    return secrets.token_hex(8).upper()


@lru_cache(maxsize=4096)
def _defaults(workspace_id: int) -> dict[str, PolicyRow]:
    """The default policies as they are before they are edited; their names and texts are the same on every cloud."""
    found = {}
    for family in families.families("aws").values():
        policy_id = default_id(workspace_id, family.family_id)
        found[policy_id] = PolicyRow(
            policy_id, workspace_id, family.name, family.description, None, family.family_id, None, None, None,
            is_default=True, creator=None, created_at=_ALWAYS,
        )  # fmt: skip
    return found


def find(reader: Reader, workspace_id: int, policy_id: str, lock: bool = False) -> PolicyRow:
    """A policy of the workspace; `lock` holds its row until the transaction ends. Raises ApiError 404."""
    if len(policy_id) <= 16 and "\0" not in policy_id:
        wanted = select(*_COLUMNS).where(and_(table.c.policy_id == policy_id, table.c.workspace_id == workspace_id))
        row = reader.execute(wanted.with_for_update() if lock else wanted).first()
        if row is not None:
            return PolicyRow(**row._mapping)
        default = _defaults(workspace_id).get(policy_id)
        if default is not None:
            return default
    raise no_such_policy(policy_id)


def all_of(reader: Reader, workspace_id: int) -> Sequence[PolicyRow]:
    """All policies of a workspace, the default ones first."""
    wanted = select(*_COLUMNS).where(table.c.workspace_id == workspace_id).order_by(table.c.created_at, table.c.name_key)
    rows = reader.execute(wanted)
    known = {row.policy_id: PolicyRow(**row._mapping) for row in rows}
    return list((_defaults(workspace_id) | known).values())


def no_such_policy(policy_id: str) -> ApiError:
    """404 with the platform's text."""
    return not_found(f"Can't find a cluster policy with id: {policy_id[:100]}.")


def may_use(reader: Reader, caller: Caller, policy_id: str) -> bool:
    """Whether `caller` may make clusters with a policy of its workspace."""
    return permissions.allows(reader, caller, TYPE, policy_id, CAN_USE)


def all_usable(reader: Reader, caller: Caller) -> list[PolicyRow]:
    """The policies that `caller` may use, the default ones first."""
    found = all_of(reader, caller.workspace_id)
    if caller.admin:
        return list(found)
    given = set(reader.execute(permissions.ids_of(TYPE), permissions.ids_values(caller)).scalars())
    personal = default_id(caller.workspace_id, families.PERSONAL)
    if may_use(reader, caller, personal):
        given.add(personal)
    return [row for row in found if row.policy_id in given]


def usable(reader: Reader, caller: Caller, policy_id: str) -> PolicyRow:
    """A policy that `caller` may use. Raises ApiError 404, and 403."""
    found = find(reader, caller.workspace_id, policy_id)
    if not may_use(reader, caller, policy_id):
        raise denied(
            f"{caller.name} does not have Use permissions on {policy_id}. "
            "Please contact the owner or an administrator for access."
        )
    return found


def _existing(reader: Reader, caller: Caller, policy_id: str) -> str:
    return find(reader, caller.workspace_id, policy_id).policy_id


def _inherited(reader: Reader, workspace_id: int, policy_id: str) -> Sequence[permissions.Grant]:
    """Personal Compute is everybody's, unless the account leaves it to each workspace."""
    if policy_id != default_id(workspace_id, families.PERSONAL):
        return ()
    workspace = workspaces.get(reader, workspace_id)
    if workspace is None or settings.personal_compute(reader, workspace.account_id) != settings.DEFAULT:
        return ()
    users = principals.by_name(reader, workspace.account_id, principals.USERS, [principals.GROUP], workspace_id)
    return () if users is None else (permissions.Grant(users.principal_id, CAN_USE, f"/{TYPE}/"),)


POLICIES = permissions.declare(
    permissions.ObjectType(
        TYPE,
        "cluster-policy",
        ((CAN_USE, "Can make clusters with the policy, and edit those that have it"),),
        _existing,
        inherited=_inherited,
    )
)
