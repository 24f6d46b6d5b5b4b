"""Patterns of policies: regular expressions of admins over texts of users, neither of whom may hold up the server. Pure.

Python's own matching has no end in time, so `regex` does it, with a limit for all matches of one question together. What that
library would spell out when it compiles (a repetition of a repetition) is bounded before it sees the pattern.
"""

import importlib
import re
import time
from dataclasses import dataclass
from typing import Any

#: Parts that a pattern may have with its repetitions written out.
LARGEST = 20_000

#: Seconds that all matches of one question may take together.
SECONDS = 1.0


class BadPattern(Exception):
    """A text that is no pattern, or one that is too large; the message says why."""


class OutOfPatience(Exception):
    """A value could not be matched in the time that there was."""


@dataclass
class Patience:
    """The seconds that are left."""

    seconds: float = SECONDS


def compiled(pattern: str) -> Any:
    """The expression of a pattern. Raises BadPattern."""
    import regex  # not needed before the first pattern

    try:
        size = _size(importlib.import_module("re._parser").parse(pattern))
        re.compile(pattern)
        if size > LARGEST:
            raise BadPattern(f"its repetitions come to {size} parts; at most {LARGEST} are allowed")
        return regex.compile(pattern)
    except (re.error, regex.error, OverflowError) as error:
        raise BadPattern(str(error)) from None
    except (RecursionError, MemoryError):
        raise BadPattern("it is nested too deeply") from None


def fits(expression: Any, value: str, patience: Patience) -> bool:
    """Whether the whole value matches. Raises OutOfPatience."""
    if patience.seconds <= 0:
        raise OutOfPatience
    began = time.monotonic()
    try:
        return expression.fullmatch(value, timeout=patience.seconds, concurrent=True) is not None
    except (TimeoutError, MemoryError):
        patience.seconds = 0.0
        raise OutOfPatience from None
    finally:
        patience.seconds -= time.monotonic() - began


def _size(parsed: Any) -> int:
    """How many parts a parsed pattern has when each repetition is written out."""
    total = 0
    for operator, operand in parsed:
        if str(operator).endswith("REPEAT"):  # greedy, lazy, possessive: (least, most, what)
            least, most, what = operand
            times = most if most < int(importlib.import_module("re._constants").MAXREPEAT) else max(least, 1)
            total += times * _size(what)
        else:
            total += 1 + sum(_size(inner) for inner in _inner(operand))
        if total > 1 << 40:
            return total
    return total


def _inner(operand: Any) -> list[Any]:
    """The parsed patterns within an operand: groups, branches, look-arounds."""
    if type(operand).__name__ == "SubPattern":
        return [operand]
    if isinstance(operand, tuple | list):
        return [found for each in operand for found in _inner(each)]
    return []
