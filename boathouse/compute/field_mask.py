"""Part of a document put in the place of the same part of another one, by a mask of field paths (AIP-161); pure.

`docker_image.url,num_workers` takes these two; a field that the mask names and the new document leaves out is cleared. Maps and
lists go whole. `*` takes everything. Used by `clusters/update`.
"""

import copy
import typing
from types import UnionType
from typing import Any

import msgspec


class BadMask(ValueError):
    """The mask cannot be followed; the message names the field and what is allowed."""


def merge(old: dict[str, Any], new: dict[str, Any], mask: str, shape: type[msgspec.Struct]) -> dict[str, Any]:
    """`old` with what `mask` names taken from `new`; `shape` tells which fields there are. Raises BadMask."""
    if mask == "*":
        return copy.deepcopy(new)
    if not mask:
        raise BadMask("update_mask: is empty; name the fields to change, separated by commas, or give *")
    merged = copy.deepcopy(old)
    for path in dict.fromkeys(mask.split(",")):  # named twice: once is enough, and a mask of a megabyte has few names
        _take(merged, new, path, _steps(path, shape))
    return merged


def _steps(path: str, shape: Any) -> list[str]:
    steps = path.split(".")
    here: Any = shape
    for number, step in enumerate(steps):
        if not (isinstance(here, type) and issubclass(here, msgspec.Struct)):
            whole = ".".join(steps[:number])
            raise BadMask(f"update_mask: {path[:100]!r} goes into {whole}, which can only be changed whole; give {whole}")
        hints = typing.get_type_hints(here)
        fields = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(here)}
        if step not in fields:
            raise BadMask(f"update_mask: there is no field {path[:100]!r}. Allowed here: {', '.join(sorted(fields))}")
        here = _plain(fields[step])
    return steps


def _take(merged: dict[str, Any], new: dict[str, Any], path: str, steps: list[str]) -> None:
    source: Any = new
    for step in steps:
        source = source.get(step) if isinstance(source, dict) else None
    target = merged
    for step in steps[:-1]:
        inner = target.get(step)
        if not isinstance(inner, dict):
            if source is None:
                return
            inner = target[step] = {}
        target = inner
    if source is None:
        target.pop(steps[-1], None)
    else:
        target[steps[-1]] = copy.deepcopy(source)


def _plain(kind: Any) -> Any:
    """`T` of `T | None`."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return options[0] if len(options) == 1 else kind
    return kind
