"""A mirror of Debian, its tools and PyPI that live in memory, for the tests of builds and locks."""

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from boathouse.images import debian, recipe, wheels
from boathouse.images.recipe import Recipe
from boathouse.images.rootfs import BuildError


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Mirror:
    """`there` is what it has: package -> version -> SHA-256; `wheels` what PyPI has. `built` are the recipes that were built from
    it, in order, `wheeled` those whose wheels were fetched."""

    there: dict[str, dict[str, str]] = field(default_factory=dict)
    wheels: dict[str, tuple[str, str]] = field(default_factory=dict)
    built: list[str] = field(default_factory=list)
    wheeled: list[str] = field(default_factory=list)

    @classmethod
    def of_recipes(cls) -> "Mirror":
        """One that can meet all locks of the package."""
        mirror = cls()
        for name in recipe.names():
            for made in recipe.lineage(name):
                for package, (version, digest) in made.lock.packages.items():
                    mirror.there.setdefault(package, {})[version] = digest
        return mirror

    def move_on(self, package: str) -> None:
        """Debian publishes a newer version and drops the others."""
        self.there[package] = {"99.0-1": sha256(package)}

    def index(self, suite: str, directory: Path, mirror: str = "") -> Mapping[str, Mapping[str, str]]:
        return self.there

    def build(self, made: Recipe, parent: Path | None, target: Path, progress, mirror: str = "", preferences: str = "") -> None:
        """What mmdebstrap does: the locked versions when it is told to take them, the newest otherwise."""
        self.built.append(made.name)
        told = {
            lines[0].removeprefix("Package: "): lines[1].removeprefix("Pin: version ")
            for lines in (part.splitlines() for part in preferences.split("\n\n"))
            if lines and "version" in lines[1]
        }
        below = debian.installed(parent) if parent else {}
        added = told or {name: max(self.there[name]) for name in made.lock.packages or made.packages}
        for name, version in added.items():
            if version not in self.there[name]:
                raise BuildError(f"apt has no {name} {version}")
        status = "\n".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n" for name, version in (below | added).items()
        )
        with tarfile.open(target, "w") as tar:
            if parent:
                with tarfile.open(parent) as before:
                    for member in before.getmembers():
                        if not member.name.endswith("dpkg/status"):
                            tar.addfile(member, before.extractfile(member))
            if made.variant != "extract":
                entry = tarfile.TarInfo("./var/lib/dpkg/status")
                entry.size = len(status.encode())
                tar.addfile(entry, BytesIO(status.encode()))
            for package in made.packages:
                tar.addfile(tarfile.TarInfo(f"usr/share/{made.name}/{package}"))

    def fetch(self, made: Recipe, directory: Path, progress, pins: Mapping[str, tuple[str, str]]) -> list[Path]:
        """What pip does."""
        self.wheeled.append(recipe.shown(made.name, made.runtime))
        lost = [name for name in pins if name in self.wheels and self.wheels[name] != pins[name]]
        if lost:
            raise wheels.Vanished("PyPI's wheels could not be fetched", f"no matching distribution for {', '.join(lost)}")
        return [directory / name for name in sorted({**pins, **self.wheels})]

    def layer(self, made: Recipe, files: list[Path], target: Path) -> None:
        with tarfile.open(target, "w") as tar:
            for file in files:
                tar.addfile(tarfile.TarInfo(f"databricks/python3/{file.name}"))
