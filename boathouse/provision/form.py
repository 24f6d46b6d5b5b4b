"""A document as a struct, with every mistake in it named, not the first one alone. Pure.

What is wrong is left out of the struct, so that the rest can still be looked at: nothing is done with a file that has a mistake.
"""

import difflib
import re
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec


class Missing:
    """Stands for a required field that is missing or wrong."""


def converted(value: Any, kind: Any, wrong: Callable[[str, str], None], path: str = "$") -> Any:
    """`value` as `kind` (a struct, a list of them, or anything msgspec knows); `Missing` where it cannot be. `wrong` is told the
    path and what is wrong, for each mistake."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct) and isinstance(value, dict):
        return _struct(value, bare, wrong, path)
    if get_origin(bare) is list and isinstance(value, list) and _has_structs(get_args(bare)[0]):
        items = [converted(item, get_args(bare)[0], wrong, f"{path}[{number}]") for number, item in enumerate(value)]
        return [item for item in items if item is not Missing]
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, inner = str(error).partition(" - at `$")
        wrong(path + inner.rstrip("`"), what)
        return Missing


def _has_structs(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _struct(value: dict[str, Any], kind: type[msgspec.Struct], wrong: Callable[[str, str], None], path: str) -> Any:
    kinds = get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in kinds:
            wrong(path, f"Object contains unknown field `{name}`{meant(name, kinds)}")
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in value:
            given[field.name] = converted(value[field.name], kinds[field.name], wrong, f"{path}.{field.name}")
            if given[field.name] is Missing and not field.required:
                del given[field.name]
        elif field.required:
            wrong(path, f"Object missing required field `{field.name}`")
            given[field.name] = Missing
    if path == "$" or Missing not in given.values():
        return kind(**given)
    return Missing


def meant(word: str, known: Any) -> str:
    """`; did you mean x?`, where something known is near."""
    near = difflib.get_close_matches(re.sub(r"[\s-]+", "_", word), list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
