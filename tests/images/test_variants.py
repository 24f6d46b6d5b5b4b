"""Images for each runtime: their names, what they share, and the commands that list and begin with them."""

import json
from pathlib import Path

import pytest

from boathouse.cli import main
from boathouse.images import build, recipe, starter_kit
from boathouse.releases.runtimes import RUNTIMES
from tests.images.debian_mirror import Mirror

LTS = ("17.3", "16.4", "15.4", "14.3", "13.3")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("python", ("python", "")), ("python:15.4", ("python", "15.4")), ("python:slim", ("python-slim", "")),
        ("python:15.4-slim", ("python-slim", "15.4")),
    ],
)  # fmt: skip
def test_names_mean_a_recipe_and_a_runtime(name: str, parts: tuple[str, str]) -> None:
    assert recipe.parts(name) == parts and recipe.shown(*parts) == name


def test_every_long_term_runtime_has_every_base() -> None:
    served = [runtime.key.partition(".x")[0] for runtime in RUNTIMES if "LTS" in runtime.name]
    assert tuple(dict.fromkeys(served)) == LTS
    wanted = {f"{name}:{runtime}" for name in ("minimal", "python", "standard", "r", "gpu") for runtime in LTS}
    wanted |= {f"{name}:{runtime}-slim" for name in ("minimal", "python") for runtime in LTS}
    assert wanted | {"alpine", "minimal", "python", "standard", "r", "gpu"} <= set(recipe.names())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:9.1", "not offered for runtime '9.1'; there are: python:17.3, python:16.4"),
        ("ml:15.4", "'ml' is not offered for runtime '15.4'; there are: ml"),
        ("standard:15.4-slim", "there is no recipe 'standard:slim'"),
    ],
)
def test_what_is_not_offered_is_named(name: str, said: str) -> None:
    with pytest.raises(recipe.RecipeError) as refused:
        recipe.lineage(name)
    assert said in str(refused.value)


def test_images_for_runtimes_share_all_but_a_layer_of_wheels(mirror: Mirror, tmp_path: Path) -> None:
    made = {name: build.image(name, tmp_path) for name in ("standard:17.3", "standard:13.3", "python:17.3", "standard")}
    assert mirror.built == ["minimal", "python", "standard"]
    newest, oldest = made["standard:17.3"].layers, made["standard:13.3"].layers
    assert newest[:3] == oldest[:3] and newest[3] != oldest[3] and len(newest) == 4
    assert made["python:17.3"].layers == (*newest[:2], newest[3])
    assert len({image.references for image in made.values()}) == 4
    assert made["standard:13.3"].references[1] == "localhost/boathouse/standard:13.3"
    assert made["standard"].references[1] == "localhost/boathouse/standard:latest"


def test_the_environment_of_a_runtime(mirror: Mirror, tmp_path: Path) -> None:
    def environment(name: str) -> list[str]:
        return json.loads(build.image(name, tmp_path).configuration)["config"]["Env"]

    assert "OPENSSL_FORCE_FIPS_MODE=0" in environment("minimal:16.4")
    assert "OPENSSL_FORCE_FIPS_MODE=0" not in environment("minimal:15.4")
    assert "CUDA_VERSION=11.8.89" in environment("gpu:14.3")


def test_bases_are_listed(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.image("python:15.4-slim", tmp_path)
    mirror.move_on("curl")
    build.image("minimal", tmp_path)
    command = ["image", "--cache", str(tmp_path), "list-bases"]
    assert main(["image", "--output", "json", *command[1:]]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    slim = listed["python:15.4-slim"]
    assert slim["built"] and slim["unmet"] == [] and slim["digest"].startswith("sha256:") and slim["mb"] > 0
    assert slim["reference"] == "localhost/boathouse/python:15.4-slim" and slim["runtime"] == "15.4"
    assert listed["minimal"]["unmet"] and not listed["r:13.3"]["built"] and "daemon" not in listed and "nobash" not in listed
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "python:15.4-slim" in printed and "not built" in printed and "lock not met" in printed
    assert main([*command, "--markdown"]) == 0
    assert "| `python:15.4-slim` |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("base", "reference", "runtime", "apt"),
    [
        ("python:15.4", "localhost/boathouse/python:15.4", "15.4.x-scala2.12", True),
        ("python:16.4-slim", "localhost/boathouse/python:16.4-slim", "16.4.x-scala2.13", False),
        ("standard", "localhost/boathouse/standard:latest", "17.3.x-scala2.13", True),
        ("python:15.4-LTS", "databricksruntime/python:15.4-LTS", "17.3.x-scala2.13", True),
    ],
)
def test_a_folder_begins_with_a_base_for_its_runtime(tmp_path: Path, base: str, reference: str, runtime: str, apt: bool) -> None:
    assert main(["image", "init", str(tmp_path / "mine"), "--base", base]) == 0
    dockerfile = (tmp_path / "mine" / "Dockerfile").read_text()
    assert f"ARG BASE={reference}\n" in dockerfile and ("apt-get" in dockerfile) == apt
    assert f"--runtime {runtime}" in (tmp_path / "mine" / "README.md").read_text()


@pytest.mark.parametrize("base", ["alpine", "daemon", "minimal:15.4-slim"])
def test_a_base_on_which_nothing_can_be_installed_is_refused(base: str) -> None:
    with pytest.raises(starter_kit.CannotBegin, match="neither apt nor pip"):
        starter_kit.reference_of(base)
