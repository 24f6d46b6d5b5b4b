"""The endpoints of one object type: its list, PUT (in place of what was given), PATCH (merged into it), and its levels.

Whoever has any level on an object reads its list; who manages it changes it. Refusals are in the platform's words where they are
known. What `admins` have cannot be taken away, so an object always has somebody who manages it.
"""

from collections.abc import Callable
from typing import Any

from boathouse.auth.permissions import lists
from boathouse.auth.permissions.kinds import CAN_MANAGE, IS_OWNER, Grant, Level, ObjectType
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import ApiError, denied, invalid, not_found
from boathouse.identity import principals, revision, workspaces
from boathouse.identity.principals import ADMINS, GROUP, SERVICE_PRINCIPAL, USER, Principal
from boathouse.store import Reader
from boathouse.wire.permissions import (
    AccessControlRequest,
    AccessControlResponse,
    ChangePermissions,
    ObjectPermissions,
    Permission,
    PermissionLevels,
    PermissionsDescription,
)

ROOT = "/api/2.0/permissions"

#: Entries of one request.
MOST = 1000

#: The field of a request that names a principal, the platform's word for it in refusals, and the kind.
_NAMES = (
    ("user_name", "UserName", USER),
    ("group_name", "GroupName", GROUP),
    ("service_principal_name", "ServicePrincipalName", SERVICE_PRINCIPAL),
)


def endpoints(kind: ObjectType, module: str, action: str = "") -> tuple[Callable[..., Any], ...]:
    """The four endpoints of a type, for the module `module` to hold: get, set, update, levels. `action`: the first part of their
    names in the audit; by default the type's."""
    path = f"{ROOT}/{kind.name}" + ("" if kind.single else "/{object_id}")
    named = action or kind.name

    @endpoint("GET", path, action=f"{named}.getPermissions")
    def get(ctx: Ctx, object_id: str) -> ObjectPermissions:
        with ctx.read() as reader:
            found, _ = _looked_up(ctx, reader, kind, object_id, manage=kind.lists_to_managers)
            return _shown(ctx, reader, kind, found)

    @endpoint("PUT", path, action=f"{named}.setPermissions")
    def put(ctx: Ctx, object_id: str, body: ChangePermissions) -> ObjectPermissions:
        return _change(ctx, kind, object_id, body, merge=False)

    @endpoint("PATCH", path, action=f"{named}.updatePermissions")
    def patch(ctx: Ctx, object_id: str, body: ChangePermissions) -> ObjectPermissions:
        return _change(ctx, kind, object_id, body, merge=True)

    @endpoint("GET", f"{path}/permissionLevels", action=f"{named}.getPermissionLevels")
    def levels(ctx: Ctx, object_id: str) -> PermissionLevels:
        with ctx.read() as reader:
            _looked_up(ctx, reader, kind, object_id, manage=kind.lists_to_managers)
        return PermissionLevels(
            permission_levels=[PermissionsDescription(permission_level=name, description=words) for name, words in kind.given]
        )

    made = (get, put, patch, levels)
    if kind.single:
        made = tuple(_without_id(function) for function in made)
    for function in made:
        function.__module__ = module
    return made


