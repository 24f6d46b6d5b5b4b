"""Taking back what a fleet made, and only that: what it found stays, with what was added to it removed.

What is to be done is pure (`steps`), from the journal's records; an open record (killed in the middle) counts as made when the
thing is there. The order is the reverse of making, so nothing is deleted under what needs it.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from boathouse.provision.api import Calls, Place, Refused
from boathouse.provision.diff import Record, Thing, subject
from boathouse.provision.found import CLUSTERS, POLICIES, PRINCIPALS, UNITY
from boathouse.provision.journal import Journal
from boathouse.provision.wishes import KINDS, Wish

_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_WORKSPACE = "/api/2.0/preview/scim/v2"

DELETE, LESSEN, FORGET = "delete", "lessen", "forget"


@dataclass(frozen=True)
class Step:
    """One thing to take back. `what`: delete the thing, lessen it by what was added (`record.undo`), or forget a record that
    needs no call."""

    id: str
    what: str
    ref: str
    record: Record
    person: str = ""

    @property
    def kind(self) -> str:
        return self.id.split(" ", 1)[0]

    @property
    def key(self) -> str:
        return self.id.split(" ", 1)[1]


def steps(
    records: Mapping[str, Record], found: Mapping[str, Thing], whose: Mapping[str, str], persons: frozenset[str] = frozenset()
) -> list[Step]:
    """What takes back the records (of `persons` alone when they are given), in order."""
    chosen = {id: record for id, record in records.items() if not persons or whose.get(id, "") in persons}
    going = {id for id, record in chosen.items() if _goes(id, record, found)}
    made = []
    for id, record in chosen.items():
        kind = id.split(" ", 1)[0]
        thing = found.get(id)
        ref = record.ref or (thing.ref if thing else "")
        if id in going:
            what = DELETE
        elif _added(kind, record) and not _parents(id, records, found) & going:
            what = LESSEN
        else:
            what = FORGET
        made.append(Step(id, what, ref, record, whose.get(id, "")))
    return sorted(made, key=lambda step: -KINDS.index(step.kind))


def _goes(id: str, record: Record, found: Mapping[str, Thing]) -> bool:
    """Whether a thing is deleted whole: made here (or about to be), and still the same one."""
    kind, thing = id.split(" ", 1)[0], found.get(id)
    if kind not in ("user", "group", "assignment", "catalog", "schema", "policy", "cluster", "budget") or thing is None:
        return False
    if record.open and not record.ref:
        return not record.undo
    return record.made and thing.ref == record.ref


def _added(kind: str, record: Record) -> bool:
    return bool(record.undo) and (record.made or record.open or kind in ("user", "group", "assignment"))


def _parents(id: str, records: Mapping[str, Record], found: Mapping[str, Thing]) -> set[str]:
    """What takes this with it when it goes."""
    kind, key = id.split(" ", 1)
    match kind:
        case "grant":
            return {key.rsplit(" to ", 1)[0]}
        case "permission":
            on = key.rsplit(" to ", 1)[0]
            return {on.replace("cluster-policy ", "policy ", 1)}
        case "entitlement":
            return {subject(key), f"assignment {key}"}
        case "member":
            group, _, user = key.rpartition(" ")
            return {f"group {group}", f"user {user}"}
    return set()


def run(
    place: Place, journal: Journal, todo: Iterable[Step], *, threads: int = 8, force: bool = False,
    say: Callable[[Step, str], None] = lambda step, message: None,
) -> list[tuple[Step, str]]:  # fmt: skip
    """Take back, kind by kind. Gives (step, "" or why it failed). `force`: schemas and catalogs with what is in them."""
    ended: list[tuple[Step, str]] = []
    todo = list(todo)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for kind in reversed(KINDS):
            same = [step for step in todo if step.kind == kind]
            for step, message in zip(same, pool.map(lambda step: _one(place, journal, step, force), same), strict=True):
                ended.append((step, message))
                say(step, message)
    return ended


def _one(place: Place, journal: Journal, step: Step, force: bool) -> str:
    try:
        if step.what == DELETE:
            _delete(place, step, force)
        elif step.what == LESSEN:
            _lessen(place, step)
    except Refused as error:
        if not error.missing:
            return str(error)
    journal.gone(step.id)
    return ""


def _delete(place: Place, step: Step, force: bool) -> None:
    workspace, name = place.workspace, quote(step.key, safe="")
    calls, root = place.directory()
    match step.kind:
        case "user":
            calls.do("DELETE", f"{root}/Users/{step.ref}")
        case "group":
            calls.do("DELETE", f"{root}/Groups/{step.ref}")
        case "assignment":
            place.account.do("DELETE", f"{place.assignments}/principals/{step.ref}")
        case "schema" | "catalog":
            if step.kind == "catalog" and not force:  # it came with an empty schema `default`; one with tables is refused
                _quietly(workspace, f"{UNITY}/schemas/{name}.default")
            workspace.do("DELETE", f"{UNITY}/{step.kind}s/{name}", {"force": "true"} if force else None)
        case "policy":
            workspace.do("POST", f"{POLICIES}/delete", body={"policy_id": step.ref})
        case "cluster":
            workspace.do("POST", f"{CLUSTERS}/permanent-delete", body={"cluster_id": step.ref})
        case "budget":
            place.account.do("DELETE", f"/api/2.1/accounts/{place.account_id}/budgets/{step.ref}")


def _quietly(calls: Calls, path: str) -> None:
    """Delete what may be gone already."""
    try:
        calls.do("DELETE", path)
    except Refused as error:
        if not error.missing:
            raise


def _lessen(place: Place, step: Step) -> None:
    undo, workspace = step.record.undo, place.workspace
    match step.kind:
        case "grant":
            change = {"principal": undo["to"], "remove": undo["privileges"]}
            workspace.do("PATCH", undo["path"], body={"changes": [change]})
        case "permission":
            workspace.do("PUT", undo["path"], body={"access_control_list": _without(workspace.do("GET", undo["path"]), undo)})
        case "assignment":
            body = {"permissions": undo["permission"].split()}
            place.account.do("PUT", f"{place.assignments}/principals/{step.ref}", body=body)
        case "member":
            calls, root = place.directory()
            operations = [{"op": "remove", "path": f'members[value eq "{undo["user"]}"]'}]
            calls.do("PATCH", f"{root}/Groups/{step.ref}", body={"schemas": [_PATCH], "Operations": operations})
        case "user" | "group" | "entitlement":
            of = subject(step.key) if step.kind == "entitlement" else step.id
            kind = "Groups" if of.startswith("group ") else "Users"
            operations = [{"op": "remove", "path": f'entitlements[value eq "{value}"]'} for value in undo["entitlements"]]
            workspace.do("PATCH", f"{_WORKSPACE}/{kind}/{step.ref}", body={"schemas": [_PATCH], "Operations": operations})


def _without(answer: Mapping[str, Any], undo: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An access control list's own entries, without the principal (or with the level that it had)."""
    kept = []
    ((who, name),) = undo["who"].items()
    for entry in answer.get("access_control_list") or []:
        principal = {field: entry[field] for field in PRINCIPALS if entry.get(field)}
        own = [each["permission_level"] for each in entry.get("all_permissions") or [] if not each.get("inherited")]
        if own and str(entry.get(who, "")).lower() != str(name).lower():
            kept.append({**principal, "permission_level": own[0]})
    if undo.get("level"):
        kept.append({who: name, "permission_level": undo["level"]})
    return kept


def stubs(journal: Journal) -> list[Wish]:
    """Wishes for what the journal tells of, so that the lists with them are read; grants and permissions need no list."""
    return [
        Wish(kind, key, _member(key) if kind == "member" else {})
        for id in journal.records
        for kind, key in [id.split(" ", 1)]
        if kind not in ("grant", "permission", "launch", "stop")
    ]


def _member(key: str) -> dict[str, str]:
    group, _, user = key.rpartition(" ")
    return {"group": group, "user": user}
