"""From bytes to an endpoint's arguments, strictly: a refusal names the field, the value and what is allowed."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from boathouse.edge.errors import ApiError, invalid, malformed


class Arguments(msgspec.Struct, frozen=True):
    """What a function asks for. `body` and `query` are types to decode into; `path` the names and types from the path."""

    ctx: bool
    body: Any
    body_optional: bool
    query: Any
    raw: bool
    form: bool
    stream: bool
    path: tuple[tuple[str, type], ...]
    is_async: bool
    decoder: msgspec.json.Decoder[Any] | None


def arguments_of(function: Callable[..., Any], path: str) -> Arguments:
    """Read a function's signature. Raises TypeError for a parameter that neither the kit nor the path provides."""
    hints = typing.get_type_hints(function)
    names = set(re.findall(r"\{(\w+)\}", path))
    parameters = inspect.signature(function).parameters
    in_path: list[tuple[str, type]] = []
    for name in parameters:
        if name in ("ctx", "body", "query", "raw", "form", "stream"):
            continue
        if name not in names:
            raise TypeError(f"{function.__qualname__}: parameter {name!r} is not in the path {path}")
        in_path.append((name, hints.get(name, str)))
    body = hints.get("body")
    return Arguments(
        ctx="ctx" in parameters,
        body=body,
        body_optional="body" in parameters and parameters["body"].default is not inspect.Parameter.empty,
        query=hints.get("query"),
        raw="raw" in parameters,
        form="form" in parameters,
        stream="stream" in parameters,
        path=tuple(in_path),
        is_async=inspect.iscoroutinefunction(function),
        decoder=msgspec.json.Decoder(body) if body is not None else None,
    )


def decode_body(arguments: Arguments, raw: bytes) -> Any:
    """The JSON body as the endpoint's type. Raises ApiError 400: MALFORMED_REQUEST when it is no JSON, INVALID_PARAMETER_VALUE
    naming the field otherwise."""
    assert arguments.decoder is not None
    return _decode(arguments.decoder, arguments.body, raw)


def decode_json(shape: Any, raw: bytes) -> Any:
    """As `decode_body`, for an endpoint that reads its body itself."""
    return _decode(msgspec.json.Decoder(shape), shape, raw)


def convert_form(shape: Any, fields: Mapping[str, Any]) -> Any:
    """The fields of a form as `shape`; texts become numbers and truth values where it wants them. Raises as `decode_body`."""
    try:
        return msgspec.convert(dict(fields), shape, strict=False)
    except msgspec.ValidationError as error:
        raise field_error(str(error), dict(fields), shape) from None


