"""How commands print: text for people, one JSON document for programs."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

#: What a terminal obeys, or shows elsewhere than where it is written: control characters but for line ends and tabs, and those
#: that turn the direction of text.
_OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")


def plain(text: str) -> str:
    r"""Text that others wrote (names, logs, messages of images) so that a terminal shows it and obeys nothing in it.

    >>> print(plain("river\x1b]0;mine\x07"))
    river\x1b]0;mine\x07
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def table(rows: Sequence[Sequence[Any]], indent: str = "  ") -> str:
    """Rows in aligned columns."""
    texts = [[plain(str(cell)).replace("\n", "\\n") for cell in row] for row in rows]
    if not texts:
        return ""
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    return "\n".join(
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in texts
    )


def moment(at: int) -> str:
    """Epoch milliseconds as a person reads them, UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def seconds(milliseconds: float) -> str:
    """A duration as a person reads it."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"
