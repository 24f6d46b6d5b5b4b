"""SCIM for a workspace, the small set: create, list, get and delete of users, service principals and groups (reference
api F).

A principal of the account enters a workspace by being created there; deleting it there takes it out of the workspace,
and the account keeps it. Members may look; admins change. What is not here (PUT, PATCH, the account's SCIM) the edge
answers with 501."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from boathouse.edge import Ctx, Raw, endpoint
from boathouse.edge.errors import denied
from boathouse.identity import filters, principals, registry, workspaces
from boathouse.identity.principals import ADMINS, GROUP, SERVICE_PRINCIPAL, USER, USERS, Principal
from boathouse.identity.scim_documents import ROOT, ScimError, document, error_shape, listing, wanted
from boathouse.identity.tables import principals as table
from boathouse.store import Reader, Tx
from boathouse.wire.identity import CreateGroup, CreateServicePrincipal, CreateUser, GetQuery, ListQuery, Value

ENTITLEMENTS = (
    "allow-cluster-create", "allow-instance-pool-create", "databricks-sql-access", "workspace-access", "workspace-consume",
)  # fmt: skip

#: Resources on one page at most, whatever `count` asks for.
LARGEST_PAGE = 10_000

_USER_NAME = re.compile(r"[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+")

#: SCIM's names of what can be filtered and sorted by, to the columns.
_FILTERABLE: dict[str, dict[str, str]] = {
    USER: {
        "id": "principal_id", "userName": "name", "displayName": "display_name", "externalId": "external_id",
        "active": "active",
    },
    SERVICE_PRINCIPAL: {
        "id": "principal_id", "applicationId": "name", "displayName": "display_name", "externalId": "external_id",
        "active": "active",
    },
    GROUP: {"id": "principal_id", "displayName": "name", "externalId": "external_id"},
}  # fmt: skip

_WORD = {USER: "User", SERVICE_PRINCIPAL: "ServicePrincipal", GROUP: "Group"}


@endpoint("POST", f"{ROOT}/Users", action="scim.createUser", error_shape=error_shape)
def create_user(ctx: Ctx, body: CreateUser) -> Raw:
    """Add a user to the workspace; one that the account knows keeps its attributes."""
    _check(ctx, body)
    name = body.user_name
    if len(name) > 320 or not _USER_NAME.fullmatch(name):
        raise ScimError(400, f"Invalid userName '{name[:100]}': it must be an e-mail address.", "invalidValue")
    attributes: dict[str, Any] = {
        "emails": msgspec.to_builtins(body.emails) or [{"value": name, "type": "work", "primary": True}]
    }
    if body.name is not None:
        attributes["name"] = msgspec.to_builtins(body.name)
    return _enter(ctx, USER, name, f"User with username {name} already exists.", body, attributes)


@endpoint("POST", f"{ROOT}/ServicePrincipals", action="scim.createServicePrincipal", error_shape=error_shape)
def create_service_principal(ctx: Ctx, body: CreateServicePrincipal) -> Raw:
    """Add a service principal to the workspace, with a new application id unless one is given."""
    _check(ctx, body)
    name = body.application_id or str(uuid.uuid4())
    try:
        name = str(uuid.UUID(name))
    except ValueError:
        raise ScimError(400, f"Invalid applicationId '{name[:100]}': it must be a UUID.", "invalidValue") from None
    return _enter(ctx, SERVICE_PRINCIPAL, name, f"Service principal with application id {name} already exists.", body, {})


@endpoint("POST", f"{ROOT}/Groups", action="scim.createGroup", error_shape=error_shape)
def create_group(ctx: Ctx, body: CreateGroup) -> Raw:
    """Make a group of the workspace with its first members."""
    _check(ctx, body)
    name = body.display_name
    if not 0 < len(name) <= 255 or name != name.strip() or not name.isprintable():
        raise ScimError(400, f"Invalid displayName '{name[:100]}': 1 to 255 printable characters.", "invalidValue")
    with ctx.transaction() as tx:
        if principals.in_workspace(tx, ctx.workspace_id, name, [GROUP]) is not None:
            raise ScimError(409, f"Group with name {name} already exists.", "uniqueness")
        made = registry.create(tx, _account(ctx, tx), GROUP, name, workspace_id=ctx.workspace_id, external_id=body.external_id)
        for member in body.members:
            registry.add_member(tx, made.principal_id, _find(ctx, tx, member.value).principal_id)
        registry.grant_entitlements(tx, ctx.workspace_id, made.principal_id, [e.value for e in body.entitlements])
        answer = document(tx, ctx.workspace_id, made)
    return _created(answer)


@endpoint("GET", f"{ROOT}/Users", error_shape=error_shape)
def list_users(ctx: Ctx, query: ListQuery) -> dict[str, Any]:
    """Users of the workspace, by user name unless `sortBy` says otherwise."""
    return _list(ctx, USER, query)


@endpoint("GET", f"{ROOT}/ServicePrincipals", error_shape=error_shape)
def list_service_principals(ctx: Ctx, query: ListQuery) -> dict[str, Any]:
    """Service principals of the workspace."""
    return _list(ctx, SERVICE_PRINCIPAL, query)


@endpoint("GET", f"{ROOT}/Groups", error_shape=error_shape)
def list_groups(ctx: Ctx, query: ListQuery) -> dict[str, Any]:
    """Groups of the workspace and groups of the account that are assigned to it."""
    return _list(ctx, GROUP, query)


@endpoint("GET", f"{ROOT}/Users/{{id}}", error_shape=error_shape)
def get_user(ctx: Ctx, id: str, query: GetQuery) -> dict[str, Any]:
    """One user."""
    return _get(ctx, USER, id, query)


@endpoint("GET", f"{ROOT}/ServicePrincipals/{{id}}", error_shape=error_shape)
def get_service_principal(ctx: Ctx, id: str, query: GetQuery) -> dict[str, Any]:
    """One service principal."""
    return _get(ctx, SERVICE_PRINCIPAL, id, query)


@endpoint("GET", f"{ROOT}/Groups/{{id}}", error_shape=error_shape)
def get_group(ctx: Ctx, id: str, query: GetQuery) -> dict[str, Any]:
    """One group."""
    return _get(ctx, GROUP, id, query)


@endpoint("DELETE", f"{ROOT}/Users/{{id}}", action="scim.deleteUser", error_shape=error_shape)
def delete_user(ctx: Ctx, id: str) -> Raw:
    """Take a user out of the workspace."""
    return _leave(ctx, USER, id)


@endpoint("DELETE", f"{ROOT}/ServicePrincipals/{{id}}", action="scim.deleteServicePrincipal", error_shape=error_shape)
def delete_service_principal(ctx: Ctx, id: str) -> Raw:
    """Take a service principal out of the workspace."""
    return _leave(ctx, SERVICE_PRINCIPAL, id)


@endpoint("DELETE", f"{ROOT}/Groups/{{id}}", action="scim.deleteGroup", error_shape=error_shape)
def delete_group(ctx: Ctx, id: str) -> Raw:
    """Remove a group of the workspace, or take one of the account out of it."""
    _admin(ctx)
    with ctx.transaction() as tx:
        found = _find(ctx, tx, id, GROUP)
        if found.workspace_id != ctx.workspace_id:
            registry.leave_workspace(tx, ctx.workspace_id, found.principal_id)
        elif found.name in (ADMINS, USERS):
            raise ScimError(400, f"The system group {found.name} cannot be deleted.", "mutability")
        else:
            registry.remove_group(tx, found.principal_id)
    return Raw(status=204)


def _admin(ctx: Ctx) -> None:
    if not ctx.caller.admin:
        raise denied("Only workspace admins can change users, service principals and groups.")


def _check(ctx: Ctx, body: CreateUser | CreateServicePrincipal | CreateGroup) -> None:
    """What a creation may not say."""
    _admin(ctx)
    if body.id is not None:
        raise ScimError(400, "The attribute id is given by the server.", "mutability")
    if body.groups:
        raise ScimError(400, "The attribute groups is read-only here: a group is given its members.", "mutability")
    if body.roles:
        raise ScimError(400, "The attribute roles is not served by Boathouse yet.", "invalidValue")
    if isinstance(body, CreateGroup) and body.meta:
        raise ScimError(400, "The attribute meta is given by the server.", "mutability")
    _check_entitlements(body.entitlements)


def _check_entitlements(asked: list[Value]) -> None:
    for entitlement in asked:
        if entitlement.value not in ENTITLEMENTS:
            raise ScimError(
                400, f"Unknown entitlement '{entitlement.value[:100]}'. Allowed: {', '.join(ENTITLEMENTS)}.", "invalidValue"
            )


def _account(ctx: Ctx, reader: Reader) -> str:
    workspace = workspaces.get(reader, ctx.workspace_id)
    if workspace is None:
        raise ScimError(404, f"Workspace {ctx.workspace_id} does not exist.")
    return workspace.account_id


def _enter(
    ctx: Ctx, kind: str, name: str, taken: str, body: CreateUser | CreateServicePrincipal, attributes: dict[str, Any]
) -> Raw:
    with ctx.transaction() as tx:
        account_id = _account(ctx, tx)
        found = principals.by_name(tx, account_id, name, [kind])
        if found is None:
            found = registry.create(
                tx, account_id, kind, name, display_name=body.display_name or "", active=body.active,
                external_id=body.external_id, attributes=attributes,
            )  # fmt: skip
        elif principals.assigned(tx, found.principal_id, ctx.workspace_id):
            raise ScimError(409, taken, "uniqueness")
        users = principals.by_name(tx, account_id, USERS, [GROUP], ctx.workspace_id)
        if users is None:
            raise ScimError(404, f"Workspace {ctx.workspace_id} has no group {USERS}.")
        registry.add_member(tx, users.principal_id, found.principal_id)
        registry.grant_entitlements(tx, ctx.workspace_id, found.principal_id, [e.value for e in body.entitlements])
        answer = document(tx, ctx.workspace_id, found)
    return _created(answer)


def _created(answer: dict[str, Any]) -> Raw:
    return Raw(msgspec.json.encode(answer), 201, "application/scim+json")


def _leave(ctx: Ctx, kind: str, id: str) -> Raw:
    _admin(ctx)
    with ctx.transaction() as tx:
        found = _find(ctx, tx, id, kind)
        if found.bootstrap:
            raise ScimError(
                400,
                f"{found.name} cannot be deleted: every start needs this admin. `boathouse token rotate` ends its token.",
                "mutability",
            )  # fmt: skip
        registry.leave_workspace(tx, ctx.workspace_id, found.principal_id)
        if principals.assigned(tx, found.principal_id, ctx.workspace_id):
            raise ScimError(400, f"{found.name} is in the workspace through a group of the account.", "mutability")
    return Raw(status=204)


def _in_workspace(ctx: Ctx, reader: Reader | Tx, kind: str | None) -> list[Mapping[str, Any]]:
    assigned = principals.assigned_ids(ctx.workspace_id)
    here = (table.c.workspace_id == ctx.workspace_id) | table.c.principal_id.in_(select(assigned.c.member_id))
    query = select(*(getattr(table.c, name) for name in (*Principal.__dataclass_fields__, "external_id"))).where(here)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    return [row._mapping for row in reader.execute(query.order_by(table.c.name_key, table.c.principal_id))]  # type: ignore[misc]


def _principal(row: Mapping[str, Any]) -> Principal:
    return Principal(**{name: row[name] for name in Principal.__dataclass_fields__})


def _find(ctx: Ctx, reader: Reader | Tx, id: str, kind: str | None = None) -> Principal:
    found = principals.by_id(reader, int(id)) if re.fullmatch(r"[0-9]{1,18}", id) else None
    here = found is not None and (
        found.workspace_id == ctx.workspace_id or principals.assigned(reader, found.principal_id, ctx.workspace_id)
    )
    if found is None or not here or kind not in (None, found.kind):
        raise ScimError(404, f"{_WORD[kind] if kind else 'Principal'} with id {id[:64]} not found.")
    return found


def _get(ctx: Ctx, kind: str, id: str, query: GetQuery) -> dict[str, Any]:
    with ctx.read() as reader:
        found = _find(ctx, reader, id, kind)
        own = ctx.caller.admin or found.principal_id == ctx.caller.principal_id
        return document(reader, ctx.workspace_id, found, wanted(query.attributes, query.excluded_attributes, own))


def _list(ctx: Ctx, kind: str, query: ListQuery) -> dict[str, Any]:
    names = _FILTERABLE[kind]
    start, count = max(1, query.start_index), min(max(0, query.count), LARGEST_PAGE)
    with ctx.read() as reader:
        rows = _in_workspace(ctx, reader, kind)
        if query.filter.strip():
            try:
                chosen = filters.parse(query.filter, names)
            except filters.BadFilter as error:
                raise ScimError(400, f"Invalid filter: {error}.", "invalidFilter") from None
            rows = [row for row in rows if chosen(row)]
        if query.sort_by:
            key = {name.lower(): column for name, column in names.items()}.get(query.sort_by.lower())
            if key is None:
                raise ScimError(400, f"Cannot sort by '{query.sort_by[:60]}'. Allowed: {', '.join(names)}.", "invalidValue")
            rows.sort(key=lambda row: str(row[key] if row[key] is not None else "").casefold())
        if query.sort_order == "descending":
            rows.reverse()
        elif query.sort_order != "ascending":
            raise ScimError(400, "sortOrder is ascending or descending.", "invalidValue")
        attributes = wanted(query.attributes, query.excluded_attributes, ctx.caller.admin)
        page = rows[start - 1 : start - 1 + count]
        found = [document(reader, ctx.workspace_id, _principal(row), attributes) for row in page]
    return listing(found, len(rows), start)
