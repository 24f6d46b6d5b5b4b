"""Rule sets: who has which role on the account, a service principal or a group, replaced whole under an etag (reference api D).

Served for the account (`/preview/accounts/{account_id}/access-control`) and, as the platform's proxy, for a workspace
(`/preview/accounts/access-control`), whose admins answer for the service principals that are in it. Roles do something:
`servicePrincipal.manager` keeps its secrets and its rule set, `group.manager` its rule set, `billing.admin` usage and budgets;
`servicePrincipal.user` is who may have work run as the service principal.
"""

import re
from typing import Any

import msgspec

from boathouse.account import etags
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid, not_found
from boathouse.identity import impersonation, principals, roles
from boathouse.identity.principals import GROUP, SERVICE_PRINCIPAL, USER
from boathouse.store import Reader
from boathouse.wire.account import GrantRule, ResourceQuery, RuleSetQuery, UpdateRuleSet

ACCOUNT = "/api/2.0/preview/accounts/{account_id}/access-control"
WORKSPACE = "/api/2.0/preview/accounts/access-control"

CONFLICT = "Conflict with another RuleSet operation"

#: What can be given on which kind of resource; managers of the last two may change their rule sets.
ASSIGNABLE = {
    "account": (roles.BILLING_ADMIN,),
    "servicePrincipals": (roles.SERVICE_PRINCIPAL_MANAGER, roles.SERVICE_PRINCIPAL_USER),
    "groups": (roles.GROUP_MANAGER,),
}
MANAGERS = {"servicePrincipals": roles.SERVICE_PRINCIPAL_MANAGER, "groups": roles.GROUP_MANAGER}

_RESOURCE = re.compile(r"accounts/([^/]+)(?:/(servicePrincipals|groups)/([^/]+))?")
_KINDS = {"users": USER, "groups": GROUP, "servicePrincipals": SERVICE_PRINCIPAL}
_WORDS = {kind: word for word, kind in _KINDS.items()}


class Resource(msgspec.Struct, frozen=True):
    """What a rule set is of. `name` is it as stored, `principal` whom it is about (None: the account)."""

    kind: str
    name: str
    principal: principals.Principal | None


@endpoint("GET", f"{ACCOUNT}/assignable-roles", action="accessControl.assignableRoles")
def assignable_in_account(ctx: Ctx, account_id: str, query: ResourceQuery) -> dict[str, Any]:
    """The roles that can be given on a resource."""
    return _assignable(ctx, query)


@endpoint("GET", f"{ACCOUNT}/rule-sets", action="accessControl.getRuleSet")
def get_in_account(ctx: Ctx, account_id: str, query: RuleSetQuery) -> dict[str, Any]:
    """A rule set with its etag; one that was never written is empty."""
    return _get(ctx, query)


@endpoint("PUT", f"{ACCOUNT}/rule-sets", action="accessControl.updateRuleSet")
def update_in_account(ctx: Ctx, account_id: str, body: UpdateRuleSet) -> dict[str, Any]:
    """Replace a rule set that is still as the etag says."""
    return _update(ctx, body)


@endpoint("GET", f"{WORKSPACE}/assignable-roles", action="accessControl.assignableRoles")
def assignable_in_workspace(ctx: Ctx, query: ResourceQuery) -> dict[str, Any]:
    """The roles that can be given on a resource."""
    return _assignable(ctx, query)


@endpoint("GET", f"{WORKSPACE}/rule-sets", action="accessControl.getRuleSet")
def get_in_workspace(ctx: Ctx, query: RuleSetQuery) -> dict[str, Any]:
    """A rule set with its etag; one that was never written is empty."""
    return _get(ctx, query)


@endpoint("PUT", f"{WORKSPACE}/rule-sets", action="accessControl.updateRuleSet")
def update_in_workspace(ctx: Ctx, body: UpdateRuleSet) -> dict[str, Any]:
    """Replace a rule set that is still as the etag says."""
    return _update(ctx, body)


def _assignable(ctx: Ctx, query: ResourceQuery) -> dict[str, Any]:
    with ctx.read() as reader:
        resource = _resource(ctx, reader, query.resource, "resource")
        _admit(ctx, reader, resource)
    return {"roles": [{"name": role} for role in ASSIGNABLE[resource.kind]]}


def _get(ctx: Ctx, query: RuleSetQuery) -> dict[str, Any]:
    with ctx.read() as reader:
        resource = _of_rule_set(ctx, reader, query.name)
        _admit(ctx, reader, resource)
        return _shown(reader, resource)


