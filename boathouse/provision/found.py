"""What is there, by lists: a handful of calls for a fleet of any size. What has no list is asked for one by one, many at a time.

Names are compared as the platform does: users and securables without case.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from boathouse.provision.api import Place, Refused, paged, scim
from boathouse.provision.diff import Record, Thing, subject, unsure
from boathouse.provision.wishes import NAMED, TAG, Wish

#: The roots of the APIs that are used.
UNITY = "/api/2.1/unity-catalog"
POLICIES = "/api/2.0/policies/clusters"
CLUSTERS = "/api/2.1/clusters"
PERMISSIONS = "/api/2.0/permissions"


def look(
    place: Place, fleet: str, wanted: Sequence[Wish], known: Mapping[str, Record], threads: int = 8, refresh: bool = False
) -> dict[str, Thing]:
    """identity -> thing, for all that is wanted and there (and more of the same lists). Raises Refused when a list is refused."""
    kinds = {wish.kind for wish in wanted}
    needed = kinds | {need.split(" ", 1)[0] for wish in wanted for need in wish.needs}
    entitled = {subject(wish.key).split(" ", 1)[0] for wish in wanted if wish.kind == "entitlement"}
    found: dict[str, Thing] = {}
    lists: list[Callable[[], Mapping[str, Thing]]] = []
    if "user" in needed | entitled:
        lists.append(lambda: _users(place, "user" in entitled))
    if needed & {"group", "member"} or "group" in entitled:
        lists.append(lambda: _groups(place, "group" in entitled))
    if needed & {"catalog", "schema"}:
        lists.append(lambda: _catalogs(place))
    if "policy" in needed:
        lists.append(lambda: policies(place))
    if "cluster" in needed:
        lists.append(lambda: clusters(place, fleet))
    if any(wish.kind == "permission" and wish.fields["type"] == "instance-pool" for wish in wanted):
        lists.append(lambda: _pools(place))
    if "budget" in kinds:
        lists.append(lambda: _budgets(place))
    with ThreadPoolExecutor(threads) as pool:
        for part in list(pool.map(lambda read: read(), lists)):
            found.update(part)
        if "assignment" in kinds:
            found.update(_assignments(place, found))
        found.update(members(wanted, found))
        roots = {wish.key.split(".", 1)[0] for wish in wanted if wish.kind == "schema"}
        for part in pool.map(lambda name: _schemas(place, name), [name for name in sorted(roots) if f"catalog {name}" in found]):
            found.update(part)
        asked = unsure(wanted, found, known, refresh)
        for wish, thing in zip(asked, pool.map(lambda wish: asked_one(place, wish, found), asked), strict=True):
            if thing is not None:
                found[wish.id] = thing
    return found


def _users(place: Place, entitlements: bool) -> dict[str, Thing]:
    calls, root = place.directory()
    found = {}
    for user in scim(calls, f"{root}/Users", {"attributes": "id,userName,entitlements,active"}):
        found[f"user {user['userName'].lower()}"] = Thing(user["id"], _person(user))
    if entitlements:
        for user in scim(place.workspace, "/api/2.0/preview/scim/v2/Users", {"attributes": "id,userName,entitlements,active"}):
            found[f"entitlement {user['userName'].lower()}"] = Thing(user["id"], _person(user))
    return found


def _person(user: Mapping[str, Any]) -> dict[str, Any]:
    return {"active": user.get("active", True), **_entitled(user)}


def _entitled(principal: Mapping[str, Any]) -> dict[str, Any]:
    return {"entitlements": sorted(each["value"] for each in principal.get("entitlements") or [])}


def _groups(place: Place, entitlements: bool) -> dict[str, Thing]:
    calls, root = place.directory()
    found = {}
    for group in scim(calls, f"{root}/Groups", {"attributes": "id,displayName,members,entitlements"}):
        name = group["displayName"]
        found[f"group {name}"] = Thing(group["id"], _entitled(group))
        for member in group.get("members") or []:
            found[f"member-id {name} {member['value']}"] = Thing(group["id"])
    if entitlements:
        for group in scim(place.workspace, "/api/2.0/preview/scim/v2/Groups", {"attributes": "id,displayName,entitlements"}):
            found[f"entitlement group {group['displayName']}"] = Thing(group["id"], _entitled(group))
    return found


def members(wanted: Iterable[Wish], found: Mapping[str, Thing]) -> dict[str, Thing]:
    """The wished memberships that are there: groups list their members by id, wishes name them."""
    there = {}
    for wish in wanted:
        if wish.kind == "member":
            user = found.get(f"user {wish.fields['user']}")
            thing = found.get(f"member-id {wish.fields['group']} {user.ref}") if user else None
            if thing is not None:
                there[wish.id] = thing
    return there


def _assignments(place: Place, found: Mapping[str, Thing]) -> dict[str, Thing]:
    by_ref = {
        thing.ref: id.removeprefix("user ") if id.startswith("user ") else id
        for id, thing in found.items()
        if id.startswith(("user ", "group "))
    }
    there = {}
    for each in place.account.do("GET", place.assignments).get("permission_assignments") or []:
        ref = str((each.get("principal") or {}).get("principal_id"))
        if ref in by_ref:
            there[f"assignment {by_ref[ref]}"] = Thing(ref, {"permissions": each.get("permissions") or []})
    return there


def _catalogs(place: Place) -> dict[str, Thing]:
    listed = paged(place.workspace, f"{UNITY}/catalogs", "catalogs", {"max_results": 0})
    return {f"catalog {each['name'].lower()}": Thing(str(each.get("created_at") or each["name"]), each) for each in listed}


def _schemas(place: Place, catalog: str) -> dict[str, Thing]:
    listed = paged(place.workspace, f"{UNITY}/schemas", "schemas", {"catalog_name": catalog, "max_results": 0})
    return {
        f"schema {each['full_name'].lower()}": Thing(str(each.get("schema_id") or each.get("created_at") or ""), each)
        for each in listed
    }


def policies(place: Place) -> dict[str, Thing]:
    """The workspace's cluster policies."""
    found = {}
    for each in place.workspace.do("GET", f"{POLICIES}/list").get("policies") or []:
        shown = dict(each)
        for field in ("definition", "policy_family_definition_overrides"):
            if isinstance(shown.get(field), str):
                try:
                    shown[field] = json.loads(shown[field])
                except ValueError:
                    pass  # the backend keeps definitions that are no JSON; such a one differs from any wanted one
        found[f"policy {each['name']}"] = Thing(each["policy_id"], shown)
    return found


