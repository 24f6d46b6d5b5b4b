"""The attributes that a policy can have rules for: every field of a cluster's wish, by its path, and the virtual ones. Pure.

A path is the names of the API joined by dots; what follows a map (`spark_conf.`, `custom_tags.`) is one key, dots included; in
a list stands an index, or `*` for every entry; `*` after a map stands for every key.
"""

import types
import typing
from functools import cache
from typing import Any, Literal

import msgspec

from boathouse.wire.compute import ClusterSpec

Kind = Literal["text", "number", "truth", "object", "map", "list"]
Segment = str | int

#: Stands for every entry of a list, or every key of a map.
EVERY = "*"

#: Computed, not sent: what kind of cluster it is, and the most that it can use in an hour.
CLUSTER_TYPES = ("all-purpose", "job", "dlt")

#: How the language names parts of `cluster_log_conf`, which the API has as one object for each kind of place.
LOG_TYPE, LOG_PATH, LOG_REGION = "cluster_log_conf.type", "cluster_log_conf.path", "cluster_log_conf.region"
LOG_PARTS = frozenset({"type", "path", "region"})
LOG_PLACES = {"DBFS": "dbfs", "S3": "s3", "VOLUMES": "volumes"}


class Attribute(msgspec.Struct, frozen=True):
    """One attribute. `options`: the words that it can be. `map_name`: of which map it is an entry. `required`: a wish must have
    it. `virtual`: computed."""

    path: str
    segments: tuple[Segment, ...]
    kind: Kind
    options: tuple[str, ...] = ()
    map_name: str = ""
    required: bool = False
    virtual: bool = False

    @property
    def general(self) -> bool:
        """Whether it stands for many."""
        return EVERY in self.segments


_VIRTUAL = {
    "cluster_type": Attribute("cluster_type", ("cluster_type",), "text", CLUSTER_TYPES, virtual=True),
    "dbus_per_hour": Attribute("dbus_per_hour", ("dbus_per_hour",), "number", virtual=True),
    LOG_TYPE: Attribute(LOG_TYPE, ("cluster_log_conf", "type"), "text", tuple(LOG_PLACES)),
    LOG_PATH: Attribute(LOG_PATH, ("cluster_log_conf", "path"), "text"),
    LOG_REGION: Attribute(LOG_REGION, ("cluster_log_conf", "region"), "text"),
}


class UnknownAttribute(Exception):
    """No attribute has this path; the message says where it leaves the known ones, and what is known there."""


@cache
def find(path: str) -> Attribute:
    """The attribute of a path. Raises UnknownAttribute."""
    if path in _VIRTUAL:
        return _VIRTUAL[path]
    return _find(path, path.split("."), ClusterSpec, ())


def _find(path: str, ahead: list[str], shape: Any, passed: tuple[Segment, ...]) -> Attribute:
    shape = _plain(shape)
    origin = typing.get_origin(shape)
    if not ahead:
        kind, options = _kind(shape)
        return Attribute(path, passed, kind, options, required=passed == ("spark_version",))
    name, rest = ahead[0], ahead[1:]
    if origin is dict:
        key = ".".join(ahead)
        if not key:
            raise UnknownAttribute(f"a key must follow {_said(passed)}.")
        if EVERY in key and key != EVERY:
            raise UnknownAttribute(f"after {_said(passed)}. stands one key, or * for every key")
        return Attribute(path, (*passed, key), "text", map_name=str(passed[-1]))
    if origin is list:
        if name != EVERY and not (name.isascii() and name.isdigit() and len(name) <= 4):
            raise UnknownAttribute(f"after {_said(passed)}. stands the index of an entry, or * for every entry")
        return _find(path, rest, typing.get_args(shape)[0], (*passed, EVERY if name == EVERY else int(name)))
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        fields = typing.get_type_hints(shape)
        if name in fields:
            return _find(path, rest, fields[name], (*passed, name))
        known = ", ".join(sorted(fields))
        if not passed:
            raise UnknownAttribute("clusters have no such attribute; see clusters/create, cluster_type and dbus_per_hour")
        raise UnknownAttribute(f"{_said(passed)} has {known}")
    raise UnknownAttribute(f"{_said(passed)} has no parts")


def _plain(shape: Any) -> Any:
    if typing.get_origin(shape) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(shape) if part is not type(None))
    return shape


def _kind(shape: Any) -> tuple[Kind, tuple[str, ...]]:
    origin = typing.get_origin(shape)
    if origin is Literal:
        return "text", typing.get_args(shape)
    if origin is dict:
        return "map", ()
    if origin is list:
        return "list", ()
    if shape is bool:
        return "truth", ()
    if shape in (int, float):
        return "number", ()
    return ("text", ()) if shape is str else ("object", ())


def _said(segments: tuple[Segment, ...]) -> str:
    return ".".join(map(str, segments))


def same(value: Any, kind: Kind) -> Any:
    """A value as the attribute has it, so that values can be compared: 4 and "4" are the same number, true and "true" the same
    text. Raises ValueError for one that cannot be such a value."""
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError
        return int(number) if number == int(number) else number
    if kind == "truth":
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise ValueError
    if kind == "text" and isinstance(value, str | bool | int | float):
        return text(value)
    raise ValueError


def text(value: Any) -> str:
    """A value as messages show it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def absent(value: Any, in_map: bool = False) -> bool:
    """Whether a wish says nothing with this value; the empty text is a value only of maps."""
    return value is None or (value in ("", {}, []) and not in_map and not isinstance(value, bool | int | float))


def read(document: Any, segments: tuple[Segment, ...]) -> Any:
    """The value at a place of a wish; None without one."""
    for segment in segments:
        if isinstance(segment, int):
            if not isinstance(document, list) or segment >= len(document):
                return None
            document = document[segment]
        elif isinstance(document, dict):
            document = document.get(segment)
        else:
            return None
    return document


def write(document: dict[str, Any], segments: tuple[Segment, ...], value: Any) -> bool:
    """Put a value at a place of a wish, making what is missing on the way. False where it does not fit: an entry of a list that
    would leave a gap before it, or that is of another kind already."""
    here: Any = document
    for segment, following in zip(segments, (*segments[1:], None), strict=True):
        if isinstance(segment, int):
            if not isinstance(here, list) or segment > len(here):
                return False
            if segment == len(here):
                here.append({} if isinstance(following, str) else None)
            elif isinstance(following, str) and here[segment] and following not in here[segment]:
                return False
            if following is None:
                here[segment] = value
            here = here[segment]
            continue
        if following is None:
            here[segment] = value
        else:
            if absent(here.get(segment)):
                here[segment] = [] if isinstance(following, int) else {}
            here = here[segment]
    return True


def remove(document: dict[str, Any], segments: tuple[Segment, ...]) -> None:
    """Take the value at a place out of a wish, and whatever is empty because of it."""
    *before, last = segments
    parent = read(document, tuple(before)) if before else document
    if isinstance(parent, dict) and isinstance(last, str):
        parent.pop(last, None)
    elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
        del parent[last]
    if before and parent in ({}, []):
        remove(document, tuple(before))
