"""A policy's definition: reading the JSON text, and every reason why it is none. Pure.

A definition is an object of rules by attribute path; each rule has a `type` and the fields of that type. The platform takes any
text and fails later, at the first cluster; we say what is wrong when the policy is written, each problem with its path, value
and what is allowed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from boathouse.compute.policies import attributes, patterns, runtimes
from boathouse.compute.policies.attributes import Attribute, UnknownAttribute

FIXED, FORBIDDEN, ALLOWLIST, BLOCKLIST = "fixed", "forbidden", "allowlist", "blocklist"
REGEX, RANGE, UNLIMITED = "regex", "range", "unlimited"

_SUGGESTS = frozenset({"defaultValue", "isOptional", "hidden"})
#: The fields of each type of rule; `type` aside. The first set is needed.
FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    FIXED: (frozenset({"value"}), frozenset({"hidden"})),
    FORBIDDEN: (frozenset(), frozenset({"hidden"})),
    ALLOWLIST: (frozenset({"values"}), _SUGGESTS),
    BLOCKLIST: (frozenset({"values"}), _SUGGESTS),
    REGEX: (frozenset({"pattern"}), _SUGGESTS),
    RANGE: (frozenset(), _SUGGESTS | {"minValue", "maxValue"}),
    UNLIMITED: (frozenset(), _SUGGESTS),
}

LONGEST, MOST_RULES, MOST_PROBLEMS = 500_000, 1_000, 20


class MalformedDefinition(Exception):
    """A text that is no definition. `problems`: a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Rule:
    """One rule. `value`, `values`, `default` are as the attribute has them; `least` and `most` bound a range."""

    path: str
    type: str
    attribute: Attribute
    value: Any = None
    values: tuple[Any, ...] = ()
    pattern: str = ""
    least: float | None = None
    most: float | None = None
    default: Any = None
    optional: bool = False
    hidden: bool = False

    @cached_property
    def expression(self) -> Any:
        return patterns.compiled(self.pattern)


class Definition(msgspec.Struct, frozen=True):
    """The rules in their order."""

    rules: tuple[Rule, ...] = ()
    by_path: Mapping[str, Rule] = msgspec.field(default_factory=dict)


class _Twice(list[tuple[str, Any]]):
    """An object of JSON with its names in order, so that one that stands there twice is seen."""


def parse(text: str, overrides: str = "") -> Definition:
    """The definition of a JSON text, with the rules of another one in place of those for the same attributes. Raises
    MalformedDefinition."""
    rules: dict[str, Rule] = {}
    problems: list[str] = []
    for source in (text, overrides):
        for path, document in _object(source):
            found = list(_problems(path, document))
            problems += found
            if not found:
                rules[path] = _rule(path, document)
    logs = {path.split(".")[1] for path in rules if path.startswith("cluster_log_conf.")}
    if logs & attributes.LOG_PARTS and logs - attributes.LOG_PARTS:
        problems.append("cluster_log_conf: give rules for type, path and region, or for the places by name, not for both")
    if problems:
        raise MalformedDefinition(problems[:MOST_PROBLEMS])
    return Definition(tuple(rules.values()), rules)


def merged(text: str, overrides: str) -> str:
    """The JSON text of a definition with overrides: what a policy of a family shows. Both are known to be definitions."""
    documents = json.loads(text or "{}")
    return json.dumps({**documents, **json.loads(overrides or "{}")}, separators=(",", ":"), ensure_ascii=False)


def _object(text: str) -> list[tuple[str, dict[str, Any]]]:
    if not text.strip():
        return []
    if len(text) > LONGEST:
        raise MalformedDefinition([f"{len(text)} characters are too many; at most {LONGEST} are allowed"])
    try:
        document = json.loads(text, object_pairs_hook=_Twice)
    except RecursionError:
        raise MalformedDefinition(["it is nested too deeply"]) from None
    except ValueError as error:
        raise MalformedDefinition([f"it is not valid JSON: {error}"]) from None
    if not isinstance(document, _Twice):
        raise MalformedDefinition([f"it must be a JSON object of rules by attribute path, not {_said(document)}"])
    if len(document) > MOST_RULES:
        raise MalformedDefinition([f"{len(document)} rules are too many; at most {MOST_RULES} are allowed"])
    names = [name for name, _ in document]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MalformedDefinition([f"{twice[0]}: there can be one rule for an attribute, and there are several"])
    found = []
    for name, rule in document:
        if not isinstance(rule, _Twice):
            raise MalformedDefinition([f"{_short(name)}: a rule must be a JSON object with a type, not {_said(rule)}"])
        found.append((name, dict(rule)))
    return found