def _decode(decoder: msgspec.json.Decoder[Any], shape: Any, raw: bytes) -> Any:
    try:
        made = decoder.decode(raw or b"{}")
    except msgspec.ValidationError as error:
        raise field_error(str(error), raw, shape) from None
    except RecursionError:
        raise malformed("The request body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(f"The request body is not valid JSON: {error}") from None
    if _LONG_NUMBER.search(raw):
        _within_64_bits(made, "field")
    return made


def decode_query(shape: Any, query: str) -> Any:
    """Query parameters as `shape`: dots nest (`filter_by.cluster_states=RUNNING`), repeated keys make lists, unknown
    parameters are ignored, as the platform does."""
    known = _tree_of(shape)
    document: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise malformed(f"The query is not readable: {error}") from None
    for key, value in pairs:
        _place(document, known, key.split("."), value)
    try:
        made = msgspec.convert(document, shape, strict=False)
    except msgspec.ValidationError as error:
        raise field_error(str(error), document, shape, "query parameter") from None
    if _LONG_NUMBER.search(query.encode(errors="replace")):
        _within_64_bits(made, "query parameter")
    return made


#: In what lacks this, no integer can be longer than the API's, which have 64 bits.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def _within_64_bits(made: Any, what: str) -> None:
    """Raises ApiError 400, naming the field: the store could hold no such number."""
    for path, number in _integers(msgspec.to_builtins(made), ""):
        if not -(1 << 63) <= number < 1 << 63:
            raise invalid(f"Invalid value for {what} '{path}': {str(number)[:50]}. Give an integer of at most 64 bits.")


def _integers(document: Any, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(document, int):
        yield path, document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from _integers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(document, list | tuple):
        for index, value in enumerate(document):
            yield from _integers(value, f"{path}[{index}]")


def decode_path(name: str, kind: type, value: str) -> Any:
    """A path parameter; integers only where the function asks for one."""
    if kind is int:
        if not re.fullmatch(r"-?[0-9]{1,19}", value) or not -(1 << 63) <= int(value) < 1 << 63:
            raise invalid(f"{name}: '{value[:100]}' is not an integer")
        return int(value)
    return value


@cache
def _fields(shape: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(shape)
    return {f.encode_name: hints[f.name] for f in msgspec.structs.fields(shape)}


def _plain(kind: Any) -> Any:
    """`T` of `T | None`."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        options = [a for a in typing.get_args(kind) if a is not type(None) and a is not msgspec.UnsetType]
        return options[0] if len(options) == 1 else kind
    return kind


@cache
def _tree_of(shape: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, kind in _fields(shape).items():
        plain = _plain(kind)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            tree[name] = _tree_of(plain)
        else:
            tree[name] = list if typing.get_origin(plain) in (list, tuple) else None
    return tree


def _place(document: dict[str, Any], known: Mapping[str, Any], path: list[str], value: str) -> None:
    head, rest = path[0], path[1:]
    if head not in known:
        return
    kind = known[head]
    if isinstance(kind, dict):
        if rest:
            _place(document.setdefault(head, {}), kind, rest, value)
    elif kind is list:
        document.setdefault(head, []).append(value)
    else:
        document[head] = value


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.S)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


def field_error(text: str, source: Any, shape: Any, what: str = "field") -> ApiError:
    """Say a validation error of msgspec in the platform's words, with the value and what is allowed there."""
    match = _AT.match(text)
    assert match is not None
    problem, path = match["what"], (match["path"] or "$").removeprefix("$").lstrip(".")
    if unknown := _UNKNOWN.match(problem):
        name = f"{path}.{unknown['name']}" if path else unknown["name"]
        allowed = _names_at(shape, path)
        return invalid(f"Unknown {what} '{name}'. Allowed here: {', '.join(sorted(allowed)) or 'nothing'}.")
    if missing := _MISSING.match(problem):
        name = f"{path}.{missing['name']}" if path else missing["name"]
        return invalid(f"Missing required {what} '{name}'.")
    document = source
    if isinstance(source, bytes):
        try:
            document = msgspec.json.decode(source or b"{}")
        except RecursionError:
            return malformed("The request body is nested too deeply.")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return malformed(f"The request body is not valid JSON: {error}")
    value = msgspec.json.encode(_value_at(document, path)).decode()
    if len(value) > 120:
        value = value[:117] + "..."
    options = _options_at(shape, path) if "enum value" in problem else []
    hint = f" Allowed: {', '.join(map(str, options))}." if options else ""
    if not path:
        return malformed(f"The request body must be a JSON object: {problem}.")
    return invalid(f"Invalid value for {what} '{path}': {value}. {problem.rstrip('.')}.{hint}")


def _steps(path: str) -> list[str]:
    return [step for step in re.split(r"\.|(\[[^\]]*\])", path) if step]


def _value_at(document: Any, path: str) -> Any:
    for step in _steps(path):
        if step == "[...]":  # msgspec's path for "some entry of a map": show the whole map
            return document
        if step.startswith("["):
            index = step[1:-1]
            if not index.isdigit() or not isinstance(document, list) or int(index) >= len(document):
                return document
            document = document[int(index)]
        elif isinstance(document, dict) and step in document:
            document = document[step]
        else:
            return document
    return document


def _type_at(shape: Any, path: str) -> Any:
    for step in _steps(path):
        shape = _plain(shape)
        if step.startswith("["):
            args = typing.get_args(shape)
            shape = args[-1] if args else Any
        elif isinstance(shape, type) and issubclass(shape, msgspec.Struct):
            shape = _fields(shape).get(step, Any)
        else:
            return Any
    return _plain(shape)


def _names_at(shape: Any, path: str) -> list[str]:
    there = _type_at(shape, path)
    return list(_fields(there)) if isinstance(there, type) and issubclass(there, msgspec.Struct) else []


def _options_at(shape: Any, path: str) -> list[Any]:
    there = _type_at(shape, path)
    if typing.get_origin(there) is typing.Literal:
        return list(typing.get_args(there))
    if isinstance(there, type) and hasattr(there, "__members__"):
        return [member.value for member in there]  # type: ignore[attr-defined]
    return []
