"""Notebooks in Jupyter's format, `.ipynb`, to a notebook's source and back (pure).

Cells of text become `%md` cells. Results that a file holds are not kept: a notebook here is its source. Old formats (from 3 on)
are upgraded by Jupyter's own library.
"""

import json
import warnings
from typing import Any

from boathouse.workspace.files import notebook_cells
from boathouse.workspace.files.notebook_cells import Cell
from boathouse.workspace.files.notebooks import COMMENTS

_METADATA = "application/vnd.databricks.v1+notebook"
_CELL = "application/vnd.databricks.v1+cell"


class NotJupyter(ValueError):
    """The content is no notebook of Jupyter; the message says why."""


def read(content: bytes, language: str | None = None) -> tuple[str, bytes]:
    """Language and source of a notebook in Jupyter's format. `language`: what it is taken for, whatever it says."""
    notebook = _parsed(content)
    metadata = notebook.get("metadata", {})
    spoken = language or _language(metadata)
    cells = [_read_cell(cell) for cell in notebook.get("cells", [])]
    return spoken, notebook_cells.join(spoken, cells).encode()


def write(language: str, source: bytes, name: str) -> bytes:
    """A notebook's source in Jupyter's format."""
    cells = notebook_cells.split(language, source.decode("utf-8", "replace"))
    document = {
        "cells": [_written_cell(cell) for cell in cells],
        "metadata": {
            _METADATA: {"language": language.lower(), "notebookName": name},
            "language_info": {"name": language.lower()},
        },
        "nbformat": 4,
        "nbformat_minor": 0,
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _parsed(content: bytes) -> Any:
    import nbformat  # Jupyter's library brings many others
    from nbformat.reader import NotJSONError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells without ids are usual
            return nbformat.reads(content.decode(), as_version=4)
    except UnicodeDecodeError:
        raise NotJupyter("it is not UTF-8") from None
    except (NotJSONError, nbformat.ValidationError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise NotJupyter(said) from None


def _language(metadata: Any) -> str:
    known = (
        (metadata.get(_METADATA) or {}).get("language"),
        (metadata.get("language_info") or {}).get("name"),
        (metadata.get("kernelspec") or {}).get("language"),
    )
    spoken = next((str(each).upper() for each in known if each), "PYTHON")
    if spoken not in COMMENTS:
        raise NotJupyter(f"its language is {spoken[:40].lower()}; allowed: {', '.join(sorted(COMMENTS)).lower()}")
    return spoken


def _read_cell(cell: Any) -> Cell:
    text = cell.get("source", "")
    title = ((cell.get("metadata") or {}).get(_CELL) or {}).get("title") or ""
    title = " ".join(str(title).split())
    return Cell(text, title) if cell.get("cell_type") == "code" else Cell(f"%md\n{text}", title)


def _written_cell(cell: Cell) -> dict[str, Any]:
    metadata = {_CELL: {"title": cell.title, "showTitle": True}} if cell.title else {}
    text = cell.markdown
    if text is not None:
        return {"cell_type": "markdown", "metadata": metadata, "source": text.splitlines(keepends=True)}
    source = cell.text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}
