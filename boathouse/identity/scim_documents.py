"""Principals as SCIM documents (reference api F), and SCIM's own shape of refusals. Used by the SCIM endpoints only.

Documents are made many at a time: what they need beside their rows (groups, entitlements, roles, members) is read in a few
statements for all of them, and only what is wanted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Row, select

from boathouse.edge.errors import ApiError
from boathouse.edge.routing import Raw
from boathouse.identity import principals, registry
from boathouse.identity.principals import GROUP, SERVICE_PRINCIPAL, USER, Principal
from boathouse.identity.scim_schemas import CORE, WORD
from boathouse.identity.tables import ACCOUNT_LEVEL, account_roles, deactivations, entitlements, memberships, workspace_roles
from boathouse.identity.tables import principals as table
from boathouse.store import Reader

ROOT = "/api/2.0/preview/scim/v2"
ACCOUNT_ROOT = "/api/2.0/accounts/{account_id}/scim/v2"
MEDIA_TYPE = "application/scim+json"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"

#: Attributes of others that somebody who is no admin gets to see.
PUBLIC = ("schemas", "id", "userName", "displayName", "applicationId", "active", "meta")

#: The last part of a path, by kind.
PLURAL = {kind: f"{word}s" for kind, word in WORD.items()}

#: Up to here groups are asked for one by one; beyond it the graph of groups is read once.
FEW = 4

#: What a row must have to become a document.
COLUMNS = tuple(table.c[name] for name in (*Principal.__struct_fields__, "attributes", "external_id"))


class ScimError(ApiError):
    """A refusal in SCIM's shape; `scim_type` is one of RFC 7644 3.12."""

    def __init__(self, status: int, detail: str, scim_type: str | None = None) -> None:
        super().__init__(status, f"SCIM_{status}", detail)
        self.scim_type = scim_type


def error_shape(error: ApiError) -> Any:
    """Refusals by a SCIM endpoint. Those that the edge makes before it (credentials, workspaces) keep the platform's
    shape."""
    ours = isinstance(error, ScimError) or error.status in (400, 405, 501) or error.error_code == "ENDPOINT_NOT_FOUND"
    if not ours:
        return error.body()
    body: dict[str, Any] = {"schemas": [ERROR], "detail": error.message, "status": str(error.status)}
    scim_type = error.scim_type if isinstance(error, ScimError) else "invalidSyntax" if error.status == 400 else None
    if scim_type:
        body["scimType"] = scim_type
    return answer(body, error.status, error.headers)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Raw:
    """A document as SCIM's media type."""
    return Raw(msgspec.json.encode(body), status, MEDIA_TYPE, headers or {})


class Scope(msgspec.Struct, frozen=True):
    """From where principals are looked at: a workspace, or the account (`workspace_id` 0). `root`: where its documents are.
    `admin`: whether the caller may change them; `caller_id` sees itself whole in any case."""

    account_id: str
    workspace_id: int
    root: str
    admin: bool
    caller_id: int

    @property
    def account(self) -> bool:
        return self.workspace_id == ACCOUNT_LEVEL


class Wanted(msgspec.Struct, frozen=True):
    """Which attributes somebody asks for and may see. `id` and `schemas` always; names compare without regard to case,
    and `name.givenName` means all of `name`."""

    only: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    def __call__(self, attribute: str) -> bool:
        name = attribute.lower()
        return name in ("id", "schemas") or ((not self.only or name in self.only) and name not in self.never)


ALL = Wanted()


def wanted(attributes: str, excluded: str, admin: bool) -> Wanted:
    """From the parameters `attributes` and `excludedAttributes`. Who is no admin sees of others what is public."""
    only = _names(attributes)
    if not admin:
        public = frozenset(name.lower() for name in PUBLIC)
        only = (only & public or frozenset({"id"})) if only else public
    return Wanted(only, _names(excluded))


def _names(text: str) -> frozenset[str]:
    """Names with commas between them; a URN before a name, and what is within it, does not matter here."""
    every = (name.strip() for name in text.split(","))
    return frozenset(name.rpartition(":")[2].partition(".")[0].lower() if ":" in name else name.split(".")[0].lower()
                     for name in every if name)  # fmt: skip


