"""Grants: `/api/2.1/unity-catalog/permissions/{securable_type}/{full_name}`, what holds effectively, and the newer forms of both.

Who manages a securable sees all that was granted on it; anybody else who may see it sees what they and their groups have.
`apply` is also how SQL grants (`catalog.statements`).
"""

from collections.abc import Iterable, Sequence

from boathouse.catalog import access, grant_rows, grantees, privileges
from boathouse.catalog.access import Asker, Found
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.store import Reader, Tx
from boathouse.wire.catalog import (
    AssignmentsQuery,
    EffectiveAssignment,
    EffectiveAssignments,
    EffectivePermissions,
    EffectivePrivilege,
    Permissions,
    PermissionsChange,
    PermissionsQuery,
    PrivilegeAssignment,
    UpdatePermissions,
)

ROOT = "/api/2.1/unity-catalog"

#: Privileges in one page at least, as the platform wants it; and when it is left to us.
SMALLEST, PAGE = 150, 1000

#: Types of the platform that have grants there and none here.
ELSEWHERE = ("CLEAN_ROOM", "CREDENTIAL", "EXTERNAL_METADATA", "MODEL", "PIPELINE", "PROVIDER", "RECIPIENT", "SHARE")


def look(reader: Reader, asker: Asker, securable_type: str, full_name: str) -> Found:
    """The securable of a type as the API or SQL names it. Raises ApiError."""
    kind = securable_type.upper().replace(" ", "_")
    if kind in ELSEWHERE:
        raise ApiError(501, "NOT_IMPLEMENTED", f"Grants on a {kind.lower()} are not served by Boathouse yet.")
    if kind not in privileges.KINDS:
        allowed = ", ".join(each.lower() for each in privileges.KINDS)
        raise invalid(f"Invalid value for securable_type: '{securable_type[:64]}'. Allowed: {allowed}.")
    if kind != privileges.METASTORE:
        return access.look(reader, asker, kind, full_name)
    if full_name not in (asker.metastore.metastore_id, asker.metastore.name):
        raise access.missing(kind, full_name)
    return access.metastore(reader, asker)


def privilege_named(text: str) -> str:
    """A privilege as the API writes it, from how the API or SQL does. Raises ApiError 400."""
    name = "_".join(text.upper().split())
    if name not in privileges.PRIVILEGES:
        raise invalid(f"Privilege '{text[:64]}' does not exist. Allowed: {', '.join(sorted(privileges.PRIVILEGES))}.")
    return name


def apply(tx: Tx, found: Found, changes: Iterable[PermissionsChange]) -> None:
    """Make all changes or none. Raises ApiError: 403 for who does not manage the securable, 400, 404."""
    found.manage()
    account_id = found.asker.metastore.account_id
    for change in changes:
        add, remove = ([privilege_named(text) for text in texts] for texts in (change.add, change.remove))
        if set(add) & set(remove):
            raise invalid(f"Duplicate privileges to add and delete for principal {change.principal[:320]}.")
        for privilege in (*add, *remove):
            if (refusal := privileges.ungrantable(found.kind, privilege)) is not None:
                raise invalid(refusal)
        principal_id = grantees.get(tx, account_id, change.principal)
        grant_rows.revoke(tx, found.securable_id, principal_id, remove)
        grant_rows.grant(tx, found.securable_id, principal_id, add)


def _asked(reader: Reader, found: Found, principal: str | None) -> frozenset[int] | None:
    """Whose grants to show; None: everybody's."""
    ids = None if privileges.manages(found.path) else found.asker.ids
    if principal is None:
        return ids
    one = frozenset((grantees.get(reader, found.asker.metastore.account_id, principal),))
    return one if ids is None else one & ids


def granted(reader: Reader, found: Found, principal: str | None = None) -> dict[str, list[str]]:
    """What was granted on the securable itself, by name of the principal."""
    on = grant_rows.on(reader, [found.securable_id], _asked(reader, found, principal))
    by_id = on.get(found.securable_id, {})
    called = grantees.names(reader, by_id)
    return {called[each]: by_id[each] for each in sorted(by_id, key=lambda each: called[each])}


def effective(reader: Reader, found: Found, principal: str | None = None) -> dict[str, list[EffectivePrivilege]]:
    """What was granted on the securable and on the catalog and schema that it is in, by name of the principal."""
    whose = _asked(reader, found, principal)
    levels = [(found.securable_id, None, None)]
    levels += [(it.securable_id, it.kind, it.full_name) for it in reversed(found.chain[:-1])]
    on = grant_rows.on(reader, [level[0] for level in levels], whose)
    called = grantees.names(reader, {each for granted in on.values() for each in granted})
    held: dict[str, list[EffectivePrivilege]] = {name: [] for name in sorted(called.values())}
    for securable_id, kind, name in levels:
        for each, names in on.get(securable_id, {}).items():
            held[called[each]] += [
                EffectivePrivilege(privilege=privilege, inherited_from_type=kind, inherited_from_name=name) for privilege in names
            ]
    return held


