"""Changing principals through SCIM: create, replace, patch and delete, the same from a workspace and from the account.

A workspace's SCIM makes a principal of the account and assigns it; deleting it there takes it out of the workspace, and the
account keeps it. `active`, entitlements and roles are the workspace's own there; names and e-mail addresses are the account's.
No change may leave a workspace or the account without an active admin."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from boathouse.edge import Ctx, Raw
from boathouse.edge.errors import denied
from boathouse.identity import departures, group_members, principals, registry, scim_patches
from boathouse.identity.group_members import Edit
from boathouse.identity.principals import ACCOUNT_ADMIN, ADMINS, GROUP, SERVICE_PRINCIPAL, USER, USERS, Principal
from boathouse.identity.scim_documents import ScimError, Scope, answer, document, members_of, wanted
from boathouse.identity.scim_lists import find
from boathouse.identity.scim_patches import BadPatch, Members, Operation
from boathouse.identity.scim_schemas import ACCOUNT_ROLES, ENTITLEMENTS, attributes
from boathouse.identity.tables import ACCOUNT_LEVEL, account_roles
from boathouse.identity.tables import principals as table
from boathouse.store import Tx
from boathouse.wire.identity import GetQuery, Group, Patch, Resource, ServicePrincipal, User

_SHAPES: dict[str, type[Resource]] = {USER: User, SERVICE_PRINCIPAL: ServicePrincipal, GROUP: Group}
_USER_NAME = re.compile(r"[^\s@]+@[^\s@]+")
_INSTANCE_PROFILE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]{1,400}", re.ASCII)

#: What the API writes of a principal besides its name: longest values, in characters.
LONGEST_NAME, LONGEST_GROUP, LONGEST_TEXT, MOST_EMAILS = 320, 255, 1024, 100


def require_admin(scope: Scope) -> None:
    """Refuse whoever may not change principals. Raises ApiError 403."""
    if not scope.admin:
        level = "account" if scope.account else "workspace"
        raise denied(f"Only {level} admins can change users, service principals and groups.")


def create(ctx: Ctx, scope: Scope, kind: str, body: Any) -> Raw:
    """Make a principal. From a workspace, one that the account knows already enters the workspace and keeps its attributes."""
    require_admin(scope)
    for name, given in (("id", body.id), ("groups", body.groups), ("meta", kind == GROUP and body.meta)):
        if given:
            why = "is read-only here: a group is given its members" if name == "groups" else "is given by the server"
            raise ScimError(400, f"The attribute {name} {why}.", "mutability")
    name = _name(kind, body)
    body = _checked(scope, kind, body)
    taken = f"{_CALLED[kind]} {name} already exists."
    try:
        with ctx.transaction() as tx:
            found = _group(tx, scope, name, body) if kind == GROUP else _person(tx, scope, kind, name, body)
            if found is None:
                raise ScimError(409, taken, "uniqueness")
            made = document(tx, scope, found)
    except (registry.NameTaken, IntegrityError):  # somebody else was quicker
        raise ScimError(409, taken, "uniqueness") from None
    return answer(made, 201, {"Location": made["meta"]["location"]})


_CALLED = {USER: "User with username", SERVICE_PRINCIPAL: "Service principal with application id", GROUP: "Group with name"}


def _group(tx: Tx, scope: Scope, name: str, body: Group) -> int | None:
    if not scope.account and principals.in_workspace(tx, scope.workspace_id, name, [GROUP]) is not None:
        return None
    made = registry.create(
        tx, scope.account_id, GROUP, name, workspace_id=scope.workspace_id, external_id=body.external_id
    )  # fmt: skip
    if body.members:
        group_members.change(tx, scope, made, Edit(added=[member.value for member in body.members]), made)
    _grant(tx, scope, made, body)
    return made.principal_id


def _person(tx: Tx, scope: Scope, kind: str, name: str, body: Any) -> int | None:
    found = principals.by_name(tx, scope.account_id, name, [kind])
    if found is not None and (scope.account or principals.assigned(tx, found.principal_id, scope.workspace_id)):
        return None
    active = body.active is not False
    if found is None:
        found = registry.create(
            tx, scope.account_id, kind, name, display_name=body.display_name or "", external_id=body.external_id,
            active=active or not scope.account, attributes=_attributes(kind, body),
        )  # fmt: skip
    if not scope.account:
        users = principals.by_name(tx, scope.account_id, USERS, [GROUP], scope.workspace_id)
        if users is None:
            raise ScimError(404, f"Workspace {scope.workspace_id} has no group {USERS}.")
        registry.add_member(tx, users.principal_id, found.principal_id)
        if not active:
            registry.set_active_in(tx, scope.workspace_id, found.principal_id, False)
    _grant(tx, scope, found, body)
    return found.principal_id


def _grant(tx: Tx, scope: Scope, found: Principal, body: Any) -> None:
    if body.entitlements:
        registry.grant_entitlements(tx, scope.workspace_id, found.principal_id, [given.value for given in body.entitlements])
    if body.roles:
        _set_roles(tx, scope, found, [given.value for given in body.roles])


def replace(ctx: Ctx, scope: Scope, kind: str, id: str, body: Any) -> Raw:
    """PUT: what is left out is taken away, but for `active`, which then stays as it is."""
    require_admin(scope)
    with ctx.transaction() as tx:
        found = find(tx, scope, id, kind)
        old = document(tx, scope, found.principal_id, wanted("", "members", True))
        _unchanged(body, old)
        edit = Edit(whole=True, added=[member.value for member in body.members or []]) if kind == GROUP else Edit()
        _write(tx, ctx, scope, found, _checked(scope, kind, body), edit, old)
        new = document(tx, scope, found.principal_id)
    return answer(new)


def patch(ctx: Ctx, scope: Scope, kind: str, id: str, body: Patch, query: GetQuery) -> Raw:
    """PATCH: all operations or none. Answers 204, or the document when attributes of it are asked for."""
    require_admin(scope)
    operations = [Operation(one.op.lower(), one.path, one.value) for one in body.operations]
    with ctx.transaction() as tx:
        found = find(tx, scope, id, kind)
        old = document(tx, scope, found.principal_id, wanted("", "members", True))
        new = dict(old)
        given = _stored(tx, found)
        if "emails" not in given:
            new.pop("emails", None)
        members = Members(lambda: members_of(tx, [found.principal_id])[found.principal_id])
        try:
            scim_patches.apply(new, operations, attributes(kind, scope.account), members)
        except BadPatch as error:
            raise ScimError(400, str(error), error.scim_type) from None
        # Absent in the document is taken away.
        new.setdefault("displayName", "")
        if "emails" in given:
            new.setdefault("emails", [])
        try:
            wish = msgspec.convert(new, _SHAPES[kind])
        except msgspec.ValidationError as error:
            raise ScimError(400, f"Invalid value: {error}.", "invalidValue") from None
        edit = Edit(whole=members.whole, added=list(members.added), removed=sorted(members.removed))
        _write(tx, ctx, scope, found, _checked(scope, kind, wish), edit, old)
        if not query.attributes and not query.excluded_attributes:
            return Raw(status=204)
        shown = wanted(query.attributes, query.excluded_attributes, True)
        return answer(document(tx, scope, found.principal_id, shown))


def delete(ctx: Ctx, scope: Scope, kind: str, id: str) -> Raw:
    """Take a principal out of the workspace, or remove it from the account for good. A group of the workspace is removed."""
    require_admin(scope)
    with ctx.transaction() as tx:
        found = find(tx, scope, id, kind)
        by = _by(tx, ctx)
        if found.bootstrap:
            raise ScimError(
                400,
                f"{found.name} cannot be deleted: every start needs this admin. `boathouse token rotate` ends its token.",
                "mutability",
            )  # fmt: skip
        if found.workspace_id != ACCOUNT_LEVEL and found.name in (ADMINS, USERS):
            raise ScimError(400, f"The system group {found.name} cannot be deleted.", "mutability")
        with admins_kept(tx, scope.account_id), group_members.followed(tx, found, by):
            if not scope.account and found.workspace_id == ACCOUNT_LEVEL:
                departures.leave_workspace(tx, scope.workspace_id, found, by)
                if principals.assigned(tx, found.principal_id, scope.workspace_id):
                    raise ScimError(400, f"{found.name} is in the workspace through a group of the account.", "mutability")
            else:
                departures.leave_account(tx, found, by)
    return Raw(status=204)


def _write(tx: Tx, ctx: Ctx, scope: Scope, found: Principal, wish: Any, edit: Edit, old: dict[str, Any]) -> None:
    """Make a principal what `wish` says, and a group's members what `edit` says."""
    by = _by(tx, ctx)
    group = found.kind == GROUP
    foreign = group and found.workspace_id != scope.workspace_id
    if group:
        same = wish.display_name == found.name and wish.external_id == old.get("externalId")
        if foreign and (not same or edit.something(tx, found)):
            raise ScimError(400, f"The group {found.name} is the account's: change it there.", "mutability")
        if wish.display_name != found.name:
            if found.workspace_id and found.name in (ADMINS, USERS):
                raise ScimError(400, f"The system group {found.name} cannot be renamed.", "mutability")
            if not scope.account and principals.key_of(wish.display_name) != principals.key_of(found.name):
                _free(tx, scope, wish.display_name)
            try:
                registry.rename(tx, found, _name(GROUP, wish))
            except registry.NameTaken:
                raise ScimError(409, f"Group with name {wish.display_name} already exists.", "uniqueness") from None
    elif wish.active is False and found.bootstrap:
        raise ScimError(400, f"{found.name} cannot be deactivated: every start needs this admin.", "mutability")
    values: dict[str, Any] = {}
    if wish.external_id != old.get("externalId"):
        values["external_id"] = wish.external_id
    if not group:
        if (wish.display_name or "") != old.get("displayName", ""):
            values["display_name"] = wish.display_name or ""
        made = _attributes(found.kind, wish)
        if made != _stored(tx, found):
            values["attributes"] = made
    registry.change(tx, found.principal_id, values)
    risky = (not group and wish.active is False) or edit.removes or _account_admin(old) != _account_admin_wished(scope, wish, old)
    with admins_kept(tx, scope.account_id) if risky else _nothing():
        if not group and not scope.account and wish.active is not None and wish.active != old["active"]:
            if wish.active and not found.active:
                raise ScimError(400, f"{found.name} is deactivated in the account: activate it there.", "mutability")
            registry.set_active_in(tx, scope.workspace_id, found.principal_id, wish.active)
        elif not group and scope.account and wish.active is not None and wish.active != found.active:
            registry.set_active(tx, found.principal_id, wish.active)
        if not scope.account:
            given = [entry.value for entry in wish.entitlements or []]
            if sorted(given) != [entry["value"] for entry in old["entitlements"]]:
                registry.set_entitlements(tx, scope.workspace_id, found.principal_id, given)
        roles = [entry.value for entry in wish.roles or []]
        if sorted(roles) != sorted(entry["value"] for entry in old["roles"]):
            _set_roles(tx, scope, found, roles)
        if group and not foreign:
            group_members.change(tx, scope, found, edit, by)


