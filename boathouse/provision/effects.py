"""How each wish is carried out, and taken back: one call of the API for one effect (two where the API knows no other way).

An effect that finds the thing there already (two runs at once, a repeated request) is not an error: it is found, and was not
made.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from boathouse.provision import found as lists
from boathouse.provision.api import Calls, Place, Refused
from boathouse.provision.diff import CHANGE, Action, Record, Thing, parent, subject
from boathouse.provision.found import CLUSTERS, POLICIES, UNITY
from boathouse.provision.wishes import TAG, Wish

_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass(frozen=True)
class Done:
    """An effect's end: the thing's id, and whether it was made now."""

    ref: str
    made: bool = True


class Effects:
    """Effects at one place. `things` is what was found, and grows with what is made (identity -> thing)."""

    def __init__(self, place: Place, things: dict[str, Thing]) -> None:
        self.place, self.things = place, things

    def carry_out(self, action: Action, token: str) -> Done:
        """Do what an action says. Raises Refused."""
        wish = action.wish
        done = getattr(self, f"_{wish.kind}")(wish, action, token)
        before = self.things.get(wish.id)
        self.things[wish.id] = Thing(done.ref, before.shown if before else {})
        return done

    def undo_of(self, action: Action, record: Record) -> dict[str, Any]:
        """What will take an action's effect back, beyond deleting the thing itself. Raises Refused when something it needs is
        not there."""
        wish, before = action.wish, record.undo
        match wish.kind:
            case "user" | "group" | "entitlement" if action.what == CHANGE or wish.kind == "entitlement":
                return {"entitlements": sorted({*_added(action, "entitlements"), *before.get("entitlements", ())})}
            case "assignment" if action.what == CHANGE:
                return dict(before) or {"permission": action.changes["permission"][0]}
            case "member":
                return {"user": self._ref(f"user {wish.fields['user']}")}
            case "grant":
                privileges = sorted({*_added(action, "privileges"), *before.get("privileges", ())})
                return {"path": lists.grant_path(wish), "to": wish.fields["to"], "privileges": privileges}
            case "permission":
                who = {name: wish.fields[name] for name in lists.PRINCIPALS if name in wish.fields}
                was = before.get("level") or (action.changes.get("level") or (None, None))[0]
                return {"path": lists.permission_path(wish, self.things), "who": who, **({"level": was} if was else {})}
        return {}

    def parent_ref(self, wish: Wish) -> str:
        """The id of the thing that a grant, permission, launch or stop was done to."""
        thing = self.things.get(parent(wish))
        return thing.ref if thing else ""

    def token_of(self, wish: Wish) -> str:
        """What a cluster is asked for with: the same for the same one, so that whoever repeats it, here or on another machine,
        gets the cluster that is being started already."""
        named = f"{self.place.workspace_id}\0{wish.fields['custom_tags'][TAG]}\0{wish.key}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    def _ref(self, id: str) -> str:
        thing = self.things.get(id)
        if thing is None:
            raise Refused("", f"there is no {id}")
        return thing.ref

    # -- identities

    def _user(self, wish: Wish, action: Action, token: str) -> Done:
        calls, root = self.place.directory()
        if action.what == CHANGE:
            added = action.changes["entitlements"][1]
            self._entitle(calls, root, "Users", action.ref, added)
            return Done(action.ref, False)
        body: dict[str, Any] = {"userName": wish.key, "displayName": wish.fields["name"]}
        if wish.fields.get("entitlements"):
            body["entitlements"] = [{"value": value} for value in wish.fields["entitlements"]]
        return self._made_in(calls, f"{root}/Users", body, f"userName eq {json.dumps(wish.key, ensure_ascii=False)}")

    def _group(self, wish: Wish, action: Action, token: str) -> Done:
        calls, root = self.place.directory()
        if action.what == CHANGE:
            added = action.changes["entitlements"][1]
            self._entitle(calls, root, "Groups", action.ref, added)
            return Done(action.ref, False)
        body: dict[str, Any] = {"displayName": wish.key}
        if wish.fields.get("entitlements"):
            body["entitlements"] = [{"value": value} for value in wish.fields["entitlements"]]
        return self._made_in(calls, f"{root}/Groups", body, f"displayName eq {json.dumps(wish.key, ensure_ascii=False)}")

    def _made_in(self, calls: Calls, path: str, body: Mapping[str, Any], same: str) -> Done:
        try:
            return Done(str(calls.do("POST", path, body=body)["id"]))
        except Refused as error:
            if not error.exists:
                raise
            for there in calls.do("GET", path, {"filter": same}).get("Resources") or []:
                return Done(str(there["id"]), False)
            raise

    def _entitle(self, calls: Calls, root: str, kind: str, ref: str, values: list[str], op: str = "add") -> None:
        if op == "add":
            operations = [{"op": "add", "path": "entitlements", "value": [{"value": value} for value in values]}]
        else:
            operations = [{"op": "remove", "path": f'entitlements[value eq "{value}"]'} for value in values]
        calls.do("PATCH", f"{root}/{kind}/{ref}", body={"schemas": [_PATCH], "Operations": operations})

    def _assignment(self, wish: Wish, action: Action, token: str) -> Done:
        ref = self._ref(subject(wish.key))
        self.place.account.do(
            "PUT", f"{self.place.assignments}/principals/{ref}", body={"permissions": [wish.fields["permission"]]}
        )
        return Done(ref, action.what != CHANGE)

    def _entitlement(self, wish: Wish, action: Action, token: str) -> Done:
        of = subject(wish.key)
        ref, kind = self._ref(of), "Groups" if of.startswith("group ") else "Users"
        self._entitle(self.place.workspace, "/api/2.0/preview/scim/v2", kind, ref, _added(action, "entitlements"))
        return Done(ref)

    def _member(self, wish: Wish, action: Action, token: str) -> Done:
        calls, root = self.place.directory()
        group, user = self._ref(f"group {wish.fields['group']}"), self._ref(f"user {wish.fields['user']}")
        operation = {"op": "add", "path": "members", "value": [{"value": user}]}
        calls.do("PATCH", f"{root}/Groups/{group}", body={"schemas": [_PATCH], "Operations": [operation]})
        return Done(group)

    # -- data

    def _catalog(self, wish: Wish, action: Action, token: str) -> Done:
        return self._securable("catalogs", wish, action, dict(wish.fields))

    def _schema(self, wish: Wish, action: Action, token: str) -> Done:
        catalog, name = wish.fields["name"].split(".")
        return self._securable("schemas", wish, action, {**wish.fields, "catalog_name": catalog, "name": name})

    def _securable(self, kind: str, wish: Wish, action: Action, body: dict[str, Any]) -> Done:
        path = f"{UNITY}/{kind}/{quote(wish.fields['name'], safe='')}"
        if action.what == CHANGE:
            self.place.workspace.do("PATCH", path, body={name: wanted for name, (_, wanted) in action.changes.items()})
            return Done(action.ref, False)
        try:
            made, new = self.place.workspace.do("POST", f"{UNITY}/{kind}", body=body), True
        except Refused as error:
            if not error.exists:
                raise
            made, new = self.place.workspace.do("GET", path), False
        return Done(str(made.get("schema_id") or made.get("created_at") or made["name"]), new)

    def _grant(self, wish: Wish, action: Action, token: str) -> Done:
        changes = [{"principal": wish.fields["to"], "add": _added(action, "privileges")}]
        self.place.workspace.do("PATCH", lists.grant_path(wish), body={"changes": changes})
        return Done("")

    # -- compute

    def _policy(self, wish: Wish, action: Action, token: str) -> Done:
        body = dict(wish.fields)
        for name in ("definition", "policy_family_definition_overrides"):
            if name in body:
                body[name] = json.dumps(body[name])
        if action.what == CHANGE:
            self.place.workspace.do("POST", f"{POLICIES}/edit", body={**body, "policy_id": action.ref})
            return Done(action.ref, False)
        if set(body) == {"name"}:
            raise Refused("", f"there is no policy {wish.key!r}, and the file does not define it")
        try:
            return Done(self.place.workspace.do("POST", f"{POLICIES}/create", body=body)["policy_id"])
        except Refused as error:
            there = lists.policies(self.place).get(wish.id) if error.exists else None
            if there is None:
                raise
            return Done(there.ref, False)

    def _cluster(self, wish: Wish, action: Action, token: str) -> Done:
        body = {name: value for name, value in wish.fields.items() if name != "policy"}
        if wish.fields.get("policy"):
            body["policy_id"] = self._ref(f"policy {wish.fields['policy']}")
        if action.what == CHANGE:
            self.place.workspace.do("POST", f"{CLUSTERS}/edit", body={**body, "cluster_id": action.ref})
            return Done(action.ref, False)
        made = self.place.workspace.do("POST", f"{CLUSTERS}/create", body={**body, "idempotency_token": token})
        return Done(made["cluster_id"])

    def _permission(self, wish: Wish, action: Action, token: str) -> Done:
        who = {name: wish.fields[name] for name in lists.PRINCIPALS if name in wish.fields}
        entry = {**who, "permission_level": wish.fields["level"]}
        self.place.workspace.do("PATCH", lists.permission_path(wish, self.things), body={"access_control_list": [entry]})
        return Done("")

    def _launch(self, wish: Wish, action: Action, token: str) -> Done:
        ref = self._ref(f"cluster {wish.key}")
        try:
            self.place.workspace.do("POST", f"{CLUSTERS}/start", body={"cluster_id": ref})
        except Refused as error:
            if error.code != "INVALID_STATE":  # it starts or runs already: that is what is wanted
                raise
        return Done(ref)

    def _stop(self, wish: Wish, action: Action, token: str) -> Done:
        ref = self._ref(f"cluster {wish.key}")
        self.place.workspace.do("POST", f"{CLUSTERS}/delete", body={"cluster_id": ref})
        return Done(ref)

    def _budget(self, wish: Wish, action: Action, token: str) -> Done:
        fields, root = wish.fields, f"/api/2.1/accounts/{self.place.account_id}/budgets"
        alert: dict[str, Any] = {
            "time_period": "MONTH", "trigger_type": "CUMULATIVE_SPENDING_EXCEEDED", "quantity_type": "LIST_PRICE_DOLLARS_USD",
            "quantity_threshold": str(fields["monthly"]),
        }  # fmt: skip
        tags = [{"key": key, "value": {"operator": "IN", "values": [value]}} for key, value in sorted(fields["tags"].items())]
        budget: dict[str, Any] = {"display_name": wish.key, "alert_configurations": [alert], "filter": {"tags": tags}}
        if action.what == CHANGE:
            shown = self.things[wish.id].shown.get("alert_configurations") or [{}]
            alert["alert_configuration_id"] = shown[0].get("alert_configuration_id")
            changed = {**budget, "budget_configuration_id": action.ref}
            self.place.account.do("PUT", f"{root}/{action.ref}", body={"budget": changed})
            return Done(action.ref, False)
        made = self.place.account.do("POST", root, body={"budget": budget})
        return Done(made["budget"]["budget_configuration_id"])


def _added(action: Action, name: str) -> list[str]:
    """What of a list field is missing there."""
    return list(action.changes[name][1]) if name in action.changes else list(action.wish.fields[name])