def _problems(path: str, rule: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one rule."""
    path_shown = _short(path)
    try:
        attribute = attributes.find(path)
    except UnknownAttribute as error:
        yield f"{path_shown}: unknown attribute: {error}"
        return
    type_ = rule.get("type")
    if not isinstance(type_, str) or type_ not in FIELDS:
        what = "Missing required field 'type'" if type_ is None else f"type: {_said(type_)} is not allowed"
        yield f"{path_shown}: {what}; give one of {', '.join(FIELDS)}"
        return
    needed, others = FIELDS[type_]
    for name in sorted(needed - {name for name, value in rule.items() if value is not None}):
        yield f"{path_shown}: Missing required field '{name}' of a rule of type {type_}"
        return
    for name in rule:
        if name not in needed | others | {"type"}:
            allowed = ", ".join(sorted(needed | others))
            yield f"{path_shown}: Unknown field '{_short(name)}' of a rule of type {type_}. Allowed here: {allowed}."
            return
    for name in ("isOptional", "hidden"):
        if not isinstance(rule.get(name, False), bool):
            yield f"{path_shown}.{name}: {_said(rule[name])} is not allowed; give true or false"
            return
    yield from _fits(path_shown, type_, attribute, rule)


def _fits(path: str, type_: str, attribute: Attribute, rule: dict[str, Any]) -> Iterator[str]:
    """Whether a rule of this type goes with the attribute, and its values with both."""
    if attribute.kind in ("object", "map", "list") and type_ not in (FORBIDDEN, UNLIMITED):
        yield f"{path}: it has parts, and a rule of type {type_} needs one value; name a part of it, or give type forbidden"
        return
    if type_ == FORBIDDEN and (attribute.required or attribute.virtual):
        yield f"{path}: it cannot be forbidden, because every cluster has it"
        return
    if path == "dbus_per_hour" and type_ != RANGE:
        yield f"{path}: type: {type_} is not allowed; give range"
        return
    if type_ == RANGE and attribute.kind != "number":
        yield f"{path}: type: range is allowed for numbers only; give allowlist, blocklist or regex"
        return
    if type_ == REGEX and attribute.kind != "text":
        yield f"{path}: type: regex is allowed for texts only; give range, allowlist or blocklist"
        return
    if "defaultValue" in rule and (attribute.general or attribute.virtual or attribute.kind in ("object", "map", "list")):
        yield f"{path}.defaultValue: it cannot be filled in here; leave it out"
        return
    values = rule.get("values")
    if values is not None and (not isinstance(values, list) or isinstance(values, _Twice) or not values):
        yield f"{path}.values: {_said(values)} is not allowed; give a list with at least one value"
        return
    given = [("value", rule.get("value")), ("defaultValue", rule.get("defaultValue"))]
    given += [(f"values[{at}]", value) for at, value in enumerate(values or ())]
    given += [("minValue", rule.get("minValue")), ("maxValue", rule.get("maxValue"))]
    for name, value in given:
        if value is None and not name.startswith("values"):
            continue
        problem = _value(attribute, value, whole=name in ("value", "defaultValue"))
        if problem:
            yield f"{path}.{name}: {_said(value)} is not allowed; {problem}"
            return
    yield from _bounds(path, type_, attribute, rule)


def _value(attribute: Attribute, value: Any, whole: bool) -> str:
    """What to give in place of a value that the attribute cannot have. `whole`: it will be filled in, so it must be one of the
    attribute's words."""
    try:
        found = attributes.same(value, attribute.kind)
    except (ValueError, OverflowError):
        wanted = {"number": "a number", "truth": "true or false"}.get(attribute.kind, "a text, a number, true or false")
        return f"give {wanted}"
    if whole and attribute.options and found not in attribute.options:
        return f"give one of {', '.join(attribute.options)}"
    if attribute.path == "spark_version" and found.startswith(runtimes.PREFIX) and found not in runtimes.WORDS:
        return f"give the key of a runtime, or one of {', '.join(runtimes.WORDS)}"
    return ""


def _bounds(path: str, type_: str, attribute: Attribute, rule: dict[str, Any]) -> Iterator[str]:
    if type_ == REGEX:
        pattern = rule["pattern"]
        try:
            if not isinstance(pattern, str):
                raise patterns.BadPattern("it is no text")
            patterns.compiled(pattern)
        except patterns.BadPattern as error:
            yield f"{path}.pattern: {_said(pattern)} is not a regular expression: {error}"
            return
    if type_ == RANGE:
        least, most = rule.get("minValue"), rule.get("maxValue")
        if least is None and most is None:
            yield f"{path}: a rule of type range needs minValue, maxValue, or both"
            return
        if least is not None and most is not None and float(least) > float(most):
            yield f"{path}.minValue: {_said(least)} is not allowed; give at most maxValue, which is {_said(most)}"
            return
    made = _rule(path, rule)
    if made.default is not None and not str(made.default).startswith(runtimes.PREFIX):
        try:
            if obeys(made, made.default, patterns.Patience()):
                return
            yield f"{path}.defaultValue: {_said(rule['defaultValue'])} is not allowed; give a value that the rule itself allows"
        except patterns.OutOfPatience:
            yield f"{path}.pattern: {_said(rule['pattern'])} takes too long to match the default value; give a simpler one"


def _rule(path: str, rule: dict[str, Any]) -> Rule:
    attribute = attributes.find(path)

    def taken(value: Any) -> Any:
        return None if value is None else attributes.same(value, attribute.kind)

    def bound(value: Any) -> float | None:
        return None if value is None else attributes.same(value, "number")

    return Rule(
        path, rule["type"], attribute, value=taken(rule.get("value")),
        values=tuple(taken(value) for value in rule.get("values") or ()), pattern=rule.get("pattern") or "",
        least=bound(rule.get("minValue")), most=bound(rule.get("maxValue")), default=taken(rule.get("defaultValue")),
        optional=rule.get("isOptional", False), hidden=rule.get("hidden", False),
    )  # fmt: skip


def obeys(rule: Rule, value: Any, patience: patterns.Patience) -> bool:
    """Whether a value (as the attribute has it) is one that the rule allows. `fixed` and `auto:` words are for `rules` to
    know. Raises patterns.OutOfPatience."""
    if rule.type == ALLOWLIST:
        return value in rule.values
    if rule.type == BLOCKLIST:
        return value not in rule.values
    if rule.type == REGEX:
        return patterns.fits(rule.expression, value, patience)
    if rule.type == RANGE:
        return (rule.least is None or value >= rule.least) and (rule.most is None or value <= rule.most)
    return True


def _said(value: Any) -> str:
    shown = json.dumps(dict(value) if isinstance(value, _Twice) else value, ensure_ascii=False, default=str)
    return _short(shown)


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."