def clusters(place: Place, fleet: str, known: Mapping[str, Thing] | None = None) -> dict[str, Thing]:
    """The clusters that carry this fleet's tag, by name; of several the known one, or the one that was started first."""
    refs = {thing.ref for thing in (known or {}).values()}
    there = clusters_by_name(place, fleet).items()
    return {id: next((thing for thing in same if thing.ref in refs), same[0]) for id, same in there}


def clusters_by_name(place: Place, fleet: str) -> dict[str, list[Thing]]:
    """The clusters that carry this fleet's tag: a name may be that of several."""
    there: dict[str, list[Thing]] = {}
    for each in paged(place.workspace, f"{CLUSTERS}/list", "clusters", {"page_size": 100}):
        if (each.get("custom_tags") or {}).get(TAG) == fleet:
            there.setdefault(f"cluster {each.get('cluster_name')}", []).append(Thing(each["cluster_id"], each))
    for same in there.values():
        same.sort(key=lambda thing: (thing.shown.get("start_time") or 0, thing.ref))
    return there


def _pools(place: Place) -> dict[str, Thing]:
    listed = place.workspace.do("GET", "/api/2.0/instance-pools/list").get("instance_pools") or []
    return {f"instance-pool {each['instance_pool_name']}": Thing(each["instance_pool_id"], each) for each in listed}


def _budgets(place: Place) -> dict[str, Thing]:
    found = {}
    for each in paged(place.account, f"/api/2.1/accounts/{place.account_id}/budgets", "budgets"):
        alerts = each.get("alert_configurations") or [{}]
        tags = {t["key"]: (t["value"]["values"] or [""])[0] for t in (each.get("filter") or {}).get("tags") or []}
        shown = {"monthly": _number(alerts[0].get("quantity_threshold")), "tags": tags}
        found[f"budget {each['display_name']}"] = Thing(each["budget_configuration_id"], {**each, **shown})
    return found


def _number(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def asked_one(place: Place, wish: Wish, found: Mapping[str, Thing]) -> Thing | None:
    """A grant or a permission by a question of its own; None: nothing of it is there, or the object itself is not."""
    try:
        return _grant(place, wish) if wish.kind == "grant" else _permission(place, wish, found)
    except Refused as error:
        if error.missing:
            return None
        raise


def grant_path(wish: Wish) -> str:
    """Where the grants of a securable are."""
    return f"{UNITY}/permissions/{wish.fields['type']}/{quote(wish.fields['name'], safe='')}"


def permission_path(wish: Wish, found: Mapping[str, Thing]) -> str:
    """Where the permissions of an object are. Raises Refused when there is no such object."""
    kind, name = wish.fields["type"], wish.fields["name"]
    if kind not in NAMED:
        return f"{PERMISSIONS}/{kind}/{quote(name, safe='')}"
    thing = found.get(f"{'policy' if kind == 'cluster-policy' else kind} {name}")
    if thing is None:
        raise Refused("", f"there is no {kind} {name!r}", missing=True)
    return f"{PERMISSIONS}/{NAMED[kind]}/{quote(thing.ref, safe='')}"


def _grant(place: Place, wish: Wish) -> Thing | None:
    answer = place.workspace.do("GET", grant_path(wish), {"principal": wish.fields["to"]})
    for each in answer.get("privilege_assignments") or []:
        if each["principal"].lower() == wish.fields["to"].lower():
            return Thing("", {"privileges": each["privileges"]})
    return None


def _permission(place: Place, wish: Wish, found: Mapping[str, Thing]) -> Thing | None:
    fields = wish.fields
    for entry in place.workspace.do("GET", permission_path(wish, found)).get("access_control_list") or []:
        if any(str(entry.get(who, "")).lower() == str(fields[who]).lower() for who in PRINCIPALS if who in fields):
            own = [each["permission_level"] for each in entry.get("all_permissions") or [] if not each.get("inherited")]
            return Thing("", {"level": own[0]}) if own else None
    return None


#: How a permission names its principal.
PRINCIPALS = ("user_name", "group_name", "service_principal_name")
