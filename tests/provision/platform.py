"""A small platform in memory that answers the calls of provisioning, counts its effects, and can die after any of them."""

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from boathouse.provision.api import Place, Refused

ACCOUNT = "acc"


class Killed(BaseException):
    """The process dies: no handler may go on."""


class Platform:
    """`refuse`: (method, path pattern) -> Refused that it answers. `kill_after`: dies when so many effects were done."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.account_users: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.account_groups: set[str] = set()  # ids; the workspace knows those that are assigned
        self.assignments: dict[str, list[str]] = {}
        self.catalogs: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, dict[str, Any]] = {}
        self.grants: dict[tuple[str, str], dict[str, set[str]]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.permissions: dict[str, dict[tuple[str, str], str]] = {}
        self.budgets: dict[str, dict[str, Any]] = {}
        self.calls: Counter[str] = Counter()
        self.effects: list[str] = []
        self.most_active = 0
        self.kill_after: int | None = None
        self.dead = False
        self.meanwhile: dict[int, Callable[[], Any]] = {}  # what another does when so many effects were done
        self.refuse: dict[tuple[str, str], Refused] = {}
        self.fails_to_start: set[str] = set()
        self.room: int | None = None  # clusters that may be there at once; None: any number
        self._ids = itertools.count(1)
        self._lock = threading.RLock()

    def place(self, account: bool = False) -> Place:
        return Place(self, "https://p.example", "77", self if account else None, ACCOUNT if account else "")

    def do(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None) -> Any:
        with self._lock:
            if self.dead:
                raise Killed
            for (verb, pattern), error in self.refuse.items():
                if verb == method and re.search(pattern, path):
                    raise error
            self.calls[f"{method} {re.sub('[0-9]+$', '*', path)}"] += 1
            answer = self._answer(method, path, dict(query or {}), dict(body or {}))
            if method != "GET":
                self.effects.append(f"{method} {path} {body}")
                active = sum(each["state"] in ("PENDING", "RUNNING") for each in self.clusters.values())
                self.most_active = max(self.most_active, active)
                if self.kill_after is not None and len(self.effects) >= self.kill_after:
                    self.dead = True
                    raise Killed
            meanwhile = self.meanwhile.pop(len(self.effects), None)
        if meanwhile is not None:
            meanwhile()
        return answer

    def tick(self) -> None:
        """Time passes: what starts runs, what stops has stopped."""
        with self._lock:
            running = sum(each["state"] in ("RUNNING", "TERMINATING") for each in self.clusters.values())
            for cluster in self.clusters.values():
                if cluster["state"] == "PENDING" and cluster["cluster_name"] in self.fails_to_start:
                    reason = {"code": "DOCKER_IMAGE_PULL_FAILURE", "parameters": {"image": "x"}}
                    cluster.update(state="TERMINATED", termination_reason=reason)
                elif cluster["state"] == "PENDING" and self.room is not None and running >= self.room:
                    reason = {"code": "CLOUD_PROVIDER_RESOURCE_STOCKOUT", "parameters": {}}
                    cluster.update(state="TERMINATED", termination_reason=reason)
                else:
                    running += cluster["state"] == "PENDING"
                    cluster["state"] = {"PENDING": "RUNNING", "TERMINATING": "TERMINATED"}.get(cluster["state"], cluster["state"])

    def state(self) -> Any:
        """Everything, with names in the place of ids: what two ways to the same end must agree on."""
        user = {each["id"]: name for name, each in {**self.users, **self.account_users}.items()}
        thing = {each["cluster_id"]: each["cluster_name"] for each in self.clusters.values()}
        thing |= {id: f"policy {each['name']}" for id, each in self.policies.items()}
        return {
            "users": sorted(self.users), "account": sorted(self.account_users),
            "groups": {name: sorted(user.get(m, m) for m in each["members"]) for name, each in self.groups.items()},
            "assignments": {user.get(ref, "group"): role for ref, role in self.assignments.items()},
            "catalogs": sorted(self.catalogs), "schemas": sorted(self.schemas),
            "grants": {
                on: {to: sorted(p) for to, p in each.items() if p} for on, each in self.grants.items() if any(each.values())
            },
            "policies": sorted(each["name"] for each in self.policies.values()),
            "clusters": sorted((each["cluster_name"], each["state"]) for each in self.clusters.values()),
            "permissions": {thing.get(path.rsplit("/", 1)[1], path): acl for path, acl in self.permissions.items() if acl},
            "budgets": sorted(each["display_name"] for each in self.budgets.values()),
        }  # fmt: skip

    def _id(self) -> str:
        return str(next(self._ids))

    def _answer(self, method: str, path: str, query: dict[str, Any], body: dict[str, Any]) -> Any:
        for pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                return answer(self, method, [unquote(each) for each in found.groups()], query, body)
        raise Refused("ENDPOINT_NOT_FOUND", f"{method} {path}", missing=True)

    # -- SCIM

    def _scim_users(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        there = self.account_users if "/accounts/" in parts[0] else self.users
        if method == "GET":
            return self._page(list(there.values()), query)
        self._workspaces_own(parts[0], "entitlements" in body)
        name = body["userName"].lower()
        if name in there:
            raise Refused("SCIM_409", f"User with username {name} already exists.", exists=True)
        known = self.account_users.get(name)
        there[name] = {"id": known["id"] if known else self._id(), **body}
        return there[name]

    def _scim_user(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        there = self.account_users if "/accounts/" in parts[0] else self.users
        for name, each in there.items():
            if each["id"] == parts[1]:
                if method == "DELETE":
                    del there[name]
                    for group in self.groups.values():
                        group["members"].discard(parts[1])
                else:
                    self._workspaces_own(parts[0], True)
                    self._entitle(each, body)
                return {}
        raise Refused("SCIM_404", f"User {parts[1]} not found", missing=True)

    def _workspaces_own(self, root: str, entitled: bool) -> None:
        if entitled and "/accounts/" in root:
            raise Refused("SCIM_400", "The attribute entitlements belongs to a workspace: give it there.")

    def _page(self, items: list[dict[str, Any]], query: dict[str, Any]) -> Any:
        if query.get("filter"):
            wanted = re.fullmatch(r'\w+ eq "(.*)"', query["filter"])
            assert wanted
            items = [each for each in items if (each.get("userName") or each.get("displayName")) == wanted[1]]
        start = int(query.get("startIndex", 1)) - 1
        shown = [
            {**each, "members": [{"value": m} for m in sorted(each["members"])]} if "members" in each else each
            for each in items[start : start + 3]  # small pages, so that readers must turn them
        ]
        return {"Resources": shown, "totalResults": len(items), "startIndex": start + 1}

    def _entitle(self, thing: dict[str, Any], body: dict[str, Any]) -> None:
        for operation in body["Operations"]:
            there = {each["value"] for each in thing.get("entitlements", [])}
            if operation["op"] == "add":
                there |= {each["value"] for each in operation["value"]}
            else:
                there -= set(re.findall(r'"(.*)"', operation["path"]))
            thing["entitlements"] = [{"value": value} for value in sorted(there)]

    def _scim_groups(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        account = "/accounts/" in parts[0]
        if method == "GET":
            return self._page([each for each in self.groups.values() if account or self._here(each)], query)
        self._workspaces_own(parts[0], "entitlements" in body)
        if body["displayName"] in self.groups:
            raise Refused("SCIM_409", "exists", exists=True)
        made = self.groups[body["displayName"]] = {"id": self._id(), "members": set(), **body}
        if account:
            self.account_groups.add(made["id"])
        return {"id": made["id"]}

    def _here(self, group: dict[str, Any]) -> bool:
        return group["id"] not in self.account_groups or group["id"] in self.assignments

    def _scim_group(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        for name, each in self.groups.items():
            if each["id"] == parts[1] and ("/accounts/" in parts[0] or self._here(each)):
                if method == "DELETE":
                    del self.groups[name]
                    return {}
                for operation in body["Operations"]:
                    if operation["path"] == "members":
                        each["members"] |= {member["value"] for member in operation["value"]}
                    elif operation["path"].startswith("members"):
                        each["members"] -= set(re.findall(r'"(.*)"', operation["path"]))
                    else:
                        self._workspaces_own(parts[0], True)
                        self._entitle(each, {"Operations": [operation]})
                return {}
        raise Refused("SCIM_404", "no such group", missing=True)

    # -- account

    def _assigned(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        listed = [{"principal": {"principal_id": int(ref)}, "permissions": roles} for ref, roles in self.assignments.items()]
        return {"permission_assignments": listed}

    def _assign(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        named = next((each for each in self.account_users.values() if each["id"] == parts[0]), None)
        if method == "DELETE":
            self.assignments.pop(parts[0], None)
            if named:
                self.users.pop(named["userName"], None)
        else:
            self.assignments[parts[0]] = body["permissions"]
            if named:
                self.users[named["userName"]] = {**named}
        return {}

    def _budgets(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        if method == "GET":
            return {"budgets": list(self.budgets.values())}
        id = self._id()
        self.budgets[id] = {**body["budget"], "budget_configuration_id": id}
        return {"budget": self.budgets[id]}

    def _budget(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        if method == "DELETE":
            del self.budgets[parts[0]]
        else:
            self.budgets[parts[0]] = body["budget"]
        return {}

    # -- catalog

    def _securables(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        there = self.catalogs if parts[0] == "catalogs" else self.schemas
        if method == "GET":
            items = [each for each in there.values() if query.get("catalog_name") in (None, each.get("catalog_name"))]
            at = int(query.get("page_token", 0))
            more = {"next_page_token": str(at + 2)} if at + 2 < len(items) else {}
            return {parts[0]: items[at : at + 2], **more}
        full = body["name"] if parts[0] == "catalogs" else f"{body['catalog_name']}.{body['name']}"
        if full in there:
            raise Refused("SCHEMA_ALREADY_EXISTS", full, exists=True)
        if parts[0] == "schemas" and body["catalog_name"] not in self.catalogs:
            raise Refused("CATALOG_DOES_NOT_EXIST", f"Catalog '{body['catalog_name']}' does not exist.", missing=True)
        there[full] = {**body, "full_name": full, "created_at": int(self._id())}
        if parts[0] == "catalogs":  # as the platform does
            self.schemas[f"{full}.default"] = {"name": "default", "catalog_name": full, "full_name": f"{full}.default"}
        return there[full]

    def _securable(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        there = self.catalogs if parts[0] == "catalogs" else self.schemas
        if parts[1] not in there:
            raise Refused("SCHEMA_DOES_NOT_EXIST", parts[1], missing=True)
        if method == "DELETE":
            if parts[0] == "catalogs" and any(each["catalog_name"] == parts[1] for each in self.schemas.values()):
                raise Refused("INVALID_STATE", f"Catalog '{parts[1]}' is not empty")
            del there[parts[1]]
            self.grants.pop((parts[0][:-1], parts[1]), None)
        elif method == "PATCH":
            there[parts[1]].update(body)
        return there.get(parts[1], {})

    def _granted(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        there = self.grants.setdefault((parts[0], parts[1]), {})
        for change in body.get("changes", []):
            mine = there.setdefault(change["principal"], set())
            mine |= set(change.get("add", []))
            mine -= set(change.get("remove", []))
        return {"privilege_assignments": [{"principal": to, "privileges": sorted(p)} for to, p in there.items() if p]}

    # -- compute

    def _policy(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        match parts[0]:
            case "list":
                return {"policies": list(self.policies.values())}
            case "create":
                if any(each["name"] == body["name"] for each in self.policies.values()):
                    raise Refused("RESOURCE_ALREADY_EXISTS", f"{body['name']} already exists", exists=True)
                id = f"P{self._id()}"
                self.policies[id] = {**body, "policy_id": id}
                return {"policy_id": id}
            case "edit":
                self.policies[body["policy_id"]] = body
            case "delete":
                del self.policies[body["policy_id"]]
        return {}

    def _cluster(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        if parts[0] == "list":
            items, at = list(self.clusters.values()), int(query.get("page_token", 0))
            more = {"next_page_token": str(at + 2)} if at + 2 < len(items) else {}
            return {"clusters": items[at : at + 2], **more}
        if parts[0] == "create":
            token = body.pop("idempotency_token")
            for each in self.clusters.values():
                if each["token"] == token and each["state"] != "TERMINATED":  # of one that has ended the token is forgotten
                    return {"cluster_id": each["cluster_id"]}
            id, now = f"c-{self._id()}", next(self._ids)
            self.clusters[id] = {**body, "cluster_id": id, "state": "PENDING", "token": token, "start_time": now, "made": now}
            return {"cluster_id": id}
        cluster = self.clusters.get(body["cluster_id"])
        if cluster is None:
            raise Refused("INVALID_PARAMETER_VALUE", f"Cluster {body['cluster_id']} does not exist", missing=True)
        match parts[0]:
            case "events":
                return {"events": [{"timestamp": cluster["made"], "type": "CREATING"}]}
            case "edit":
                cluster.update(body)
            case "start":
                if cluster["state"] != "TERMINATED":
                    raise Refused("INVALID_STATE", "unexpected state")
                cluster.update(state="PENDING", start_time=next(self._ids))
                cluster.pop("termination_reason", None)
            case "delete":
                if cluster["state"] != "TERMINATED":
                    cluster.update(state="TERMINATING", termination_reason={"code": "USER_REQUEST", "type": "SUCCESS"})
            case "permanent-delete":
                del self.clusters[body["cluster_id"]]
                self.permissions.pop(f"/api/2.0/permissions/clusters/{body['cluster_id']}", None)
        return {}

    def _acl(self, method: str, parts: list[str], query: dict[str, Any], body: dict[str, Any]) -> Any:
        path = parts[0]
        there = self.permissions.setdefault(path, {})
        if method == "PUT":
            there.clear()
        for entry in body.get("access_control_list", []):
            who = next(name for name in entry if name != "permission_level")
            there[who, entry[who]] = entry["permission_level"]
        inherited = {"group_name": "admins", "all_permissions": [{"permission_level": "CAN_MANAGE", "inherited": True}]}
        own = [{who: name, "all_permissions": [{"permission_level": level}]} for (who, name), level in there.items()]
        return {"access_control_list": [inherited, *own]}


_ROUTES: list[tuple[str, Any]] = [
    (r"(/api/2.0/preview/scim/v2|/api/2.0/accounts/acc/scim/v2)/Users", Platform._scim_users),
    (r"(/api/2.0/preview/scim/v2|/api/2.0/accounts/acc/scim/v2)/Users/(.*)", Platform._scim_user),
    (r"(/api/2.0/preview/scim/v2|/api/2.0/accounts/acc/scim/v2)/Groups", Platform._scim_groups),
    (r"(/api/2.0/preview/scim/v2|/api/2.0/accounts/acc/scim/v2)/Groups/(.*)", Platform._scim_group),
    (r"/api/2.0/accounts/acc/workspaces/77/permissionassignments", Platform._assigned),
    (r"/api/2.0/accounts/acc/workspaces/77/permissionassignments/principals/(.*)", Platform._assign),
    (r"/api/2.1/accounts/acc/budgets", Platform._budgets),
    (r"/api/2.1/accounts/acc/budgets/(.*)", Platform._budget),
    (r"/api/2.1/unity-catalog/(catalogs|schemas)", Platform._securables),
    (r"/api/2.1/unity-catalog/(catalogs|schemas)/(.*)", Platform._securable),
    (r"/api/2.1/unity-catalog/permissions/(\w+)/(.*)", Platform._granted),
    (r"/api/2.0/policies/clusters/(\w+)", Platform._policy),
    (r"/api/2.1/clusters/([\w-]+)", Platform._cluster),
    (r"(/api/2.0/permissions/.*)", Platform._acl),
]
