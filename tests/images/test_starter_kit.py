"""The folder that an own image begins with."""

import re
from pathlib import Path

import pytest
import yaml

from boathouse.cli import main
from boathouse.images import references, starter_kit


@pytest.mark.parametrize(
    ("base", "reference"),
    [
        ("python", "localhost/boathouse/python:latest"), ("minimal", "localhost/boathouse/minimal:latest"),
        ("python:15.4-LTS", "databricksruntime/python:15.4-LTS"), ("ghcr.io/team/base:3", "ghcr.io/team/base:3"),
        ("ubuntu:22.04", "docker.io/library/ubuntu:22.04"),
    ],
)  # fmt: skip
def test_the_folder_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str, reference: str) -> None:
    assert main(["image", "init", str(tmp_path / "my-image"), "--base", base]) == 0
    folder = tmp_path / "my-image"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(starter_kit.FILES)
    dockerfile = (folder / "Dockerfile").read_text()
    assert f"ARG BASE={reference}\nFROM ${{BASE}}\n" in dockerfile and ("virtualenv" in dockerfile) == (
        base in ("minimal", "ubuntu:22.04")
    )
    named = re.search(r"-t (\S+)", dockerfile)
    assert named is not None and references.parse(named[1])
    workflow = yaml.safe_load((folder / ".github/workflows/image.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    ours = reference.startswith("localhost/")  # no registry has it: the workflow builds it, and "Next" says so
    assert [step for step in steps if step.get("run") == f"boathouse image build {base}"] == [
        {"run": f"boathouse image build {base}"}
    ] * ours
    assert (f"Next: boathouse image build {base} && boathouse image build " in capsys.readouterr().out) == ours
    assert workflow["env"]["BOATHOUSE"] == "${{ vars.BOATHOUSE }}" and not any("install boathouse" in str(step) for step in steps)
    assert any("image check image.tar --runtime 17.3.x-scala2.13 --github" in step.get("run", "") for step in steps)
    assert "{{secrets/SCOPE/KEY}}" in (folder / "README.md").read_text()


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    assert main(["image", "init", str(folder)]) == 1
    assert "has already: Dockerfile; nothing was written" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["Dockerfile"]


@pytest.mark.parametrize(("name", "base", "said"), [
    ("My Image", "python", "my image"), ("mine", "pyton", "no base 'pyton'"), ("mine", "python:15.5", "no base 'python:15.5'"),
    ("mine", "alpine:3.20", "nothing can be installed on 'alpine:3.20'"),
])  # fmt: skip
def test_what_cannot_be_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, base: str, said: str) -> None:
    assert main(["image", "init", str(tmp_path / name), "--base", base]) == 1
    assert said in capsys.readouterr().err.lower()


def test_an_unknown_runtime_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "init", str(tmp_path / "mine"), "--runtime", "zz"]) == 1
    assert "no runtime 'zz'; there are: 18.0" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
