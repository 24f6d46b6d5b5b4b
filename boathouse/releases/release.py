"""Releases that are built: what is in one, which layers stand above it, and how a runtime key finds it.

On disk, under the root: `<digest>/` is a release, never changed after it is there; `keys/<key>.json` names the digest
and the patch layers that hold for a runtime key; `patches/<digest>/` is one patch layer. Reads files only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from boathouse.releases.runtimes import plain_key

ARCHIVE = "cds/spark.jsa"
"""The class-data archive, for drivers and executors alike, relative to a layer."""

LAMBDAS = "cds/lambdas.jsa"
"""The archive of lambdas over it; it holds for exactly that one."""


class ReleaseDamaged(Exception):
    """Files of a release are not what was built; the message names the first of them."""


class Release(msgspec.Struct, frozen=True):
    """A runtime release with the patch layers above it. All paths are of this machine."""

    key: str
    spark: str
    scala: str
    delta: str
    digest: str
    directory: Path
    layers: tuple[Path, ...]
    """Top first, as OverlayFS wants its `lowerdir`: patches, newest first, then the release itself."""
    java_major: int
    python_minor: str
    connect: bool
    jars: tuple[str, ...]
    """The class path, in order: file names in `jars/` of the composed stack."""
    archive: str | None
    """The class-data archive relative to the composed stack, or None when there is none that fits."""
    archive_note: str
    """Why there is no archive; empty when there is one. For the timeline and `doctor`."""
    glibc: str
    """The oldest C library that the release's JRE runs on, such as `2.34`."""
    lambdas: str | None = None
    """The archive of lambdas, which lies over `archive`; None where there is none."""

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers as the timeline names them, top first."""
        patches = tuple(f"patch:{layer.name[:12]}" for layer in self.layers[:-1])
        return (*patches, f"release:{self.key}:{self.digest[:12]}")


class Releases:
    """The releases under a root folder. Holds nothing: each call reads the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def keys(self) -> list[str]:
        """The runtime keys that have a release here, sorted."""
        return sorted(path.stem for path in (self.root / "keys").glob("*.json"))

    def get(self, spark_version: str) -> Release | None:
        """The release of a runtime key (also of its machine-learning form); None when it was not built."""
        entry = self._entry(plain_key(spark_version))
        if entry is None or not (self.root / entry["release"] / "RELEASE.json").exists():
            return None
        return self._read(plain_key(spark_version), entry)

    def recorded(self, spark_version: str, layer_names: Sequence[str]) -> Release | None:
        """The stack that a launch was given, by its `layer_names`, whatever the key means by now; None when a layer is gone."""
        layers = [self._layer(name) for name in layer_names]
        there = [layer for layer in layers if layer is not None]
        if not there or len(there) < len(layers) or not (there[-1] / "RELEASE.json").exists():
            return None
        return compose(plain_key(spark_version), there[-1], tuple(there[:-1]))

    def _layer(self, name: str) -> Path | None:
        kind, _, digest = name.rpartition(":")
        folder = self.root if kind.startswith("release") else self.root / "patches"
        found = [path for path in folder.glob(f"{digest}*") if digest and path.is_dir()]
        return found[0] if len(found) == 1 else None

    def point(self, key: str, digest: str) -> None:
        """Makes a built release the one of a runtime key. Patches of another release do not carry over."""
        entry = self._entry(key)
        if entry is None or entry["release"] != digest:
            self._write(key, {"release": digest, "patches": []})

    def add_layer(self, key: str, patch: str) -> None:
        """Puts a patch layer (its digest) on top of the key's stack; nothing when it is there already."""
        entry = self._entry(key)
        if entry is None:
            raise KeyError(key)
        if patch not in entry["patches"]:
            self._write(key, {"release": entry["release"], "patches": [patch, *entry["patches"]]})

    def _entry(self, key: str) -> dict | None:
        try:
            return json.loads((self.root / "keys" / f"{key}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _write(self, key: str, entry: Mapping[str, object]) -> None:
        target = self.root / "keys" / f"{key}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{key}.{os.getpid()}")
        part.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
        part.rename(target)

    def _read(self, key: str, entry: Mapping) -> Release:
        directory = self.root / entry["release"]
        patches = tuple(self.root / "patches" / digest for digest in entry["patches"])
        return compose(key, directory, patches)


def compose(key: str, directory: Path, patches: tuple[Path, ...]) -> Release:
    """The release in a folder under patch layers (top first): class path and archive as the whole stack has them."""
    about = json.loads((directory / "RELEASE.json").read_text(encoding="utf-8"))
    names = list(about["jars"])
    changed = False
    archive, lambdas = about["archive"], about.get("lambdas")
    note = "" if archive else about["archive_note"]
    for patch in reversed(patches):
        removed, added = patch_jars(patch)
        if removed or added:
            names = ordered_jars((set(names) - removed) | added)
            changed = True
        if (patch / ARCHIVE).exists():
            archive, changed, note = ARCHIVE, False, ""
            lambdas = LAMBDAS if (patch / LAMBDAS).exists() else None
        elif changed:
            archive = lambdas = None
            note = f"patch {patch.name[:12]} changes the class path and brings no class-data archive"
    return Release(
        key=key,
        spark=about["spark"],
        scala=about["scala"],
        delta=about["delta"],
        digest=about["digest"],
        directory=directory,
        layers=(*patches, directory),
        java_major=about["java"],
        python_minor=about["python"],
        connect=about["connect"],
        jars=tuple(names),
        archive=archive,
        lambdas=lambdas,
        archive_note=note,
        glibc=about["glibc"],
    )


def patch_jars(patch: Path) -> tuple[set[str], set[str]]:
    """(jars that a patch takes off the class path, jars that it adds or replaces).

    A patch mirrors the runtime's tree; `PATCH.json` may hold `{"removes": [jar names]}`.
    """
    about = patch / "PATCH.json"
    removes = json.loads(about.read_text(encoding="utf-8")).get("removes", []) if about.exists() else []
    return set(removes), {path.name for path in (patch / "jars").glob("*.jar")}


def ordered_jars(names: set[str]) -> list[str]:
    """The one order of every class path: our module first, then by name. Archives hold for exactly one order."""
    return sorted(names, key=lambda name: (name != MODULE_JAR, name))


MODULE_JAR = "boathouse.jar"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(root: Path) -> str:
    """One SHA-256 over names, modes' executable bits and contents of a folder."""
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            whole.update(f"link {path.relative_to(root)} {path.readlink()}\n".encode())
        elif path.is_file():
            kind = "program" if path.stat().st_mode & 0o111 else "file"
            whole.update(f"{kind} {path.relative_to(root)} {file_digest(path)}\n".encode())
    return whole.hexdigest()


def verify(directory: Path) -> None:
    """Reads every file of a release and compares it with what was built. Raises ReleaseDamaged."""
    manifest: dict[str, str] = json.loads((directory / "MANIFEST.json").read_text(encoding="utf-8"))
    for name, digest in manifest.items():
        path = directory / name
        if not path.is_file() or file_digest(path) != digest:
            raise ReleaseDamaged(f"{name} of release {directory.name[:12]} is not as it was built")