@dataclass
class _Beside:
    """What documents need beside their rows, by principal id."""

    groups: Mapping[int, list[dict[str, str]]] = field(default_factory=dict)
    entitlements: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    roles: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    members: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    barred: set[int] = field(default_factory=set)


def document(reader: Reader, scope: Scope, principal_id: int, wanted: Wanted = ALL) -> dict[str, Any]:
    """One principal as `scope` sees it."""
    row = reader.execute(select(*COLUMNS).where(table.c.principal_id == principal_id)).one()
    return documents(reader, scope, [row], wanted)[0]


def documents(reader: Reader, scope: Scope, rows: Sequence[Row[Any]], wanted: Wanted = ALL) -> list[dict[str, Any]]:
    """Principals (rows of COLUMNS) as `scope` sees them. Only what is wanted is asked for."""
    beside = _beside(reader, scope, rows, wanted)
    found = []
    for row in rows:
        body = _document(scope, row, beside)
        found.append(body if wanted is ALL else {key: value for key, value in body.items() if wanted(key)})
    return found


def _document(scope: Scope, row: Row[Any], beside: _Beside) -> dict[str, Any]:
    here = row.principal_id
    word = WORD[row.kind]
    local = row.kind == GROUP and row.workspace_id != ACCOUNT_LEVEL
    body: dict[str, Any] = {
        "schemas": [CORE + word],
        "id": str(here),
        "meta": {"resourceType": "WorkspaceGroup" if local else word, "location": f"{scope.root}/{PLURAL[row.kind]}/{here}"},
    }
    if row.display_name:
        body["displayName"] = row.display_name
    if row.external_id is not None:
        body["externalId"] = row.external_id
    if row.kind == USER:
        body["userName"] = row.name
        if "emails" not in row.attributes:  # nobody gave any, or took them away
            body["emails"] = [{"value": row.name, "type": "work", "primary": True}]
        body |= {name: value for name, value in row.attributes.items() if value}
    elif row.kind == SERVICE_PRINCIPAL:
        body["applicationId"] = row.name
    if row.kind != GROUP:
        body["active"] = row.active and here not in beside.barred
    for name, values in (
        ("groups", beside.groups), ("entitlements", beside.entitlements), ("roles", beside.roles), ("members", beside.members),
    ):  # fmt: skip
        if here in values:
            body[name] = values[here]
    return body


def _beside(reader: Reader, scope: Scope, rows: Sequence[Row[Any]], wanted: Wanted) -> _Beside:
    beside = _Beside()
    ids = [row.principal_id for row in rows]
    if wanted("groups"):
        beside.groups = _groups(reader, scope, ids)
    for some in registry.chunks(ids):
        if wanted("entitlements") and not scope.account:
            mine = (entitlements.c.workspace_id == scope.workspace_id) & entitlements.c.principal_id.in_(some)
            query = select(entitlements.c.principal_id, entitlements.c.entitlement).where(mine)
            _gather(beside.entitlements, some, reader.execute(query.order_by(entitlements.c.entitlement)))
        if wanted("roles"):
            _gather(beside.roles, some, _roles(reader, scope, some))
        if wanted("active") and not scope.account:
            barred = (deactivations.c.workspace_id == scope.workspace_id) & deactivations.c.principal_id.in_(some)
            beside.barred |= set(reader.execute(select(deactivations.c.principal_id).where(barred)).scalars())
    groups = [row.principal_id for row in rows if row.kind == GROUP] if wanted("members") else []
    for some in registry.chunks(groups):
        beside.members |= members_of(reader, some)
    return beside


def _gather(into: dict[int, list[dict[str, str]]], ids: Iterable[int], pairs: Iterable[Any]) -> None:
    into.update({here: [] for here in ids})
    for principal_id, value in pairs:
        into[principal_id].append({"value": value})


