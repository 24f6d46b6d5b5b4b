"""Locks of recipes: their file, what cannot be met, what a build does then, and how they are renewed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.cli import main
from boathouse.images import archive, build, debian, lock, recipe, relock, rootfs, wheels
from boathouse.images.lock import Lock
from boathouse.images.rootfs import BuildError
from boathouse.images.views import open_archive
from tests.images.debian_mirror import Mirror, sha256

A, B = sha256("a"), sha256("b")
_TEXT = st.text("abcz019.+-~:", min_size=1, max_size=12)
_PINS = st.dictionaries(_TEXT, st.tuples(_TEXT, st.sampled_from([A, B])), max_size=4)


@given(_PINS, st.dictionaries(st.sampled_from(["", "15.4", "17.3"]), _PINS.filter(bool)))
def test_a_lock_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, packages: dict, wheels: dict) -> None:
    file = tmp_path_factory.mktemp("lock") / "mine.lock"
    file.write_text(lock.text("mine", Lock(packages, wheels)))
    assert lock.read(file) == Lock(packages, wheels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[packages", "is no TOML"), ("[other]", "other tables"), ("[packages]\nbash = '5'", "packages.bash must be"),
        ("[packages]\nbash = ['5', 'abc']", "must be .version, sha256."), ("packages = 1", "must be"),
        ("wheels = 1", "other tables"),
    ],
)  # fmt: skip
def test_a_malformed_lock_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.toml").write_text('suite = "bookworm"')
    (tmp_path / "mine.lock").write_text(text)
    with pytest.raises(recipe.RecipeError, match=f"recipe mine: .*{words}"):
        recipe.read("mine", tmp_path)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"bash": {"5.2": A}}, []),
        ({"bash": {"5.1": B, "5.2": A}}, []),
        ({"bash": {"5.3": A}}, ["bash 5.2 has vanished (5.3 is there)"]),
        ({}, ["bash 5.2 has vanished (no version is there)"]),
        ({"bash": {"5.2": B}}, [f"bash 5.2 has another SHA-256 ({B[:12]}..., locked is {A[:12]}...)"]),
    ],
)
def test_what_cannot_be_met_is_named(there: dict, said: list[str]) -> None:
    assert lock.unmet({"bash": ("5.2", A)}, there) == said


def test_apt_may_take_the_locked_versions_alone() -> None:
    text = debian.preferences({"bash": "5.2-1", "acl": "2.3"})
    assert text.startswith("Package: *\nPin: release *\nPin-Priority: -1\n\nPackage: acl\nPin: version 2.3\nPin-Priority: 1001\n")


def test_a_locked_build_says_so(mirror: Mirror, tmp_path: Path) -> None:
    archive.save(build.image("python:15.4", tmp_path, locked=True), tmp_path / "image.tar")
    assert dict(open_archive(tmp_path / "image.tar").config.labels)["io.boathouse.lock"] == "met"


def test_a_vanished_version_is_named_and_the_build_goes_on(mirror: Mirror, tmp_path: Path) -> None:
    mirror.move_on("curl")
    said: list[str] = []
    made = build.image("python", tmp_path, said.append)
    notice = next(line for line in said if "not from its lock" in line)
    assert "curl" in notice and "has vanished (99.0-1 is there)" in notice and "--relock minimal" in notice
    assert any("minimal, which it is made from" in line for line in said)
    label = json.loads(made.configuration)["config"]["Labels"]["io.boathouse.lock"]
    assert label.startswith("not met: curl ") and made.references[0] == build.reference("python")
    found = build.cached("python", tmp_path)
    assert found and any("curl" in each for each in found.unmet)


def test_a_locked_build_fails_by_name_and_leaves_the_other(mirror: Mirror, tmp_path: Path) -> None:
    version = mirror.there["curl"]
    mirror.move_on("curl")
    build.image("minimal", tmp_path)
    with pytest.raises(BuildError, match=r"its lock cannot be met: curl .* has vanished .* bases --relock minimal"):
        build.image("minimal", tmp_path, locked=True)
    assert build.cached("minimal", tmp_path)
    mirror.there["curl"] = version
    build.image("minimal", tmp_path, locked=True)
    assert mirror.built == ["minimal", "minimal"]
    found = build.cached("minimal", tmp_path)
    assert found and not found.unmet


def test_wheels_that_changed_are_named(mirror: Mirror, tmp_path: Path) -> None:
    mirror.wheels["numpy"] = ("1.26.4", B)
    with pytest.raises(BuildError, match="PyPI does not have its wheels as locked: no matching distribution for numpy"):
        build.image("standard", tmp_path, locked=True)
    build.image("standard", tmp_path)
    found = build.cached("standard", tmp_path)
    assert found and found.unmet and mirror.wheeled == ["standard"] * 3


def test_wheels_that_cannot_be_had_are_not_replaced(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that differs, or an index that is not there: no reason to take what is not pinned."""
    asked: list[bool] = []

    def tampered(made, directory: Path, progress, pins) -> list[Path]:
        asked.append(bool(pins))
        raise BuildError("PyPI's wheels could not be fetched", "THESE PACKAGES DO NOT MATCH THE HASHES")

    monkeypatch.setattr(wheels, "fetch", tampered)
    with pytest.raises(BuildError, match="could not be fetched"):
        build.image("standard", tmp_path)
    assert asked == [True]


