"""What a policy makes of a wish for a cluster: fixed values and defaults filled in, then every rule asked. Pure.

What was sent is never changed: a value that a rule refuses is a violation in the platform's words, whatever the policy would
have put there. `apply` also says of every rule what it came to, which is what `boathouse policies check` prints.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from boathouse.compute import map_rules
from boathouse.compute.policies import attributes, patterns, runtimes
from boathouse.compute.policies.attributes import EVERY, LOG_PLACES, Attribute, Segment
from boathouse.compute.policies.definition import (
    ALLOWLIST,
    BLOCKLIST,
    FIXED,
    FORBIDDEN,
    RANGE,
    REGEX,
    UNLIMITED,
    Definition,
    Rule,
    obeys,
)

PREFIX = "Cluster validation error: "

Verdict = Literal["fixed", "default", "allowed", "absent", "refused"]


class World(msgspec.Struct, frozen=True):
    """What the rules need to know besides the wish. `offered`: key and name of every runtime; `built`: whether the release of a
    key is there, which words such as `auto:latest` prefer. `node_dbus`: what a node
    of a type uses in an hour, None for a type that is not known. `pool_node_type`: the node type of a pool, None for one that
    is not known. `patience`: what is left of the time for matching patterns; each `apply` begins with a whole one."""

    offered: Sequence[tuple[str, str]]
    node_dbus: Callable[[str], float | None]
    cluster_type: str = "all-purpose"
    pool_node_type: Callable[[str], str | None] = lambda pool_id: None
    patience: patterns.Patience = msgspec.field(default_factory=patterns.Patience)
    built: Callable[[str], bool] = lambda spark_version: True


class Decision(msgspec.Struct, frozen=True):
    """What one rule came to at one place of the wish. `message`: of a refusal, the whole sentence."""

    path: str
    rule: str
    type: str
    verdict: Verdict
    value: Any = None
    message: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """The wish with what the policy filled in, and what each rule came to."""

    document: dict[str, Any]
    decisions: tuple[Decision, ...] = msgspec.field(default=())

    @property
    def refused(self) -> list[Decision]:
        return [each for each in self.decisions if each.verdict == "refused"]

    @property
    def error(self) -> str:
        """The platform's message for a wish that breaks rules; empty for one that does not."""
        return PREFIX + "; ".join(each.message for each in self.refused) if self.refused else ""


def apply(definition: Definition, wish: dict[str, Any], world: World, defaults: bool = False, fill: bool = True) -> Outcome:
    """Fill a wish (JSON with the API's names) as the policy says, and ask every rule. `defaults`: what is only suggested is
    filled in too (`apply_policy_default_values`). Without `fill` the wish is judged as it is: what a cluster has, not what is
    asked for."""
    document = copy.deepcopy(wish)
    world = replace(world, patience=patterns.Patience())
    logs = any(rule.path in (attributes.LOG_TYPE, attributes.LOG_PATH, attributes.LOG_REGION) for rule in definition.rules)
    if logs:
        _flatten_logs(document)
    respelled = _respell(definition, document)
    filled = dict(_fill(definition, document, world, defaults)) if fill else {}
    decisions = tuple(each for rule in definition.rules for each in _ask(definition, rule, document, world, filled))
    for theirs, sent in respelled.items():
        document["spark_conf"] = {sent if key == theirs else key: value for key, value in document["spark_conf"].items()}
    if logs:
        _nest_logs(document)
    return Outcome(document, decisions)


def _respell(definition: Definition, document: dict[str, Any]) -> dict[str, str]:
    """Settings of Hadoop have two keys (`map_rules.spark_key`): what a wish says is put under the one that a rule has, so that no
    rule is passed by under the other. Gives the rule's key and the wish's."""
    conf = document.get("spark_conf") or {}
    found: dict[str, str] = {}
    for rule in definition.rules:
        key = str(rule.attribute.segments[-1])
        sent = map_rules.other_spelling(key) if rule.attribute.map_name == "spark_conf" and not rule.attribute.general else None
        if sent in conf and sent is not None and key not in conf and f"spark_conf.{sent}" not in definition.by_path:
            found[key] = sent
    ours = {sent: key for key, sent in found.items()}
    if found:
        document["spark_conf"] = {ours.get(each, each): value for each, value in conf.items()}
    return found


# --- Filling in ---


def _fill(definition: Definition, document: dict[str, Any], world: World, defaults: bool) -> Iterator[tuple[str, Verdict]]:
    """Fill in fixed values, then defaults; yields the paths that were."""
    for verdict in ("fixed", "default") if defaults else ("fixed",):
        for rule in definition.rules:
            value = rule.value if rule.type == FIXED else rule.default
            if (rule.type == FIXED) != (verdict == "fixed") or value is None or rule.attribute.general or rule.attribute.virtual:
                continue
            if _said(document, rule.attribute) or not _has_room(document, rule, verdict):
                continue
            value = resolved(rule.attribute, value, world)
            if value is not None and attributes.write(document, rule.attribute.segments, value):
                yield rule.path, verdict