def _account_admin(old: dict[str, Any]) -> bool:
    return any(entry["value"] == ACCOUNT_ADMIN for entry in old["roles"])


def _account_admin_wished(scope: Scope, wish: Any, old: dict[str, Any]) -> bool:
    return any(entry.value == ACCOUNT_ADMIN for entry in wish.roles or []) if scope.account else _account_admin(old)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


_FIRST = "make another one first"


@contextmanager
def admins_kept(tx: Tx, account_id: str) -> Iterator[None]:
    """Refuse a change (within) that takes the last active admin from a workspace of the account, or from the account."""
    before = [here for here in departures.workspaces_in(tx, account_id) if departures.has_admin(tx, here)]
    account = departures.has_account_admin(tx, account_id)
    yield
    for here in before:
        if not departures.has_admin(tx, here):
            raise ScimError(400, f"This would leave workspace {here} without an active admin: {_FIRST}.", "mutability")
    if account and not departures.has_account_admin(tx, account_id):
        raise ScimError(400, f"This would leave the account without an active admin: {_FIRST}.", "mutability")


def _free(tx: Tx, scope: Scope, name: str) -> None:
    if principals.in_workspace(tx, scope.workspace_id, name, [GROUP]) is not None:
        raise ScimError(409, f"Group with name {name} already exists.", "uniqueness")


