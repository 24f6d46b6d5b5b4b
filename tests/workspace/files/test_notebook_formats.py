"""Notebooks as Jupyter's files and as pages."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boathouse.workspace.files import jupyter, notebook_page
from boathouse.workspace.files.notebook_cells import Cell, join, split
from boathouse.workspace.files.notebooks import COMMENTS
from tests.workspace.files.test_objects import exported, put, refused, status


@pytest.fixture
def api(api_of):
    return api_of("boathouse.workspace.files.objects")


SOURCE = """# Databricks notebook source
# MAGIC %md
# MAGIC # Rivers
# MAGIC
# MAGIC <script>alert(1)</script>

# COMMAND ----------

# DBTITLE 1,How many
x = 1 < 2
print(x)

# COMMAND ----------

# MAGIC %sql
# MAGIC SELECT 1
"""
CELLS = [
    Cell("%md\n# Rivers\n\n<script>alert(1)</script>"), Cell("x = 1 < 2\nprint(x)", "How many"), Cell("%sql\nSELECT 1"),
]  # fmt: skip


def test_a_source_is_cells():
    assert split("PYTHON", SOURCE) == CELLS
    assert join("PYTHON", CELLS) == SOURCE
    assert split("PYTHON", "") == split("PYTHON", "# Databricks notebook source\n") == []
    assert split("SCALA", "1\n\n// COMMAND ----------\n\n// MAGIC %py\n// MAGIC 2") == [Cell("1"), Cell("%py\n2")]
    assert [cell.markdown for cell in CELLS] == ["# Rivers\n\n<script>alert(1)</script>", None, None]


words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)
lines = st.lists(words, min_size=1, max_size=4).map("\n".join).map(str.strip)


@settings(deadline=None)
@given(st.sampled_from(sorted(COMMENTS)), st.lists(lines.filter(bool), min_size=1, max_size=4))
def test_cells_survive_source_and_jupyter(language, texts):
    if any("MAGIC" in text or "COMMAND" in text or "DBTITLE" in text or " \n" in text for text in texts):
        return
    cells = [Cell(text.replace("%", "percent")) for text in texts]
    source = join(language, cells)
    assert split(language, source) == cells
    assert jupyter.read(jupyter.write(language, source.encode(), "n")) == (language, source.encode())


def test_jupyter_keeps_text_code_and_titles():
    written = json.loads(jupyter.write("PYTHON", SOURCE.encode(), "rivers"))
    assert [cell["cell_type"] for cell in written["cells"]] == ["markdown", "code", "code"]
    assert "".join(written["cells"][1]["source"]) == "x = 1 < 2\nprint(x)"
    assert (written["nbformat"], written["metadata"]["language_info"]) == (4, {"name": "python"})
    assert jupyter.read(json.dumps(written).encode()) == ("PYTHON", SOURCE.encode())


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "JSON"), (b"[]", ""), (b"{}", ""), (b"\xff", "UTF-8"), (b'{"nbformat": 99, "cells": []}', ""), (b"[" * 100_000, ""),
        (b'{"nbformat": 4, "nbformat_minor": 0, "metadata": {"language_info": {"name": "julia"}}, "cells": []}', "julia"),
        (b'{"nbformat": 4, "nbformat_minor": 0, "metadata": 7, "cells": 7}', ""),
    ],
)  # fmt: skip
def test_what_is_no_notebook_is_refused(api, content, word):
    answer = put(api, "/Shared/x", content, format="JUPYTER")
    assert refused(answer)[:2] == (400, "INVALID_PARAMETER_VALUE") and word in answer.json()["message"]
    assert status(api, "/Shared/x").status_code == 404


def test_a_page_shows_and_obeys_nothing():
    page = notebook_page.page("<rivers>", "PYTHON", SOURCE.encode()).decode()
    assert "<h1>Rivers</h1>" in page and "x = 1 &lt; 2" in page and "How many" in page and "%sql\nSELECT 1" in page
    assert "<script" not in page and "<rivers>" not in page


def test_over_the_api(api):
    content = jupyter.write("SQL", b"-- Databricks notebook source\nSELECT 1\n", "x")
    assert put(api, "/Shared/x.ipynb", content).json() == {}
    assert put(api, "/Shared/y", content, format="JUPYTER").json() == {}
    for path in ("/Shared/x", "/Shared/y"):
        assert status(api, path).json()["language"] == "SQL"
        told = exported(api, path, format="JUPYTER").json()
        assert told["file_type"] == "ipynb"
        assert json.loads(base64.b64decode(told["content"]))["cells"][0]["source"] == ["SELECT 1"]
    assert exported(api, "/Shared/x", format="HTML", direct_download="true").content.startswith(b"<!doctype html>")
    put(api, "/Shared/f")
    assert refused(exported(api, "/Shared/f", format="JUPYTER"))[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert refused(exported(api, "/Shared", format="HTML"))[:2] == (400, "INVALID_PARAMETER_VALUE")
