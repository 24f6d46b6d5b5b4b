"""What a fleet wants, as a list of wishes in the order of their needs. Pure: a file and people in, wishes out.

A wish is one thing that can be made by one call: a user, their place in the workspace, a schema, a grant, a cluster, a
permission. Its identity (`kind key`) is made of names, never of ids, so that a second run finds the same wishes.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from boathouse.provision import form
from boathouse.provision.fleet import Fleet, Templates
from boathouse.provision.kinds import wrong_level, wrong_object, wrong_privilege, wrong_securable
from boathouse.provision.people import Person
from boathouse.provision.problems import Problem
from boathouse.provision.templates import filled

#: Kinds in the order in which a plan shows them.
KINDS = (
    "group", "user", "assignment", "entitlement", "member", "catalog", "schema", "policy", "cluster", "grant", "permission",
    "budget", "launch", "stop",
)  # fmt: skip

#: The tag by which a fleet's clusters are known again.
TAG = "Fleet"

#: What a permission may be on, by name -> the type in the path of the permissions API.
NAMED = {"cluster": "clusters", "cluster-policy": "cluster-policies", "instance-pool": "instance-pools"}

#: Securables of grants whose names this fleet may make itself.
_MADE = ("catalog", "schema")

_T = TypeVar("_T", bound=Templates)


@dataclass(frozen=True)
class Wish:
    """One thing that is wanted. `needs`: identities of wishes that come first. `person`: whose it is, "" for all."""

    kind: str
    key: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    person: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def digest(self) -> str:
        """Changes when what is wanted changes."""
        return hashlib.sha256(json.dumps(self.fields, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


@dataclass
class _Making:
    """The wishes so far, and what is wrong."""

    fleet: Fleet
    wishes: dict[str, Wish] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(
        self, where: str, kind: str, key: str, fields: Mapping[str, Any], person: str = "", needs: Iterable[str] = ()
    ) -> None:
        made = Wish(kind, key, fields, tuple(dict.fromkeys(needs)), person)
        there = self.wishes.get(made.id)
        if there is None:
            self.wishes[made.id] = made
        elif there.person != person or there.fields != made.fields:
            whose = f" for {there.person}" if there.person else ""
            what = f"{made.id} is wanted twice: there is one{whose}; names need a variable of the person, as ${{hash}}"
            self.problems.append(Problem(where, what))

    def wrong(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))


def wishes(fleet: Fleet, people: Sequence[Person], problems: list[Problem]) -> list[Wish]:
    """Everything that is wanted. All that is wrong in the templates, for all people, is added to `problems`."""
    making = _Making(fleet)
    base = {**fleet.variables, "fleet": fleet.fleet}
    _once(making, base)
    for person in people:
        _person(making, person, {**person.more, **base, **variables_of(person)})
    if fleet.start.clusters != "none" or fleet.each.clusters or fleet.once.clusters:
        _starts(making)
    problems += _shortened(making.problems)
    return ordered(making.wishes.values())


def variables_of(person: Person) -> dict[str, str]:
    """What templates may say of a person, beside the other columns of their row."""
    return {"user": person.user, "name": person.name, "local": person.local, "slug": person.slug, "hash": person.hash}


def ordered(wanted: Iterable[Wish]) -> list[Wish]:
    """By kind, and as they came within one: what is needed always stands before."""
    return sorted(wanted, key=lambda wish: KINDS.index(wish.kind))


def _shortened(problems: list[Problem]) -> list[Problem]:
    """The same mistake in a template is told once, with the number of people whom it hits."""
    seen: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        seen.setdefault((problem.where.split(": ", 1)[-1], problem.what), []).append(problem)
    return [
        same[0] if len(same) == 1 else Problem(same[0].where.split(": ", 1)[-1], f"{same[0].what} (for {len(same)} people)")
        for same in seen.values()
    ]


def _once(making: _Making, variables: Mapping[str, Any]) -> None:
    fleet = making.fleet
    once = _fill(making, "once", fleet.once, variables)
    for group in once.groups:
        entitlements, place = {"entitlements": sorted(group.entitlements)}, f"group {group.name}"
        making.add("once.groups", "group", group.name, {} if fleet.in_account else entitlements)
        if fleet.in_account:  # entitlements are the workspace's to give, to who is in it
            making.add("once.groups", "assignment", place, {"permission": "USER"}, "", [place])
            if group.entitlements:
                making.add("once.groups", "entitlement", place, entitlements, "", [f"assignment {place}"])
    _templates(making, "once", once, None)


def _person(making: _Making, person: Person, variables: Mapping[str, Any]) -> None:
    fleet, user = making.fleet, person.user
    each = _fill(making, f"{person.where}: each", fleet.each, variables)
    entitlements = sorted(each.entitlements)
    fields: dict[str, Any] = {"name": person.name}
    if entitlements and not fleet.in_account:
        fields["entitlements"] = entitlements
    making.add(person.where, "user", user, fields, user)
    if fleet.in_account:
        making.add(person.where, "assignment", user, {"permission": each.assignment}, user, [f"user {user}"])
        if entitlements:
            making.add(person.where, "entitlement", user, {"entitlements": entitlements}, user, _present(making, user))
    elif each.assignment == "ADMIN":
        making.wrong("each.assignment", "ADMIN needs `account: true`: a role in the workspace is given by the account")
    for group in each.groups:
        needs = [*_present(making, user), f"group {group}"]
        making.add(person.where, "member", f"{group} {user}", {"group": group, "user": user}, user, needs)
    _templates(making, f"{person.where}: each", each, person)


def _present(making: _Making, user: str) -> list[str]:
    """What must be done before the workspace knows a user."""
    return [f"{'assignment' if making.fleet.in_account else 'user'} {user}"]


def _principal(making: _Making, name: str) -> list[str]:
    """The same for any principal; nothing for those that the fleet does not make."""
    if "@" in name:
        return _present(making, name.lower())
    return [f"assignment group {name}" if making.fleet.in_account else f"group {name}"]


def _fill(making: _Making, path: str, template: _T, variables: Mapping[str, Any]) -> _T:
    """A template with its variables filled in; what is wrong is left out, so that the rest is looked at too."""
    made: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(template).items():
        made[name] = [] if isinstance(value, list) else value
        for number, item in enumerate(value if isinstance(value, list) else ()):
            unknown: list[Problem] = []
            one = filled(item, variables, f"{path}.{name}[{number}]", unknown)
            making.problems += unknown
            made[name] += [] if unknown else [one]
    return form.converted(made, type(template), lambda at, what: making.wrong(path, f"{what} - at `{at}`"))


def _templates(making: _Making, path: str, filled_in: Templates, person: Person | None) -> None:
    user = person.user if person else ""
    add: Callable[..., None] = making.add
    for catalog in filled_in.catalogs:
        add(f"{path}.catalogs", "catalog", catalog.name.lower(), _given(catalog), user)
    for schema in filled_in.schemas:
        if schema.name.count(".") != 1 or not all(schema.name.split(".")):
            making.wrong(f"{path}.schemas", f"{schema.name!r} is not catalog.schema")
            continue
        needs = [f"catalog {schema.name.split('.')[0].lower()}"]
        add(f"{path}.schemas", "schema", schema.name.lower(), _given(schema), user, needs)
    for policy in filled_in.policies:
        if policy.definition is not None and policy.policy_family_id is not None:
            making.wrong(f"{path}.policies", f"{policy.name!r} has both a definition and a policy_family_id")
        if policy.policy_family_definition_overrides is not None and policy.policy_family_id is None:
            making.wrong(f"{path}.policies", f"{policy.name!r} has overrides without a policy_family_id")
        add(f"{path}.policies", "policy", policy.name, _given(policy), user)
    for cluster in filled_in.clusters:
        _cluster(making, f"{path}.clusters", cluster, user)
    for grant in filled_in.grants:
        _grant(making, f"{path}.grants", grant, user)
    for permission in filled_in.permissions:
        _permission(making, f"{path}.permissions", permission, user)
    for budget in filled_in.budgets:
        if budget.notify:
            told = ", ".join(budget.notify)
            making.wrong(f"{path}.budgets", f"notify {told} of {budget.name!r}: no mail is sent yet; leave it out")
        try:
            monthly = float(budget.monthly)
        except ValueError:
            making.wrong(f"{path}.budgets", f"monthly {budget.monthly!r} is not a number")
            continue
        add(f"{path}.budgets", "budget", budget.name, {**_given(budget), "monthly": monthly}, user)


def _given(part: msgspec.Struct) -> dict[str, Any]:
    """The fields of a template that say something."""
    return {name: value for name, value in msgspec.to_builtins(part).items() if value not in (None, [], {}, "")}


def _cluster(making: _Making, path: str, template: Mapping[str, Any], user: str) -> None:
    body = dict(template)
    name = body.get("cluster_name")
    if not isinstance(name, str) or not name:
        making.wrong(path, "a cluster needs a cluster_name: by it a second run finds the cluster")
        return
    if body.get("policy") is not None and body.get("policy_id") is not None:
        making.wrong(path, "a cluster has `policy` (a name) or `policy_id`, not both")
    tags = body.get("custom_tags", {})
    if not isinstance(tags, dict) or tags.get(TAG, making.fleet.fleet) != making.fleet.fleet:
        making.wrong(path, f"custom_tags is a mapping in which {TAG} is the fleet's own: {tags!r}")
        return
    body["custom_tags"] = {**tags, TAG: making.fleet.fleet}
    if making.fleet.start.idle_minutes is not None:
        body.setdefault("autotermination_minutes", making.fleet.start.idle_minutes)
    needs = [f"policy {body['policy']}"] if body.get("policy") else []
    if body.get("single_user_name"):
        needs += _principal(making, str(body["single_user_name"]))
    making.add(path, "cluster", name, body, user, needs)


def _grant(making: _Making, path: str, grant: Any, user: str) -> None:
    kind, _, name = grant.on.partition(" ")
    kind, name, to = kind.lower().replace("-", "_"), name.strip(), grant.to or user
    if not name or not re.fullmatch(r"[a-z_]+", kind):
        making.wrong(path, f"on {grant.on!r} is not a type and a name, as in `schema main.ann`")
    elif not to:
        making.wrong(path, f"the grant on {grant.on!r} does not say to whom")
    elif problem := wrong_securable(kind):
        making.wrong(path, problem)
    else:
        privileges = sorted({re.sub(r"\s+", "_", each.strip().upper()) for each in grant.privileges})
        for problem in filter(None, map(wrong_privilege, privileges)):
            making.wrong(path, problem)
        name = name.lower() if kind in _MADE else name
        needs = [f"{kind} {name}", *_principal(making, to)]
        fields = {"type": kind, "name": name, "to": to, "privileges": privileges}
        making.add(path, "grant", f"{kind} {name} to {to}", fields, user, needs)


def _permission(making: _Making, path: str, permission: Any, user: str) -> None:
    kind, _, name = permission.on.partition(" ")
    name, plural = name.strip(), str(NAMED.get(kind, kind))
    said = {
        field: value
        for field, value in (
            ("user_name", permission.user), ("group_name", permission.group),
            ("service_principal_name", permission.service_principal),
        )
        if value
    }  # fmt: skip
    said = said or ({"user_name": user} if user else {})
    if not name:
        making.wrong(path, f"on {permission.on!r} is not a type and a name, as in `cluster ann`")
    elif len(said) != 1:
        making.wrong(path, f"the permission on {permission.on!r} says not one of user, group, service_principal")
    elif problem := wrong_object(plural) or wrong_level(plural, permission.level.upper()):
        making.wrong(path, problem)
    else:
        (who,) = said.values()
        kind = next((singular for singular, plural in NAMED.items() if kind in (singular, plural)), kind)
        object_needs = {"cluster": f"cluster {name}", "cluster-policy": f"policy {name}"}.get(kind)
        needs = [*([object_needs] if object_needs else []), *_principal(making, who)]
        fields = {"type": kind, "name": name, "level": permission.level.upper(), **said}
        making.add(path, "permission", f"{kind} {name} to {who}", fields, user, needs)


def _starts(making: _Making) -> None:
    """Each cluster is stopped once it is made, or started in its turn (and then stopped, when the file says so)."""
    start = making.fleet.start
    clusters = [wish for wish in making.wishes.values() if wish.kind == "cluster"]
    given: dict[str, list[str]] = {}
    for wish in making.wishes.values():
        if wish.kind == "permission" and wish.fields["type"] == "cluster":
            given.setdefault(wish.fields["name"], []).append(wish.id)
    for cluster in clusters:
        name, first = cluster.key, [cluster.id]
        if start.clusters != "none":
            making.add("start", "launch", name, {"clusters": "started"}, cluster.person, first)
            first = [f"launch {name}"]
        if start.clusters == "none" or start.then == "stop":
            making.add("start", "stop", name, {}, cluster.person, [cluster.id, *first])
