"""A notebook's source as cells, and back (pure).

The form is the platform's: cells stand between lines `# COMMAND ----------`, a cell of another language is commented out line by
line with `# MAGIC`, a cell's title stands in a line `# DBTITLE 1,`; `#` is how comments begin in the notebook's language.
"""

import re

import msgspec

from boathouse.workspace.files.notebooks import COMMENTS, header

#: The magic of cells with text for people.
MARKDOWN = ("%md-sandbox", "%md")


class Cell(msgspec.Struct, frozen=True):
    """One cell. `text` begins with its magic (`%sql`) when it is not in the notebook's language."""

    text: str
    title: str = ""

    @property
    def markdown(self) -> str | None:
        """The text for people, without its magic; None for a cell of code."""
        for magic in MARKDOWN:
            if self.text == magic or self.text.startswith((f"{magic}\n", f"{magic} ")):
                return self.text[len(magic) :].lstrip(" ").removeprefix("\n")
        return None


def split(language: str, source: str) -> list[Cell]:
    """The cells of a notebook's source; an empty notebook has none."""
    comment = COMMENTS[language]
    lines = source.removeprefix("\ufeff").splitlines()
    if lines and lines[0].rstrip().encode() == header(language):
        lines = lines[1:]
    between = re.compile(rf"{re.escape(comment)} COMMAND -{{10}}\s*")
    parts: list[list[str]] = [[]]
    for line in lines:
        if between.fullmatch(line):
            parts.append([])
        else:
            parts[-1].append(line)
    cells = [_cell(comment, part) for part in parts]
    return [] if cells == [Cell("")] else cells


def join(language: str, cells: list[Cell]) -> str:
    """The source of a notebook of these cells."""
    comment = COMMENTS[language]
    parts = ["\n".join(_lines(comment, cell)) for cell in cells]
    return f"{header(language).decode()}\n" + f"\n\n{comment} COMMAND ----------\n\n".join(parts) + "\n"


def _cell(comment: str, lines: list[str]) -> Cell:
    while lines and not lines[0].strip():
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    title = ""
    if lines and (named := re.fullmatch(rf"{re.escape(comment)} DBTITLE \d,(.*)", lines[0])):
        title, lines = named[1], lines[1:]
    magic = f"{comment} MAGIC"
    if lines and all(line == magic or line.startswith(f"{magic} ") for line in lines):
        lines = [line.removeprefix(magic).removeprefix(" ") for line in lines]
    return Cell("\n".join(lines), title)


def _lines(comment: str, cell: Cell) -> list[str]:
    lines = cell.text.splitlines()
    if cell.text.startswith("%"):
        lines = [f"{comment} MAGIC {line}".rstrip() for line in lines]
    return [*([f"{comment} DBTITLE 1,{cell.title}"] if cell.title else []), *lines]
