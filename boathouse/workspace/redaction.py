"""Known secret values do not leave in results, nor in the reasons of a failed launch: each is replaced with `[REDACTED]`. Pure.

A safety net against printing a secret by mistake, as on the platform; whoever is allowed to read a secret and wants it out can
encode it. Values shorter than `SHORTEST` are left: replacing every `1` would make results useless and hide nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "[REDACTED]"
SHORTEST = 3


class Redaction:
    """Knows the values once, then redacts many documents."""

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {each for value in values if len(value) >= SHORTEST for each in _spellings(value)}
        # The longest first: a value that contains another one disappears whole.
        ordered = sorted(spellings, key=lambda each: (-len(each), each))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """
        >>> Redaction({"s3cret", "s3cret-long"}).text("a s3cret-long b s3cret")
        'a [REDACTED] b [REDACTED]'
        """
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def document(self, value: Any) -> Any:
        """`value` (JSON-like) with every text, name and number in it redacted."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.document(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.document(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._pattern.search(str(value)):
            return REDACTED
        return value


def _spellings(value: str) -> Iterable[str]:
    """How a value looks when printed, in a Python repr and in JSON; and each of its longer lines, when it has several."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 8)
    stripped = value.strip()
    if len(stripped) >= SHORTEST:
        yield stripped
