"""SCIM filters and their meaning (RFC 7644 3.4.2.2), as far as tools use them: `eq ne co sw ew pr`, `and`, `or`,
`not`, brackets. Pure.

Attributes are compared as text without regard to case, as SCIM's attributes are by default.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Filter = Callable[[Mapping[str, Any]], bool]

#: How deep brackets may nest.
DEEPEST = 20

_TOKEN = re.compile(r"\s*(?:(?P<bracket>[()])|(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<word>[^\s()\"]+))")

_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda here, value: here == value,
    "ne": lambda here, value: here != value,
    "co": lambda here, value: value in here,
    "sw": lambda here, value: here.startswith(value),
    "ew": lambda here, value: here.endswith(value),
}


class BadFilter(Exception):
    """The text is no filter that is served; the message says why."""


def parse(text: str, attributes: Mapping[str, str]) -> Filter:
    """A predicate over rows. `attributes`: SCIM's names to the rows' keys. Raises BadFilter."""
    reader = _Reader(_tokens(text), {name.lower(): key for name, key in attributes.items()})
    made = reader.either(0)
    if reader.rest:
        raise BadFilter(f"unexpected {reader.rest[0]!r}")
    return made


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadFilter(f"cannot read {text[at : at + 40]!r}")
        found.append(match.group().strip())
        at = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[str], attributes: dict[str, str]) -> None:
        self.rest, self.attributes = tokens, attributes

    def _next(self) -> str:
        if not self.rest:
            raise BadFilter("it ends too early")
        return self.rest.pop(0)

    def _ahead(self, word: str) -> bool:
        return bool(self.rest) and self.rest[0].lower() == word

    def either(self, depth: int) -> Filter:
        parts = [self._both(depth)]
        while self._ahead("or"):
            self._next()
            parts.append(self._both(depth))
        return lambda row: any(part(row) for part in parts)

    def _both(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while self._ahead("and"):
            self._next()
            parts.append(self._one(depth))
        return lambda row: all(part(row) for part in parts)

    def _one(self, depth: int) -> Filter:
        if depth > DEEPEST:
            raise BadFilter(f"brackets nest deeper than {DEEPEST}")
        word = self._next()
        if word.lower() == "not":
            inner = self._one(depth + 1)
            return lambda row: not inner(row)
        if word == "(":
            inner = self.either(depth + 1)
            if self._next() != ")":
                raise BadFilter("a bracket is not closed")
            return inner
        key = self.attributes.get(word.lower())
        if key is None:
            raise BadFilter(f"no attribute {word[:60]!r}; allowed: {', '.join(sorted(self.attributes))}")
        operator = self._next().lower()
        if operator == "pr":
            return lambda row: row[key] not in (None, "")
        compare = _OPERATORS.get(operator)
        if compare is None:
            raise BadFilter(f"no operator {operator[:20]!r}; allowed: {', '.join(_OPERATORS)}, pr")
        value = _value(self._next())
        return lambda row: compare(_text(row[key]), value)


def _value(token: str) -> str:
    if token.startswith('"'):
        return re.sub(r"\\(.)", r"\1", token[1:-1]).casefold()
    if re.fullmatch(r"true|false|null|-?\d+", token, re.IGNORECASE):
        return "" if token.lower() == "null" else token.casefold()
    raise BadFilter(f"{token[:60]!r} is not a value: texts stand in double quotes")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).casefold()