def _without_id(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same endpoint for a type whose paths name no object."""
    if "body" in function.__annotations__:

        def changed(ctx: Ctx, body: ChangePermissions) -> Any:
            return function(ctx, "", body)

        changed.__dict__.update(function.__dict__)
        return changed

    def read(ctx: Ctx) -> Any:
        return function(ctx, "")

    read.__dict__.update(function.__dict__)
    return read


def _looked_up(ctx: Ctx, reader: Reader, kind: ObjectType, object_id: str, manage: bool) -> tuple[str, Level]:
    """The object's id as it is stored, and the caller's level on it. Raises ApiError: as the type's `find`, and 403."""
    found = kind.find(reader, ctx.caller, object_id)
    level = lists.level(reader, ctx.caller, kind.name, found)
    enough = level is not None and (not manage or ctx.caller.admin or level.name in (CAN_MANAGE, IS_OWNER))
    if level is None or not enough:
        words = "Manage" if manage else "View"
        raise denied(
            f"{ctx.caller.name} does not have {words} permissions on {found}. "
            "Please contact the owner or an administrator for access."
        )
    return found, level


def _change(ctx: Ctx, kind: ObjectType, object_id: str, body: ChangePermissions, merge: bool) -> ObjectPermissions:
    asked = body.access_control_list or []
    if len(asked) > MOST:
        raise invalid(f"access_control_list: {len(asked)} entries are too many; at most {MOST} are allowed")
    with ctx.transaction() as tx:
        found, _ = _looked_up(ctx, tx, kind, object_id, manage=True)
        before = lists.direct(tx, ctx.workspace_id, kind.name, found)
        given = dict(before) if merge else {}
        fresh: dict[int, str] = {}
        for at, entry in enumerate(asked):
            principal, level = _entry(ctx, tx, kind, found, entry, f"access_control_list[{at}]")
            known = fresh.get(principal.principal_id)
            if known is None or kind.levels[known] < level:  # named twice: the higher of the two
                fresh[principal.principal_id] = level.name
        given |= fresh
        _check_owner(kind, found, fresh, given, merge)
        lists.replace(tx, ctx.workspace_id, kind.name, found, given)
        if kind.decides_callers:
            revision.changed(tx)
        return _shown(ctx, tx, kind, found)


def _entry(
    ctx: Ctx, reader: Reader, kind: ObjectType, object_id: str, entry: AccessControlRequest, at: str
) -> tuple[Principal, Level]:
    """Who, and which level. Raises ApiError 400, and 404 for somebody who is not in the workspace."""
    named = [(field, word, of, getattr(entry, field)) for field, word, of in _NAMES if getattr(entry, field)]
    if len(named) != 1:
        fields = ", ".join(field for field, _, _ in _NAMES)
        raise invalid(f"{at}: exactly one of {fields} must be given; {len(named)} are")
    field, word, of, name = named[0]
    level = kind.levels.get(entry.permission_level or "")
    if level is None:
        value = "missing" if entry.permission_level is None else f"'{entry.permission_level[:60]}', which is not allowed"
        raise invalid(f"{at}.permission_level is {value}. Allowed for {kind.name}: {', '.join(kind.levels)}.")
    found = principals.in_workspace(reader, ctx.workspace_id, name, [of])
    if found is None:
        raise not_found(f"Principal: {word}({name[:320]}) does not exist")
    if _is_admins(ctx, found) and level < kind.highest and not kind.single:
        raise invalid(f"Cannot remove {ADMINS}'s {kind.highest.name} permission on {object_id}")
    if level.name == IS_OWNER and of == GROUP:
        raise invalid(f"{at}.{field}: a group cannot be the owner of a {kind.word}; name a user or a service principal")
    return found, level


def _is_admins(ctx: Ctx, principal: Principal) -> bool:
    return principal.kind == GROUP and principal.name == ADMINS and principal.workspace_id == ctx.workspace_id


def _check_owner(kind: ObjectType, object_id: str, fresh: dict[int, str], given: dict[int, str], merge: bool) -> None:
    """An object whose type has owners has exactly one; a PATCH that names another takes it from the one before."""
    if IS_OWNER not in kind.levels:
        return
    if merge:
        owners = [who for who, name in fresh.items() if name == IS_OWNER]
        for who, name in list(given.items()):
            if len(owners) == 1 and name == IS_OWNER and who not in owners:
                del given[who]
    if sum(name == IS_OWNER for name in given.values()) != 1:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"The {kind.word} must have exactly one owner.")


def _shown(ctx: Ctx, reader: Reader, kind: ObjectType, object_id: str) -> ObjectPermissions:
    given = lists.direct(reader, ctx.workspace_id, kind.name, object_id)
    grants = [Grant(who, level) for who, level in given.items()]
    grants += kind.inherited(reader, ctx.workspace_id, object_id)
    workspace = workspaces.get(reader, ctx.workspace_id)
    admins = workspace and principals.by_name(reader, workspace.account_id, ADMINS, [GROUP], ctx.workspace_id)
    if admins:
        grants = [grant for grant in grants if grant.principal_id != admins.principal_id]
        grants.append(Grant(admins.principal_id, kind.highest.name, f"/{kind.name.split('/')[0]}/"))
    best = lists.highest(kind, grants)
    found = principals.by_ids(reader, best)
    order = {USER: 0, SERVICE_PRINCIPAL: 1, GROUP: 2}
    shown = sorted(found, key=lambda who: (order[who.kind], who.name.casefold(), who.principal_id))
    return ObjectPermissions(
        object_id=kind.shown(object_id), object_type=kind.word, access_control_list=[_one(who, best) for who in shown]
    )


def _one(who: Principal, best: dict[int, Grant]) -> AccessControlResponse:
    grant = best[who.principal_id]
    permission = Permission(permission_level=grant.level, inherited=bool(grant.source))
    if grant.source:
        permission.inherited_from_object = [grant.source]
    answer = AccessControlResponse(all_permissions=[permission])
    if who.kind == GROUP:
        answer.group_name = who.name
    elif who.kind == USER:
        answer.user_name, answer.display_name = who.name, who.display_name
    else:
        answer.service_principal_name, answer.display_name = who.name, who.display_name
    return answer
