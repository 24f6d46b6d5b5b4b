"""Releases on disk: found by key, stacked with patches, verified."""

import json
from pathlib import Path

import pytest

from boathouse.releases import Releases, patches
from boathouse.releases.release import ReleaseDamaged, file_digest, ordered_jars, verify

KEY = "17.3.x-scala2.13"


def silent(_: str) -> None:
    """No progress is shown."""


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path / "releases")
    directory = made.root / "abc"
    (directory / "jars").mkdir(parents=True)
    for name in ("boathouse.jar", "x-1.jar", "y-1.jar"):
        (directory / "jars" / name).write_text(name)
    about = {
        "key": KEY,
        "digest": "abc",
        "spark": "4.0.5",
        "scala": "2.13",
        "delta": "4.0.1",
        "java": 17,
        "python": "3.12",
        "connect": True,
        "glibc": "2.34",
        "jars": ["boathouse.jar", "x-1.jar", "y-1.jar"],
        "archive": "cds/spark.jsa",
        "archive_note": "",
    }
    (directory / "RELEASE.json").write_text(json.dumps(about))
    manifest = {f"jars/{name}": file_digest(directory / "jars" / name) for name in about["jars"]}
    (directory / "MANIFEST.json").write_text(json.dumps(manifest))
    made.point(KEY, "abc")
    return made


def patch(tmp_path: Path, files: dict[str, str]) -> Path:
    folder = tmp_path / "patch"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_a_release_is_found_by_its_keys(releases: Releases) -> None:
    assert releases.keys() == [KEY]
    found = releases.get(KEY)
    assert found is not None and found.layers == (releases.root / "abc",)
    assert releases.get("17.3.x-cpu-ml-scala2.13") == found
    assert releases.get("15.4.x-scala2.12") is None


def test_our_module_comes_first_on_every_class_path() -> None:
    assert ordered_jars({"a.jar", "z.jar", "boathouse.jar"}) == ["boathouse.jar", "a.jar", "z.jar"]


def test_a_patch_without_jars_keeps_the_archive(releases: Releases, tmp_path: Path) -> None:
    patched = patches.add_patch(releases, KEY, patch(tmp_path, {"conf/log4j2.properties": "x"}), silent)
    assert patched.archive == "cds/spark.jsa"
    assert len(patched.layers) == 2 and patched.layers[-1] == releases.root / "abc"
    assert (patched.layers[0] / "conf/log4j2.properties").read_text() == "x"
    assert patched.layer_names == (f"patch:{patched.layers[0].name[:12]}", f"release:{KEY}:abc")
    assert releases.get(KEY) == patched


def test_a_stack_is_found_again_by_the_names_of_its_layers(releases: Releases, tmp_path: Path) -> None:
    first = releases.get(KEY)
    patched = patches.add_patch(releases, KEY, patch(tmp_path, {"conf/log4j2.properties": "x"}), silent)
    assert first is not None and releases.recorded(KEY, first.layer_names) == first
    releases.point(KEY, "another")
    assert releases.recorded(KEY, patched.layer_names) == patched
    assert releases.recorded(KEY, ["patch:0123456789ab", *first.layer_names]) is None
    assert releases.recorded(KEY, patched.layer_names[:1]) is None
    assert releases.recorded(KEY, []) is None and releases.recorded(KEY, ["release:"]) is None


def test_a_patch_of_a_jar_switches_the_archive_off_and_says_so(releases: Releases, tmp_path: Path) -> None:
    folder = patch(tmp_path, {"jars/x-2.jar": "new", "PATCH.json": '{"removes": ["x-1.jar"]}'})
    patched = patches.add_patch(releases, KEY, folder, silent, with_archive=False)
    assert patched.jars == ("boathouse.jar", "x-2.jar", "y-1.jar")
    assert patched.archive is None
    assert "changes the class path" in patched.archive_note


def test_a_patch_may_bring_its_archive(releases: Releases, tmp_path: Path) -> None:
    folder = patch(tmp_path, {"jars/x-1.jar": "new", "cds/spark.jsa": "archive"})
    patched = patches.add_patch(releases, KEY, folder, silent)
    assert (patched.archive, patched.lambdas) == ("cds/spark.jsa", None)


def test_a_patch_may_bring_both_archives(releases: Releases, tmp_path: Path) -> None:
    folder = patch(tmp_path, {"jars/x-1.jar": "new", "cds/spark.jsa": "archive", "cds/lambdas.jsa": "lambdas"})
    patched = patches.add_patch(releases, KEY, folder, silent)
    assert (patched.archive, patched.lambdas) == ("cds/spark.jsa", "cds/lambdas.jsa")


def test_patches_stack_and_the_same_one_counts_once(releases: Releases, tmp_path: Path) -> None:
    first = patches.add_patch(releases, KEY, patch(tmp_path / "1", {"conf/a": "1"}), silent)
    again = patches.add_patch(releases, KEY, patch(tmp_path / "1", {"conf/a": "1"}), silent)
    assert again == first
    second = patches.add_patch(releases, KEY, patch(tmp_path / "2", {"conf/a": "2"}), silent)
    assert second.layers[1:] == first.layers


def test_a_new_release_starts_without_patches(releases: Releases, tmp_path: Path) -> None:
    patches.add_patch(releases, KEY, patch(tmp_path, {"conf/a": "1"}), silent)
    other = releases.root / "def"
    other.mkdir()
    (other / "RELEASE.json").write_text((releases.root / "abc" / "RELEASE.json").read_text())
    releases.point(KEY, "def")
    found = releases.get(KEY)
    assert found is not None and found.layers == (other,)


@pytest.mark.parametrize(
    "files, words",
    [
        ({}, "not a folder with files"),
        ({"etc/passwd": "x"}, "holds etc"),
        ({"PATCH.json": '{"removes": ["no.jar"]}'}, "does not have: no.jar"),
    ],
)
def test_what_is_no_patch_is_refused(releases: Releases, tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(patches.PatchRefused, match=words):
        patches.add_patch(releases, KEY, patch(tmp_path, files), silent)


def test_a_changed_file_is_found(releases: Releases) -> None:
    verify(releases.root / "abc")
    (releases.root / "abc" / "jars" / "x-1.jar").write_text("other")
    with pytest.raises(ReleaseDamaged, match=r"jars/x-1\.jar"):
        verify(releases.root / "abc")
