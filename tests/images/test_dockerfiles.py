"""Dockerfiles of the bases on Ubuntu: each runtime's arguments, and what Databricks' own images promise."""

import re

import pytest

from boathouse.cli import main
from boathouse.images import dockerfiles
from boathouse.releases.runtimes import RUNTIMES


@pytest.mark.parametrize("name", dockerfiles.names())
def test_each_is_one_whole_dockerfile(name: str) -> None:
    text = dockerfiles.text(name)
    assert text.count("\nFROM ") == 1 and text.startswith("ARG BASE=")
    used, given = set(re.findall(r"\$\{(\w+)\}", text)), set(re.findall(r"^ARG (\w+)=", text, re.MULTILINE))
    assert used <= given and "pyspark" not in text.replace("No pyspark", "")
    runtime = name.partition(":")[2]
    known = next((each for each in RUNTIMES if runtime and each.key.startswith(f"{runtime}.x-")), None)
    if known and "PYTHON=" in text:
        assert f'ARG PYTHON="{known.python_minor}"' in text
        assert ("ubuntu22.04" if runtime < "16" else "ubuntu24.04") in text.replace("ubuntu:", "ubuntu")


def test_the_newest_runtime_without_one() -> None:
    assert dockerfiles.text("python") == dockerfiles.text("python:17.3")
    assert "FROM ${BASE}" in dockerfiles.text("gpu:14.3") and "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04" in dockerfiles.text(
        "gpu:14.3"
    )


def test_what_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "dockerfile", "python:15.4"]) == 0
    assert capsys.readouterr().out == dockerfiles.text("python:15.4")
    for name in ("pyton", "python:9.1", "alpine:15.4"):
        assert main(["image", "dockerfile", name]) == 1
        assert "there are: minimal:17.3" in capsys.readouterr().err