def _update(ctx: Ctx, body: UpdateRuleSet) -> dict[str, Any]:
    if body.rule_set.name != body.name:
        raise invalid(f"rule_set.name: '{body.rule_set.name[:100]}' is not name, '{body.name[:100]}'.")
    with ctx.transaction() as tx:
        resource = _of_rule_set(ctx, tx, body.name)
        _admit(ctx, tx, resource)
        etags.check(body.rule_set.etag, etags.of(resource.name, roles.version(tx, resource.name)), CONFLICT)
        wanted = {pair for rule in body.rule_set.grant_rules for pair in _pairs(ctx, tx, resource, rule)}
        roles.replace(tx, resource.name, wanted)
        return _shown(tx, resource)


def _shown(reader: Reader, resource: Resource) -> dict[str, Any]:
    rules: dict[str, list[str]] = {}
    for role, kind, name in roles.grants(reader, resource.name):
        rules.setdefault(role, []).append(f"{_WORDS[kind]}/{name}")
    return {
        "name": f"{resource.name}/ruleSets/default",
        "etag": etags.of(resource.name, roles.version(reader, resource.name)),
        "grant_rules": [{"role": role, "principals": names} for role, names in rules.items()],
    }


def _pairs(ctx: Ctx, reader: Reader, resource: Resource, rule: GrantRule) -> list[tuple[str, int]]:
    allowed = ASSIGNABLE[resource.kind]
    if rule.role not in allowed:
        raise invalid(f"grant_rules.role: '{rule.role[:80]}' is not allowed on {resource.name}. Allowed: {', '.join(allowed)}.")
    pairs: list[tuple[str, int]] = []
    for principal in rule.principals:
        word, _, name = principal.partition("/")
        kind = _KINDS.get(word)
        found = principals.by_name(reader, ctx.account_id, name, [kind]) if kind else None
        if found is None:
            raise invalid(
                f"grant_rules.principals: '{principal[:100]}' is not in the account. "
                "Allowed: users/USER_NAME, groups/GROUP_NAME, servicePrincipals/APPLICATION_ID."
            )
        pairs.append((rule.role, found.principal_id))
    return pairs


def _of_rule_set(ctx: Ctx, reader: Reader, name: str) -> Resource:
    if not name.endswith("/ruleSets/default"):
        raise invalid(f"name: '{name[:100]}' is not a rule set. Allowed: accounts/ACCOUNT_ID[/KIND/ID]/ruleSets/default.")
    return _resource(ctx, reader, name.removesuffix("/ruleSets/default"), "name")


def _resource(ctx: Ctx, reader: Reader, name: str, field: str) -> Resource:
    match = _RESOURCE.fullmatch(name)
    if match is None:
        raise invalid(
            f"{field}: '{name[:100]}' is not a resource. "
            "Allowed: accounts/ACCOUNT_ID, and below it servicePrincipals/APPLICATION_ID or groups/GROUP_ID."
        )
    account_id, kind, key = match.groups()
    if account_id != ctx.account_id:
        raise not_found(f"Account {account_id[:64]} does not exist.")
    if kind is None:
        return Resource("account", roles.account(account_id), None)
    if kind == "servicePrincipals":
        found = principals.by_name(reader, account_id, key, [SERVICE_PRINCIPAL])
        stored = roles.service_principal(account_id, found.name) if found else ""
    else:
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else 0
        found = principals.by_id(reader, number)
        found = found if found and (found.account_id, found.workspace_id, found.kind) == (account_id, 0, GROUP) else None
        stored = roles.group(account_id, number)
    if found is None:
        raise not_found(f"{'Service principal' if kind == 'servicePrincipals' else 'Group'} {key[:64]} does not exist.")
    return Resource(kind, stored, found)


def _admit(ctx: Ctx, reader: Reader, resource: Resource) -> None:
    """Admins of the account; managers of the resource; admins of a workspace for a service principal that is in it."""
    if ctx.caller.account_admin:
        return
    role = MANAGERS.get(resource.kind)
    if role is not None and roles.has(reader, ctx.caller.ids, resource.name, role):
        return
    robot = resource.principal if resource.kind == "servicePrincipals" else None
    if robot is not None and ctx.caller.admin and principals.assigned(reader, robot.principal_id, ctx.workspace_id):
        why = impersonation.beyond(reader, robot, ctx.caller.principal_id)
        if why is None:
            return
        raise denied(f"Only account admins and its managers can act for the service principal {robot.name}: {why}.")
    raise denied(f"{ctx.caller.name} is neither an account admin nor a manager of {resource.name}.")