def _by(tx: Tx, ctx: Ctx) -> Principal:
    found = principals.by_id(tx, ctx.caller.principal_id)
    if found is None:
        raise ScimError(404, "The caller was removed.")
    return found


def _set_roles(tx: Tx, scope: Scope, found: Principal, roles: list[str]) -> None:
    """In the account its roles; in a workspace those there: the account's can be repeated, not given."""
    if scope.account:
        registry.set_account_roles(tx, found.principal_id, roles)
        return
    held = set(tx.execute(select(account_roles.c.role).where(account_roles.c.principal_id == found.principal_id)).scalars())
    for role in roles:
        if role in ACCOUNT_ROLES and role not in held:
            raise ScimError(400, f"The role {role} is given in the account, not in a workspace.", "invalidValue")
    registry.set_workspace_roles(
        tx, scope.workspace_id, found.principal_id, [role for role in roles if role not in ACCOUNT_ROLES]
    )  # fmt: skip


def _name(kind: str, body: Any) -> str:
    """The name of a principal, checked."""
    if kind == USER:
        name = body.user_name
        fits = len(name) <= LONGEST_NAME and len(principals.key_of(name)) <= LONGEST_NAME
        if not fits or not _USER_NAME.fullmatch(name) or not name.isprintable():
            raise ScimError(400, f"Invalid userName '{name[:100]}': it must be an e-mail address.", "invalidValue")
        return name
    if kind == GROUP:
        name = body.display_name
        fits = 0 < len(name) <= LONGEST_GROUP and len(principals.key_of(name)) <= LONGEST_NAME
        if not fits or name != name.strip() or not name.isprintable():
            raise ScimError(
                400, f"Invalid displayName '{name[:100]}': 1 to {LONGEST_GROUP} printable characters.", "invalidValue"
            )
        return name
    given = body.application_id or str(uuid.uuid4())
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise ScimError(400, f"Invalid applicationId '{given[:100]}': it must be a UUID.", "invalidValue") from None


