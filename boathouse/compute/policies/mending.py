"""How a cluster that broke the rules of its policy comes to obey them again: the fewest changes that do. Pure.

Fixed values are put, forbidden ones taken out; in place of a value that is not allowed comes what the rule suggests, else the
nearest that it allows, else nothing where it may be left out. What no rule says a value for (a text that matches no pattern)
stays, and is told.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from boathouse.compute.policies import attributes, rules
from boathouse.compute.policies.attributes import Segment
from boathouse.compute.policies.definition import ALLOWLIST, FIXED, FORBIDDEN, RANGE, Definition, Rule
from boathouse.compute.policies.rules import Decision, World

#: One change can make another one needed (workers in place of bounds); more rounds than this find nothing new.
ROUNDS = 5


class Change(msgspec.Struct, frozen=True):
    """One attribute that changes, as texts for people; empty: it is not there."""

    field: str
    previous_value: str
    new_value: str


class Mended(msgspec.Struct, frozen=True):
    """`left`: what is broken still, because the policy names no value for it."""

    document: dict[str, Any]
    changes: tuple[Change, ...]
    left: tuple[Decision, ...]


def mend(definition: Definition, wish: dict[str, Any], world: World) -> Mended:
    """The wish as its policy wants it."""
    outcome = rules.apply(definition, wish, world)
    for _ in range(ROUNDS):
        if not outcome.refused:
            break
        document = outcome.document
        # From the last entry of a list to its first: what is taken out moves nothing that is still to come.
        for decision in reversed(outcome.refused):
            _mend(document, definition.by_path[decision.rule], decision, world)
        outcome = rules.apply(definition, document, world)
    return Mended(outcome.document, tuple(changes(wish, outcome.document)), tuple(outcome.refused))


def _mend(document: dict[str, Any], rule: Rule, decision: Decision, world: World) -> None:
    segments = _segments(rule, decision.path)
    if rule.attribute.virtual:
        return
    if rule.type == FORBIDDEN:
        _take_out(document, segments)
        return
    value = _wanted(rule, decision.value, world)
    if value is None:
        if rule.optional:
            _take_out(document, segments)
        return
    if segments[0] == "num_workers":
        document.pop("autoscale", None)
    if segments[0] == "autoscale":
        document.pop("num_workers", None)
    if not attributes.write(document, segments, value) and isinstance(segments[1], int):
        del document[str(segments[0])][segments[1]]  # an entry of another kind of place; the next round fills it


def _segments(rule: Rule, path: str) -> tuple[Segment, ...]:
    """The place of a decision: that of its rule, with the entry that it is about."""
    if not rule.attribute.general:
        return rule.attribute.segments
    place = rule.attribute.segments.index(attributes.EVERY)
    before, after = rule.attribute.segments[:place], rule.attribute.segments[place + 1 :]
    ahead, behind = len(".".join(map(str, before))) + 1, sum(len(str(each)) + 1 for each in after)
    key = path[ahead : len(path) - behind]
    return (*before, key if rule.attribute.map_name else int(key), *after)


def _take_out(document: dict[str, Any], segments: tuple[Segment, ...]) -> None:
    attributes.remove(document, segments)


def _wanted(rule: Rule, value: Any, world: World) -> Any:
    if rule.type == FIXED:
        return rules.resolved(rule.attribute, rule.value, world)
    if rule.default is not None:
        return rules.resolved(rule.attribute, rule.default, world)
    if rule.type == ALLOWLIST and not rule.optional:
        return rules.resolved(rule.attribute, rule.values[0], world)
    if rule.type == RANGE and (value is not None or not rule.optional):
        below = rule.least is not None and (value is None or _number(value) < rule.least)
        return rule.least if below else rule.most
    return None


def _number(value: Any) -> float:
    try:
        return attributes.same(value, "number")
    except ValueError:
        return float("-inf")


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """What differs between two wishes, by path."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            yield Change(path, _text(old.get(path)), _text(new.get(path)))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for at, part in enumerate(value):
            yield from _leaves(part, f"{path}.{at}")
    elif path:
        yield path, value


def _text(value: Any) -> str:
    return "" if value is None or value in ({}, []) else attributes.text(value)
