"""The errors that the daemon answers with, and the checks of what the control plane asks for. Pure."""

from __future__ import annotations

import re

TYPE_CHECKING = False  # `typing` would cost the daemon's start 4 ms
if TYPE_CHECKING:
    from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_REQUIRED = object()


class Fault(Exception):
    """A request that cannot be served: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def field(params: dict, name: str, kind, default: object = _REQUIRED) -> Any:
    """The value of a field, of that type (bool is no int); Fault `bad_params` that names the field otherwise."""
    value = params.get(name)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Fault("bad_params", f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def named(params: dict, name: str, pattern=NAME, default: object = _REQUIRED) -> Any:
    """A text field that must match `pattern`."""
    value = field(params, name, str, default)
    if isinstance(value, str) and not pattern.match(value):
        raise Fault("bad_params", f"{name}: {value[:200]!r} does not match {pattern.pattern}")
    return value


def texts(params: dict, name: str) -> list:
    """A list of strings without NUL."""
    values = field(params, name, list)
    for value in values:
        if not isinstance(value, str) or "\0" in value:
            raise Fault("bad_params", f"{name}: expected strings without NUL")
    return values