def _roles(reader: Reader, scope: Scope, ids: Sequence[int]) -> list[tuple[int, str]]:
    """Roles in the account; in a workspace the roles there too."""
    query = select(account_roles.c.principal_id, account_roles.c.role).where(account_roles.c.principal_id.in_(ids))
    found = [(row.principal_id, row.role) for row in reader.execute(query.order_by(account_roles.c.role))]
    if not scope.account:
        mine = (workspace_roles.c.workspace_id == scope.workspace_id) & workspace_roles.c.principal_id.in_(ids)
        query = select(workspace_roles.c.principal_id, workspace_roles.c.role).where(mine).order_by(workspace_roles.c.role)
        found += [(row.principal_id, row.role) for row in reader.execute(query)]
    return found


def members_of(reader: Reader, group_ids: Sequence[int]) -> dict[int, list[dict[str, str]]]:
    """The direct members of groups, as entries, by display name."""
    found: dict[int, list[dict[str, str]]] = {here: [] for here in group_ids}
    rows = reader.execute(
        select(memberships.c.group_id, table.c.principal_id, table.c.display_name, table.c.name, table.c.kind)
        .join(table, table.c.principal_id == memberships.c.member_id)
        .where(memberships.c.group_id.in_(group_ids))
        .order_by(table.c.display_name, table.c.principal_id)
    )
    for row in rows:
        found[row.group_id].append(entry(row.principal_id, row.display_name or row.name, row.kind))
    return found


def entry(principal_id: int, display: str, kind: str, **more: str) -> dict[str, str]:
    """A principal as a value of `members` or `groups`."""
    return {"value": str(principal_id), "display": display, "$ref": f"{PLURAL[kind]}/{principal_id}", **more}


def _groups(reader: Reader, scope: Scope, ids: Sequence[int]) -> dict[int, list[dict[str, str]]]:
    if len(ids) <= FEW:
        return {
            here: [
                entry(group.group_id, group.name, GROUP, type="direct" if group.direct else "indirect")
                for group in principals.groups_of(reader, here, scope.workspace_id)
            ]
            for here in ids
        }
    visible = table.c.workspace_id.in_((ACCOUNT_LEVEL, scope.workspace_id)) & (table.c.kind == GROUP)
    rows = reader.execute(select(table.c.principal_id, table.c.name).where(visible))
    names: dict[int, str] = {row.principal_id: row.name for row in rows}
    parents = _edges(reader, list(names), names)
    direct = _edges(reader, ids, names)
    above: dict[int, frozenset[int]] = {}
    return {here: _entries(direct.get(here, set()), parents, names, above) for here in ids}


def _edges(reader: Reader, members: Sequence[int], groups: Mapping[int, str]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for some in registry.chunks(members):
        query = select(memberships.c.member_id, memberships.c.group_id).where(memberships.c.member_id.in_(some))
        for row in reader.execute(query):
            if row.group_id in groups:
                found.setdefault(row.member_id, set()).add(row.group_id)
    return found


def _entries(
    direct: set[int], parents: Mapping[int, set[int]], names: Mapping[int, str], above: dict[int, frozenset[int]]
) -> list[dict[str, str]]:
    every = set(direct)
    for group_id in direct:
        if group_id not in above:
            above[group_id] = _reached(group_id, parents)
        every |= above[group_id]
    ordered = sorted(every, key=lambda group_id: names[group_id])
    return [entry(here, names[here], GROUP, type="direct" if here in direct else "indirect") for here in ordered]


def _reached(group_id: int, parents: Mapping[int, set[int]]) -> frozenset[int]:
    found: set[int] = set()
    ahead = [group_id]
    while ahead:
        for parent in parents.get(ahead.pop(), ()):
            if parent not in found:
                found.add(parent)
                ahead.append(parent)
    return frozenset(found)


def listing(found: Iterable[dict[str, Any]], total: int, start: int) -> dict[str, Any]:
    """One page. `Resources` is there even when it is empty: clients stop at an empty page."""
    resources = list(found)
    return {
        "schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": len(resources), "Resources": resources,
    }  # fmt: skip
