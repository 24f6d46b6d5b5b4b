"""Wanted against found: the actions, as pure rules. A plan shows them; a run carries them out.

Found is what the lists of the API say; what has no list (grants, permissions, that a cluster was started) is believed from the
journal, as long as the thing it belongs to is the same one (by its id), or asked for when the journal says nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from boathouse.provision.wishes import KINDS, Wish

CREATE, CHANGE, NOTHING = "create", "change", "nothing"

#: Fields of a cluster that the API does not show again, or shows otherwise than they were sent.
_NOT_SHOWN = frozenset({"policy", "apply_policy_default_values", "idempotency_token", "clone_from"})


@dataclass(frozen=True)
class Thing:
    """What is there. `ref` is its id in the API; `shown` is what a list says of it."""

    ref: str
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What the journal knows of a wish. `made`: this fleet made it. `open`: it was about to, and nobody wrote whether it did.

    `parent`: the id of the thing that it was done to. `undo`: what takes it back."""

    digest: str = ""
    ref: str = ""
    parent: str = ""
    made: bool = False
    open: bool = False
    token: str = ""
    undo: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """What is to be done for a wish. `changes`: field -> (is, shall be). `ref`: the id of what is there already."""

    wish: Wish
    what: str
    ref: str = ""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.wish.id


def differences(wish: Wish, thing: Thing) -> dict[str, tuple[Any, Any]]:
    """Fields of a wish that are not as wanted: field -> (is, shall be). Only what the file says is compared: what a policy or the
    platform added is none of its business."""
    shown, wanted = thing.shown, wish.fields
    match wish.kind:
        case "cluster":
            return _of_cluster(wanted, shown)
        case "user" | "group" | "entitlement":
            missing = set(wanted.get("entitlements", ())) - set(shown.get("entitlements", ()))
            return {"entitlements": (sorted(shown.get("entitlements", ())), sorted(missing))} if missing else {}
        case "assignment":
            there = shown.get("permissions", ())
            enough = wanted["permission"] in there or (wanted["permission"] == "USER" and "ADMIN" in there)
            return {} if enough else {"permission": (" ".join(there) or None, wanted["permission"])}
        case "grant":
            missing = set(wanted["privileges"]) - set(shown.get("privileges", ()))
            return {"privileges": (sorted(shown.get("privileges", ())), sorted(missing))} if missing else {}
        case "permission":
            return {} if shown.get("level") == wanted["level"] else {"level": (shown.get("level"), wanted["level"])}
        case "catalog" | "schema":
            return _plain({"comment": wanted.get("comment")}, shown)
        case "policy":
            given = {name: value for name, value in wanted.items() if name != "name"}
            return _plain(given, shown)
        case "budget":
            return _plain({name: wanted.get(name) for name in ("monthly", "tags")}, shown)
    return {}


def _plain(wanted: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (shown.get(name), value)
        for name, value in wanted.items()
        if value is not None and not _within(value, shown.get(name))
    }


def _of_cluster(wanted: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    found = {}
    for name, value in wanted.items():
        if name in _NOT_SHOWN or (name == "spark_version" and str(value).startswith("auto:")):
            continue
        if not _within(value, shown.get(name)):
            found[name] = (shown.get(name), value)
    return found


def _within(wanted: Any, shown: Any) -> bool:
    """Whether what is shown is what is wanted, where it may have more keys; what is empty and what is not there are the same."""
    if isinstance(wanted, dict):
        there = shown if isinstance(shown, dict) else {}
        return all(_within(value, there.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        there = shown if isinstance(shown, list) else []
        return len(wanted) == len(there) and all(_within(a, b) for a, b in zip(wanted, there, strict=True))
    if wanted in ("", None, False, 0):
        return not shown
    return wanted == shown


def subject(key: str) -> str:
    """The wish whose principal an assignment or an entitlement is of, by its key: a user's name, or `group NAME`."""
    return key if key.startswith("group ") else f"user {key}"


def parent(wish: Wish) -> str:
    """The wish whose thing a grant, a permission, a launch or a stop is done to; "" when the fleet does not make it."""
    match wish.kind:
        case "grant" if wish.fields["type"] in ("catalog", "schema"):
            return f"{wish.fields['type']} {wish.fields['name']}"
        case "permission":
            kind = {"cluster": "cluster", "cluster-policy": "policy"}.get(wish.fields["type"])
            return f"{kind} {wish.fields['name']}" if kind else ""
        case "launch" | "stop":
            return f"cluster {wish.key}"
    return ""


def unsure(wanted: Iterable[Wish], found: Mapping[str, Thing], known: Mapping[str, Record], refresh: bool = False) -> list[Wish]:
    """The grants and permissions that only a question of its own can tell: those on things that are there and of which the
    journal does not say that the very same was done to the very same thing. `refresh`: all on things that are there."""
    wanted = list(wanted)
    ids = {wish.id for wish in wanted}
    asked = []
    for wish in wanted:
        above = parent(wish)
        if wish.kind not in ("grant", "permission") or (above in ids and above not in found):
            continue
        if refresh or not _believed(wish, found, known):
            asked.append(wish)
    return asked


def _believed(wish: Wish, found: Mapping[str, Thing], known: Mapping[str, Record]) -> bool:
    record = known.get(wish.id)
    if record is None or record.open or record.digest != wish.digest:
        return False
    above = found.get(parent(wish))
    return above is None or above.ref == record.parent


def actions(wanted: Sequence[Wish], found: Mapping[str, Thing], known: Mapping[str, Record]) -> list[Action]:
    """An action for each wish, in their order; NOTHING for those that are as wanted."""
    made: list[Action] = []
    new: set[str] = set()
    for wish in wanted:
        action = _action(wish, found, known, new)
        if action.what == CREATE:
            new.add(wish.id)
        made.append(action)
    return made


def _action(wish: Wish, found: Mapping[str, Thing], known: Mapping[str, Record], new: set[str]) -> Action:
    above = parent(wish)
    if wish.kind in ("launch", "stop"):
        return _of_start(wish, found.get(above), known.get(wish.id), known.get(above), above in new)
    thing = found.get(wish.id)
    if thing is not None:
        changes = differences(wish, thing)
        return Action(wish, CHANGE if changes else NOTHING, thing.ref, changes)
    if wish.kind in ("grant", "permission") and above not in new and _believed(wish, found, known):
        return Action(wish, NOTHING, known[wish.id].ref)
    return Action(wish, CREATE)


def _of_start(wish: Wish, cluster: Thing | None, record: Record | None, origin: Record | None, new: bool) -> Action:
    """A cluster is started once, and stopped once, after it was made here: whoever uses it later is not disturbed."""
    if cluster is None or new:
        return Action(wish, CREATE)
    done = record is not None and not record.open and record.parent == cluster.ref
    ours = origin is not None and (origin.made or origin.open)
    return Action(wish, CREATE if ours and not done else NOTHING, cluster.ref)


def counts(planned: Iterable[Action]) -> dict[str, dict[str, int]]:
    """kind -> what -> how many, in the order of a plan."""
    table: dict[str, dict[str, int]] = {}
    for action in planned:
        row = table.setdefault(action.wish.kind, {CREATE: 0, CHANGE: 0, NOTHING: 0})
        row[action.what] += 1
    return {kind: table[kind] for kind in KINDS if kind in table}