def test_what_is_taken_instead_lands_in_a_folder_of_its_own(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.wheels["numpy"] = ("1.26.4", B)
    folders: list[Path] = []

    def watched(made, directory: Path, progress, pins) -> list[Path]:
        folders.append(directory)
        return mirror.fetch(made, directory, progress, pins)

    monkeypatch.setattr(wheels, "fetch", watched)
    build.image("standard", tmp_path)
    assert len(set(folders)) == len(folders) == 2


def test_what_apt_installed_is_compared_with_the_lock(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disobey(made, parent, target, progress, mirror_url="", preferences="") -> None:
        mirror.build(made, parent, target, progress, mirror_url)

    mirror.there["curl"]["zzz"] = A
    monkeypatch.setattr(rootfs, "build", disobey)
    with pytest.raises(BuildError, match="other packages were installed than its lock names: curl"):
        build.image("minimal", tmp_path)


def test_without_a_lock_a_build_says_so(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = recipe.read
    monkeypatch.setattr(recipe, "read_lock", lambda path: Lock())
    assert not real("minimal").lock.packages
    said: list[str] = []
    build.image("minimal", tmp_path, said.append)
    assert any("minimal has no lock of its packages" in line for line in said)


def write_recipes(folder: Path) -> None:
    (folder / "base.toml").write_text('suite = "bookworm"\npackages = ["bash"]\n[runtimes."15.4"]\n')
    (folder / "snake.toml").write_text(
        'from = "base"\nwheels = ["numpy==2"]\nwheels_python = "3.11"\nwheels_into = "/p/bin/python3"\n'
        '[runtimes."15.4"]\nwheels = ["numpy==1"]\n'
    )
    (folder / "boa.toml").write_text(
        'from = "snake"\nwheels = ["scipy==1"]\nwheels_python = "3.11"\nwheels_into = "/p/bin/python3"\n'
    )


def test_a_renewed_lock_is_met(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipes(tmp_path)
    mirror.there = {"bash": {"5.3": A}}
    mirror.wheels = {"numpy": ("2", B)}
    monkeypatch.setattr(wheels, "pinned", lambda files: {file.name: mirror.wheels[file.name] for file in files})
    written = relock.relock("base", tmp_path / "cache", build.silent, directory=tmp_path)
    assert lock.read(written) == Lock({"bash": ("5.3", A)})
    before = recipe.key(recipe.lineage("snake", tmp_path))
    relock.relock("snake", tmp_path / "cache", build.silent, directory=tmp_path)
    assert recipe.read("snake", tmp_path).lock == Lock({}, {"": {"numpy": ("2", B)}, "15.4": {"numpy": ("2", B)}})
    assert recipe.key(recipe.lineage("snake", tmp_path)) != before
    mirror.wheels |= {"scipy": ("1", A)}
    relock.relock("boa", tmp_path / "cache", build.silent, directory=tmp_path)
    assert recipe.read("boa", tmp_path).lock.wheels == {"": {"scipy": ("1", A)}}, "numpy is its parent's"
    mirror.wheels["numpy"] = ("3", A)
    with pytest.raises(recipe.RecipeError, match=r"numpy 3 \(its parents have 2\)"):
        relock.relock("boa", tmp_path / "cache", build.silent, directory=tmp_path)
    with pytest.raises(recipe.RecipeError, match="for all runtimes of a recipe: give snake"):
        relock.relock("snake:15.4", tmp_path / "cache", build.silent, directory=tmp_path)


def test_what_apt_would_do_is_read() -> None:
    log = "Inst bash (5.2-1 Debian:12/oldstable [amd64])\nInst libc6:amd64 [2.35] (2.36 Debian [amd64]) []\nConf bash (5.2-1 x)\n"
    assert debian.simulated(log) == {"bash": "5.2-1", "libc6": "2.36"}


@pytest.mark.parametrize(
    ("name", "said"), [("pyton", "no recipe 'pyton'"), ("nobash", "nothing to lock"), ("python:15.4", "give python")]
)
def test_the_command_names_what_cannot_be(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert main(["image", "--cache", str(tmp_path), "bases", "--relock", name]) == 1
    assert said in capsys.readouterr().err