def _attributes(kind: str, body: Any) -> dict[str, Any]:
    """What only travels. Without `emails` the user name is shown as the address; with an empty list there is none."""
    if kind != USER:
        return {}
    found: dict[str, Any] = {}
    name = msgspec.to_builtins(body.name) if body.name is not None else {}
    if name:
        found["name"] = name
    if body.emails is not None:
        found["emails"] = msgspec.to_builtins(body.emails)
    return found


def _stored(tx: Tx, found: Principal) -> dict[str, Any]:
    return tx.execute(select(table.c.attributes).where(table.c.principal_id == found.principal_id)).scalar_one()


def _checked(scope: Scope, kind: str, body: Any) -> Any:
    """Refuse values that are not allowed. Raises ScimError 400."""
    for given in body.entitlements or []:
        if scope.account:
            raise ScimError(400, "The attribute entitlements belongs to a workspace: give it there.", "invalidValue")
        if given.value not in ENTITLEMENTS:
            allowed = ", ".join(ENTITLEMENTS)
            raise ScimError(400, f"Unknown entitlement '{given.value[:100]}'. Allowed: {allowed}.", "invalidValue")
    for given in body.roles or []:
        allowed = ", ".join(ACCOUNT_ROLES) if scope.account else "the ARN of an instance profile"
        if given.value not in ACCOUNT_ROLES and (scope.account or not _INSTANCE_PROFILE.fullmatch(given.value)):
            raise ScimError(400, f"Unknown value of roles '{given.value[:100]}'. Allowed: {allowed}.", "invalidValue")
    texts = {"externalId": body.external_id, "displayName": None if kind == GROUP else body.display_name}
    longest = {"externalId": LONGEST_NAME}
    for name, text in texts.items():
        if text is not None and (len(text) > longest.get(name, LONGEST_TEXT) or "\0" in text):
            raise ScimError(400, f"Invalid {name}: it has {len(text)} characters, or a null.", "invalidValue")
    if kind == USER:
        emails = body.emails or []
        if len(emails) > MOST_EMAILS or sum(bool(email.primary) for email in emails) > 1:
            raise ScimError(400, f"Invalid emails: at most {MOST_EMAILS}, and at most one of them primary.", "invalidValue")
        if len(msgspec.json.encode((body.name, emails))) > MOST_EMAILS * LONGEST_TEXT:
            raise ScimError(400, "Invalid name or emails: they are too long.", "invalidValue")
    return body


def _unchanged(body: Any, old: dict[str, Any]) -> None:
    """A PUT may repeat what the server gives, and the name that never changes; it cannot change them."""
    names = {"id": body.id, "userName": getattr(body, "user_name", None), "applicationId": getattr(body, "application_id", None)}
    for name, given in names.items():
        if given is not None and name in old and given != old[name]:
            raise ScimError(400, f"The attribute {name} cannot be changed from '{old[name]}' to '{given[:100]}'.", "mutability")
    if body.groups is not None and {given.value for given in body.groups} != {entry["value"] for entry in old["groups"]}:
        raise ScimError(400, "The attribute groups is read-only here: a group is given its members.", "mutability")
    if body.meta is not None and any(old["meta"].get(name) != value for name, value in body.meta.items()):
        raise ScimError(400, "The attribute meta is given by the server.", "mutability")