def _page(principals: Sequence[str], size: int | None, field: str, page_token: str) -> tuple[Sequence[str], str]:
    """The principals of one page and the token of the next. Raises ApiError 400."""
    if size is not None and (size < 0 or 0 < size < SMALLEST):
        raise invalid(f"{field}: {size} is not allowed. Allowed: 0, which leaves it to the server, or {SMALLEST} and more.")
    after = decode_token(page_token, str) if page_token else ""
    left = [name for name in principals if name > after]
    if size is None:
        return left, ""
    # So many principals that all their privileges fit.
    fit = max(1, (min(size, PAGE) or PAGE) // 50)
    return left[:fit], encode_token(left[fit - 1]) if len(left) > fit else ""


def _granted_page(
    ctx: Ctx, securable_type: str, full_name: str, principal: str | None, size: int | None, field: str, token: str
) -> tuple[list[PrivilegeAssignment], str]:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        held = granted(reader, look(reader, asker, securable_type, full_name).see(browse=True), principal)
    names, after = _page(list(held), size, field, token)
    return [PrivilegeAssignment(principal=name, privileges=held[name]) for name in names], after


def _effective_page(
    ctx: Ctx, securable_type: str, full_name: str, principal: str | None, size: int | None, field: str, token: str
) -> tuple[list[EffectiveAssignment], str]:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        held = effective(reader, look(reader, asker, securable_type, full_name).see(browse=True), principal)
    names, after = _page(list(held), size, field, token)
    return [EffectiveAssignment(principal=name, privileges=held[name]) for name in names], after


@endpoint("GET", ROOT + "/permissions/{securable_type}/{full_name}", action="unityCatalog.getPermissions")
def get(ctx: Ctx, query: PermissionsQuery, securable_type: str, full_name: str) -> Permissions:
    """What was granted on a securable itself."""
    found, token = _granted_page(
        ctx, securable_type, full_name, query.principal, query.max_results, "max_results", query.page_token
    )
    return Permissions(privilege_assignments=found, next_page_token=token)


@endpoint("GET", ROOT + "/effective-permissions/{securable_type}/{full_name}", action="unityCatalog.getEffectivePermissions")
def get_effective(ctx: Ctx, query: PermissionsQuery, securable_type: str, full_name: str) -> EffectivePermissions:
    """What was granted on a securable and on what it is in."""
    found, token = _effective_page(
        ctx, securable_type, full_name, query.principal, query.max_results, "max_results", query.page_token
    )
    return EffectivePermissions(privilege_assignments=found, next_page_token=token)


@endpoint("GET", ROOT + "/privilege-assignments/{securable_type}/{full_name}", action="unityCatalog.listPrivilegeAssignments")
def list_assignments(ctx: Ctx, query: AssignmentsQuery, securable_type: str, full_name: str) -> Permissions:
    """As get, always in pages."""
    found, token = _granted_page(
        ctx, securable_type, full_name, query.principal, query.page_size or 0, "page_size", query.page_token
    )
    return Permissions(privilege_assignments=found, next_page_token=token)


@endpoint(
    "GET", ROOT + "/effective-privilege-assignments/{securable_type}/{full_name}",
    action="unityCatalog.listEffectivePrivilegeAssignments",
)  # fmt: skip
def list_effective(ctx: Ctx, query: AssignmentsQuery, securable_type: str, full_name: str) -> EffectiveAssignments:
    """As get_effective, always in pages."""
    found, token = _effective_page(
        ctx, securable_type, full_name, query.principal, query.page_size or 0, "page_size", query.page_token
    )
    return EffectiveAssignments(effective_privilege_assignments=found, next_page_token=token)


@endpoint("PATCH", ROOT + "/permissions/{securable_type}/{full_name}", action="unityCatalog.updatePermissions")
def update(ctx: Ctx, body: UpdatePermissions, securable_type: str, full_name: str) -> Permissions:
    """Grant and revoke: all changes or none. Answers what is granted then."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = look(tx, asker, securable_type, full_name)
        apply(tx, found, body.changes)
    if body.omit_permissions_in_response:
        return Permissions()
    with ctx.read() as reader:
        held = granted(reader, found)
    return Permissions(privilege_assignments=[PrivilegeAssignment(principal=name, privileges=held[name]) for name in held])