def _has_room(document: dict[str, Any], rule: Rule, verdict: Verdict) -> bool:
    """A number of workers and bounds for it are each other's alternative, as are a pool and a node type: of what was said in the
    other way nothing is filled in."""
    head = rule.attribute.segments[0]
    if head == "num_workers":
        return attributes.absent(document.get("autoscale")) and not document.get("is_single_node")
    if head == "autoscale":
        return document.get("num_workers") is None and not document.get("is_single_node")
    if head in ("node_type_id", "driver_node_type_id") and verdict == "default":
        return attributes.absent(document.get("instance_pool_id"))
    return True


def resolved(attribute: Attribute, value: Any, world: World) -> Any:
    """A runtime for a word that means one; other values as they are."""
    if attribute.path != "spark_version":
        return value
    built = [pair for pair in world.offered if world.built(pair[0])]
    return runtimes.resolve(value, built) or runtimes.resolve(value, world.offered)


# --- Asking ---


def _ask(
    definition: Definition, rule: Rule, document: dict[str, Any], world: World, filled: dict[str, Verdict]
) -> Iterator[Decision]:
    if rule.attribute.general:
        yield from _ask_each(definition, rule, document, world)
        return
    if rule.type == FORBIDDEN:  # what follows from elsewhere is nobody's wish
        value = attributes.read(document, rule.attribute.segments) if _said(document, rule.attribute) else None
    else:
        value = _effective(document, rule.attribute, world)
    verdict, problem = _judge(rule, value, world)
    if verdict == "allowed":
        verdict = filled.get(rule.path, verdict)
    yield _decision(rule, rule.path, rule.attribute.segments, verdict, value, problem)


def _ask_each(definition: Definition, rule: Rule, document: dict[str, Any], world: World) -> Iterator[Decision]:
    """A rule for every entry: those with a rule of their own obey that one instead."""
    place = rule.attribute.segments.index(EVERY)
    before, after = rule.attribute.segments[:place], rule.attribute.segments[place + 1 :]
    entries = attributes.read(document, before)
    keys: Sequence[Segment] = list(entries) if isinstance(entries, dict) else list(range(len(entries or ())))
    met = False
    for key in keys:
        segments = (*before, key, *after)
        path = ".".join(map(str, segments))
        if path in definition.by_path:
            continue
        value = attributes.read(document, segments)
        if isinstance(value, dict | list):
            value = None if attributes.absent(value) else value
        verdict, problem = _judge(rule, value, world)
        if verdict == "refused" and value is None and _governed(definition, rule, document, before, key):
            verdict, problem = "absent", ""
        met = True
        yield _decision(rule, path, segments, verdict, value, problem)
    if not met:
        yield Decision(rule.path, rule.path, rule.type, "absent")


def _governed(definition: Definition, rule: Rule, document: dict[str, Any], before: tuple[Segment, ...], key: Segment) -> bool:
    """Whether another rule governs this entry of a list: an entry of one kind of place need not be of every kind that has a rule.
    An entry that no rule but a prohibition names is not governed."""
    depth = len(before)
    for other in definition.rules:
        segments = other.attribute.segments
        if other is rule or other.type == FORBIDDEN or segments[:depth] != before or len(segments) <= depth:
            continue
        if segments[depth] in (key, EVERY) and attributes.read(document, (*before, key, *segments[depth + 1 :])) is not None:
            return True
    return False


def _said(document: dict[str, Any], attribute: Attribute) -> bool:
    return not attributes.absent(attributes.read(document, attribute.segments), bool(attribute.map_name))


def _effective(document: dict[str, Any], attribute: Attribute, world: World) -> Any:
    """The value that a rule judges: what the wish says, or what follows from what it says."""
    path = attribute.path
    if path == "cluster_type":
        return world.cluster_type
    if path == "dbus_per_hour":
        return _dbus(document, world)
    value = attributes.read(document, attribute.segments)
    if path == "num_workers" and not attributes.absent(document.get("autoscale")):
        return None  # the bounds decide
    if path == "num_workers" and document.get("is_single_node"):
        return 0
    if not attributes.absent(value, bool(attribute.map_name)):
        return value
    worker, driver = node_types(document, world)
    return {"node_type_id": worker, "driver_node_type_id": driver}.get(path)


