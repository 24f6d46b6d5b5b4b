"""Locks of recipes: the version and SHA-256 of every package that a recipe adds, in a file beside it.

Pure but for reading the file. `debian.py` finds out what the mirror has, `wheels.py` what PyPI has; `build.py` decides what
happens where they have it no more. The file is TOML:

    [packages]            # of Debian: those that the recipe adds to its parent's, dependencies included
    "bash" = ["5.2.15-2+b8", "<sha256 of the .deb>"]
    [wheels."15.4"]       # of the runtime; `[wheels.""]` without one
    "numpy" = ["1.23.5", "<sha256 of the wheel>"]
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

_SHA256 = re.compile(r"[0-9a-f]{64}")


Pins = Mapping[str, tuple[str, str]]
"""Name -> (version, sha256)."""


class Lock(msgspec.Struct, frozen=True):
    """`packages` are Debian's; `wheels` by runtime, under an empty text those without one. Empty: nothing is pinned."""

    packages: Pins = msgspec.field(default_factory=dict)
    wheels: Mapping[str, Pins] = msgspec.field(default_factory=dict)


def read(path: Path) -> Lock:
    """The lock of a file; an empty one where there is none. ValueError where it is not well formed."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Lock()
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is no TOML: {error}") from None
    wheels = document.get("wheels", {})
    if set(document) - {"packages", "wheels"} or not isinstance(wheels, dict):
        raise ValueError(f"{path.name} has other tables than packages and wheels")
    return Lock(
        _pins(path.name, "packages", document.get("packages", {})),
        {runtime: _pins(path.name, f"wheels.{runtime}", table) for runtime, table in wheels.items()},
    )


def _pins(file: str, table: str, entries: object) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name, entry in entries.items() if isinstance(entries, dict) else [("", entries)]:
        match entry:
            case [str(version), str(sha256)] if version and _SHA256.fullmatch(sha256):
                found[name] = (version, sha256)
            case _:
                raise ValueError(f"{file}: {table}.{name} must be [version, sha256], not {entry!r}")
    return found


def text(recipe: str, lock: Lock) -> str:
    """The file's text: the same lock, the same bytes."""
    lines = [f"# Made by `boathouse image bases --relock {recipe}`: package = [version, SHA-256 of what is fetched]."]
    tables = {"packages": lock.packages} | {f'wheels."{runtime}"': pins for runtime, pins in sorted(lock.wheels.items())}
    for title, pins in tables.items():
        if pins:
            lines += ["", f"[{title}]"]
            lines += [f'"{name}" = ["{version}", "{sha256}"]' for name, (version, sha256) in sorted(pins.items())]
    return "\n".join(lines) + "\n"


def unmet(wanted: Pins, there: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What of a lock cannot be had: each package by name, with what there is in its place. `there`: name -> version -> sha256."""
    found: list[str] = []
    for name, (version, sha256) in sorted(wanted.items()):
        versions = there.get(name, {})
        if version not in versions:
            found.append(f"{name} {version} has vanished ({', '.join(sorted(versions)) or 'no version'} is there)")
        elif versions[version] != sha256:
            found.append(f"{name} {version} has another SHA-256 ({versions[version][:12]}..., locked is {sha256[:12]}...)")
    return found
