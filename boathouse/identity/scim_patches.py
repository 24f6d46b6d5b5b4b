"""PATCH (RFC 7644 3.5.2): operations with and without paths, done to a document. Pure; the members of a group, which may be
ten thousand, are not in the document: what is done to them is collected as an edit.

Where the platform says something in its own words (an attribute that is not there to be removed), those are used."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from boathouse.identity import scim_filters
from boathouse.identity.scim_schemas import Attribute

Schema = Mapping[str, Attribute]

ADD, REMOVE, REPLACE = "add", "remove", "replace"

#: Operations in one request.
MOST = 1000

_PLAIN = re.compile(r"(\$?[A-Za-z][\w$-]*)(?:\.(\$?[A-Za-z][\w$-]*))?", re.ASCII)


class BadPatch(Exception):
    """An operation that cannot be done; `scim_type` is one of RFC 7644 3.12."""

    def __init__(self, scim_type: str, detail: str) -> None:
        super().__init__(detail)
        self.scim_type = scim_type


class Operation(msgspec.Struct, frozen=True):
    """One operation as it arrived, its verb in lower case."""

    op: str
    path: str | None
    value: Any


class Target(msgspec.Struct, frozen=True):
    """What a path leads to: an attribute, a part of it, and which of its values (`chosen`)."""

    attribute: Attribute
    part: Attribute | None = None
    chosen: scim_filters.Condition | None = None

    @property
    def text(self) -> str:
        return self.attribute.name + (f".{self.part.name}" if self.part else "")


@dataclass
class Members:
    """What was asked of a group's members. `whole`: the members that were there before go, but for those added since.
    `listed` gives the documents of those that are there, when an operation chooses by more than an id."""

    listed: Callable[[], list[dict[str, Any]]]
    whole: bool = False
    added: dict[str, None] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    @property
    def touched(self) -> bool:
        return self.whole or bool(self.added) or bool(self.removed)

    def add(self, ids: list[str]) -> None:
        self.added.update(dict.fromkeys(ids))
        self.removed.difference_update(ids)

    def remove(self, ids: list[str]) -> None:
        for one in ids:
            self.added.pop(one, None)
        self.removed.update(ids)

    def clear(self) -> None:
        self.whole = True
        self.added.clear()
        self.removed.clear()

    def _there(self) -> list[dict[str, Any]]:
        old = [] if self.whole else [entry for entry in self.listed() if entry["value"] not in self.removed]
        return old + [{"value": one} for one in self.added]

    def done(self, op: str, target: Target, value: Any) -> None:
        """One operation on `members`."""
        if target.chosen is not None:
            one = target.chosen.wanted("value")
            if op != REMOVE or target.part is not None:
                raise BadPatch("mutability", "Members are added by id and removed; nothing in them can be changed.")
            if one is not None and target.chosen.names == {"value"}:
                self.remove([one])
            else:
                self.remove([entry["value"] for entry in self._there() if target.chosen.matches(entry)])
            return
        if target.part is not None:
            raise BadPatch("invalidPath", f'The path {target.text} leads to no member: write members[value eq "id"].')
        if op == REMOVE and value is None:
            self.clear()
            return
        ids = [_member_id(entry) for entry in (value if isinstance(value, list) else [value])]
        if op == REMOVE:
            self.remove(ids)
            return
        if op == REPLACE:
            self.clear()
        self.add(ids)


def _member_id(entry: Any) -> str:
    value = entry.get("value") if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise BadPatch("invalidValue", f"A member is an object with its id as value, not {_said(entry)}.")
    return value


def apply(document: dict[str, Any], operations: list[Operation], schema: Schema, members: Members) -> None:
    """Do the operations to `document`, in their order, and collect those on members. Raises BadPatch; the document is then to
    be thrown away."""
    if len(operations) > MOST:
        raise BadPatch("invalidValue", f"The request has {len(operations)} operations; the limit is {MOST}.")
    if not operations:
        raise BadPatch("invalidSyntax", "Missing required field 'Operations'.")
    for operation in operations:
        if operation.op not in (ADD, REMOVE, REPLACE):
            allowed = f"{ADD}, {REMOVE}, {REPLACE}"
            raise BadPatch("invalidSyntax", f"Invalid value for field 'op': '{operation.op[:40]}'. Allowed: {allowed}.")
        if operation.path:
            _do(document, operation.op, target_of(operation.path, schema), operation.value, members)
            continue
        if operation.op == REMOVE:
            raise BadPatch("noTarget", "The operation remove needs a path.")
        if not isinstance(operation.value, dict):
            raise BadPatch("invalidValue", f"Without a path the value is an object of attributes, not {_said(operation.value)}.")
        for name, value in operation.value.items():
            if name.lower() != "schemas":
                _do(document, operation.op, target_of(name, schema), value, members)


def target_of(path: str, schema: Schema) -> Target:
    """What a path leads to. Raises BadPatch (invalidPath)."""
    if len(path) > scim_filters.LONGEST:
        raise BadPatch("invalidPath", f"The path has {len(path)} characters; the limit is {scim_filters.LONGEST}.")
    plain = _PLAIN.fullmatch(path)
    if plain is not None:
        return _target(plain[1], plain[2], schema)
    from scim2_models import InvalidPathException, Path

    try:
        node = Path(path).ast
    except InvalidPathException as error:
        raise BadPatch("invalidPath", f"Invalid path '{path[:100]}': {error.detail}.") from None
    kind = type(node).__name__
    if kind == "AttrPath":
        return _target(node.attr, node.sub_attr, schema)  # type: ignore[union-attr]
    if kind != "ValuePath":
        raise BadPatch("invalidPath", f"Invalid path '{path[:100]}': it compares but chooses nothing; use brackets.")
    found = _target(node.attr_path.attr, node.sub_attr, schema)  # type: ignore[union-attr]
    if not found.attribute.many:
        raise BadPatch("invalidPath", f"Invalid path '{path[:100]}': {found.attribute.name} has one value: no brackets.")
    try:
        chosen = scim_filters.of_values(node.val_filter, found.attribute)  # type: ignore[union-attr]
    except scim_filters.BadFilter as error:
        raise BadPatch("invalidFilter", f"Invalid path '{path[:100]}': {error}.") from None
    return Target(found.attribute, found.part, chosen)


def _target(name: str, part: str | None, schema: Schema) -> Target:
    attribute = schema.get(name.lower())
    if attribute is None:
        allowed = ", ".join(sorted(one.name for one in schema.values() if one.mutability != "readOnly"))
        raise BadPatch("invalidPath", f"No such attribute with the name : {name[:60]} in the schema. Allowed: {allowed}.")
    inner = attribute.inside(part) if part else None
    if part and inner is None:
        allowed = ", ".join(sub.name for sub in attribute.sub) or "none"
        raise BadPatch("invalidPath", f"The attribute {attribute.name} has no part '{part[:60]}'. Allowed: {allowed}.")
    return Target(attribute, inner)


def _do(document: dict[str, Any], op: str, target: Target, value: Any, members: Members) -> None:
    attribute = target.attribute
    if attribute.mutability == "readOnly":
        raise BadPatch("mutability", f"The attribute {attribute.name} is given by the server.")
    if op != REMOVE and value is None:
        raise BadPatch("invalidValue", f"The operation {op} of {target.text} needs a value.")
    if attribute.name == "members":
        members.done(op, target, value)
        return
    if attribute.mutability == "immutable":
        if op == REMOVE or value != document.get(attribute.name):
            raise BadPatch("mutability", f"The attribute {attribute.name} cannot be changed.")
        return
    if op == REMOVE and attribute.required:
        raise BadPatch("mutability", f"The attribute {attribute.name} cannot be removed.")
    if attribute.type == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"  # as Microsoft Entra writes it
    if op == REMOVE:
        _remove(document, target, value)
    elif attribute.many:
        _write_values(document, op, target, value)
    elif target.part is not None:
        document[attribute.name] = {**(document.get(attribute.name) or {}), target.part.name: value}
    elif attribute.sub and op == ADD and isinstance(value, dict):
        document[attribute.name] = {**(document.get(attribute.name) or {}), **value}
    else:
        document[attribute.name] = value


def _remove(document: dict[str, Any], target: Target, value: Any) -> None:
    name = target.attribute.name
    there = document.get(name)
    if there in (None, "", [], {}):
        raise BadPatch("invalidPath", f"No such attribute with the name : {name} in the current resource")
    if not target.attribute.many:
        if target.part is None:
            document.pop(name)
        else:
            document[name] = {key: inner for key, inner in there.items() if key != target.part.name}
        return
    if target.part is not None:
        document[name] = [
            {key: inner for key, inner in entry.items() if key != target.part.name}
            if target.chosen is None or target.chosen.matches(entry) else entry
            for entry in there
        ]  # fmt: skip
    elif target.chosen is not None:
        document[name] = [entry for entry in there if not target.chosen.matches(entry)]
    elif value is not None:
        gone = [entry.get("value") for entry in _entries(target, value)]
        document[name] = [entry for entry in there if entry.get("value") not in gone]
    else:
        document.pop(name)


def _write_values(document: dict[str, Any], op: str, target: Target, value: Any) -> None:
    name = target.attribute.name
    there = [dict(entry) for entry in document.get(name) or []]
    if target.chosen is None and target.part is None:
        new = _entries(target, value)
        document[name] = new if op == REPLACE else _joined(there, new)
        return
    hit = [entry for entry in there if target.chosen is None or target.chosen.matches(entry)]
    change = {target.part.name: value} if target.part else value
    if not isinstance(change, dict):
        raise BadPatch("invalidValue", f"A value of {name} is an object, not {_said(change)}.")
    if not hit:
        if op == REPLACE or target.chosen is None:
            raise BadPatch("noTarget", f"The path chooses no value of {name}.")
        # Added where nothing is chosen: a value that the path would choose.
        asked = ((inner.name, target.chosen.wanted(inner.name)) for inner in target.attribute.sub)
        hit = [{part: text for part, text in asked if text is not None}]
        there += hit
    for entry in hit:
        entry.update(change)
    document[name] = _joined([], there)


def _joined(there: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Values with others added: an equal one is not repeated, and a new primary one ends the old one's."""
    if any(entry.get("primary") is True for entry in new):
        there = [{**entry, "primary": False} if entry.get("primary") else entry for entry in there]
    found = list(there)
    for entry in new:
        if entry not in found:
            found.append(entry)
    return found


def _entries(target: Target, value: Any) -> list[dict[str, Any]]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if not isinstance(entry, dict):
            raise BadPatch("invalidValue", f"A value of {target.attribute.name} is an object, not {_said(entry)}.")
    return entries


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
