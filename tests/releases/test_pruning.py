"""Releases that nobody needs go; those of runtimes, of running clusters and of a build that is under way stay."""

import json
import os
import time
from pathlib import Path

import pytest

from boathouse.cli import main
from boathouse.releases import Releases, pruning

NAMED, BUSY, IDLE, FRESH, PATCH = ("a" * 32, "b" * 32, "c" * 32, "d" * 32, "e" * 32)
ABOUT = {
    "spark": "4.0.5", "scala": "2.13", "delta": "4.0.1", "java": 17, "python": "3.12", "connect": True, "jars": [],
    "archive": None, "archive_note": "", "glibc": "2.34",
}  # fmt: skip


@pytest.fixture
def shelf(tmp_path) -> Releases:
    root = tmp_path / "releases"
    for digest in (NAMED, BUSY, IDLE, FRESH, f"patches/{PATCH}"):
        (root / digest).mkdir(parents=True)
        (root / digest / "RELEASE.json").write_text(json.dumps({**ABOUT, "digest": digest}))
        if digest != FRESH:
            os.utime(root / digest, (time.time() - 5 * 86_400,) * 2)
    (root / "parts").mkdir()
    releases = Releases(root)
    releases.point("17.3.x-scala2.13", NAMED)
    return releases


def processes(tmp_path: Path, text: str) -> Path:
    proc = tmp_path / "proc"
    for number in ("1", "22"):
        (proc / number / "ns").mkdir(parents=True)
        (proc / number / "ns" / "mnt").symlink_to(f"mnt:[{number}]")
        (proc / number / "mountinfo").write_text(text)
    (proc / "cpuinfo").write_text("")
    return proc


def test_who_needs_what(shelf, tmp_path):
    line = f"9 1 0:9 / /databricks/runtime ro - overlay overlay ro,lowerdir={shelf.root}/patches/{'f' * 32}:{shelf.root}/{BUSY}\n"
    busy = pruning.mounted(shelf.root, processes(tmp_path, line))
    assert busy == {BUSY, "f" * 32}
    found = {layer.digest: layer.why for layer in pruning.survey(shelf, busy, younger_than_days=1)}
    assert found[NAMED] == "runtime 17.3.x-scala2.13" and found[BUSY] == "a cluster that runs"
    assert found[FRESH].startswith("made 0.0 days ago") and found[IDLE] == found[PATCH] == ""


def test_what_is_needed_is_never_removed(shelf):
    (needed,) = [layer for layer in pruning.survey(shelf, (), 0) if layer.digest == NAMED]
    with pytest.raises(ValueError, match="runtime 17.3.x-scala2.13"):
        pruning.remove(needed)


def test_by_the_command_line(shelf, capsys):
    cache = str(shelf.root.parent)
    assert main(["release", "--cache", cache, "prune", "--dry-run"]) == 0
    assert "would go" in capsys.readouterr().out and (shelf.root / IDLE).exists()
    assert main(["release", "--cache", cache, "remove", "17.3.x-scala2.13"]) == 0
    assert main(["release", "--cache", cache, "prune"]) == 0
    left = {path.name for path in shelf.root.iterdir()}
    assert left == {FRESH, "patches", "parts", "keys"} and not list((shelf.root / "patches").iterdir())
    assert main(["release", "--cache", cache, "remove", "17.3.x-scala2.13"]) == 1