def _dbus(document: dict[str, Any], world: World) -> float | None:
    """The most that a wish can use in an hour, with the driver and, of one that scales, with its most workers."""
    worker, driver = (world.node_dbus(name) if name else None for name in node_types(document, world))
    scaled = document.get("autoscale")
    count = scaled.get("max_workers") if isinstance(scaled, dict) and scaled else document.get("num_workers")
    workers = count if isinstance(count, int) and not document.get("is_single_node") else 0
    if driver is None or (workers and worker is None):
        return None
    return round(driver + workers * (worker or 0.0), 4)


def node_types(document: dict[str, Any], world: World) -> tuple[str | None, str | None]:
    """The node types that a wish comes to, of workers and driver: what it says, or those of the pools that it names."""
    pool = document.get("instance_pool_id") or None
    driver_pool = document.get("driver_instance_pool_id") or pool
    worker = document.get("node_type_id") or (pool and world.pool_node_type(pool)) or None
    driver = document.get("driver_node_type_id") or (driver_pool and world.pool_node_type(driver_pool)) or worker
    return worker, driver


def _judge(rule: Rule, value: Any, world: World) -> tuple[Verdict, str]:
    """What a rule says to a value, None for none; with the refusal's predicate."""
    attribute = rule.attribute
    if rule.type == FORBIDDEN:
        return ("absent", "") if value is None else ("refused", "cannot be present")
    if value is None:
        free = rule.optional or (rule.type == FIXED and attributes.absent(rule.value, bool(attribute.map_name)))
        if rule.type == RANGE and attribute.virtual:
            return "refused", "cannot be computed, because its node types are not known"
        return ("absent", "") if free else ("refused", "must be present")
    if attribute.kind in ("object", "map", "list"):
        return "allowed", ""
    try:
        found = attributes.same(value, attribute.kind)
    except (ValueError, OverflowError):
        return "refused", f"must be a {'number' if attribute.kind == 'number' else attribute.kind} (is {_quoted(value)})"
    if rule.type == UNLIMITED:
        return "allowed", ""
    if rule.type == FIXED:
        wanted = resolved(attribute, rule.value, world)
        return ("allowed", "") if found == wanted else ("refused", f"must be {attributes.text(wanted)} (is {_quoted(found)})")
    if rule.type in (ALLOWLIST, BLOCKLIST):
        values = [resolved(attribute, each, world) for each in rule.values]
        if (found in values) == (rule.type == ALLOWLIST):
            return "allowed", ""
        listed = ", ".join(map(attributes.text, values))
        return "refused", f"{'must' if rule.type == ALLOWLIST else 'cannot'} be one of {listed} (is {_quoted(found)})"
    try:
        if obeys(rule, found, world.patience):
            return "allowed", ""
    except patterns.OutOfPatience:
        return "refused", f'cannot be matched with the pattern "{rule.pattern}" in time (is {_quoted(found)})'
    if rule.type == REGEX:
        return "refused", f'must match the pattern "{rule.pattern}" (is {_quoted(found)})'
    if rule.least is not None and found < rule.least:
        return "refused", f"must be at least {attributes.text(rule.least)} (is {_quoted(found)})"
    return "refused", f"must be at most {attributes.text(rule.most)} (is {_quoted(found)})"


def _quoted(value: Any) -> str:
    shown = attributes.text(value)
    return f'"{shown if len(shown) <= 200 else shown[:197] + "..."}"'


def _decision(rule: Rule, path: str, segments: tuple[Segment, ...], verdict: Verdict, value: Any, problem: str) -> Decision:
    message = ""
    if verdict == "refused":
        in_map = rule.attribute.map_name
        subject = f"{in_map}, {segments[-1]}" if in_map else f"{path}, the value"
        message = f"Validation failed for {subject} {problem}"
    return Decision(path, rule.path, rule.type, verdict, value, message)


# --- Places of logs: the policy language names their kind, the API has one field for each kind ---


def _flatten_logs(document: dict[str, Any]) -> None:
    given = document.get("cluster_log_conf")
    if not isinstance(given, dict):
        return
    for word, name in LOG_PLACES.items():
        place = given.get(name)
        if isinstance(place, dict):
            flat: dict[str, Any] = {"type": word, "path": place.get("destination"), "region": place.get("region")}
            flat = {part: value for part, value in flat.items() if value is not None}
            document["cluster_log_conf"] = {**flat, "rest": place}
            return


def _nest_logs(document: dict[str, Any]) -> None:
    flat = document.get("cluster_log_conf")
    if not isinstance(flat, dict) or not flat.keys() & attributes.LOG_PARTS:
        return
    path = str(flat.get("path", ""))
    word = flat.get("type") or ("S3" if path.startswith("s3") else "VOLUMES" if path.startswith("/Volumes/") else "DBFS")
    place = {**flat.get("rest", {}), **({"destination": path} if path else {})}
    if flat.get("region"):
        place["region"] = flat["region"]
    document["cluster_log_conf"] = {LOG_PLACES[word]: place}
