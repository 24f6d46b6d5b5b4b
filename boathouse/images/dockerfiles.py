"""Dockerfiles of the base images on Ubuntu, as Databricks has them, and on Alpine: for users whose machine reaches those.

Printed by `boathouse image dockerfile NAME[:LTS]`; the recipes of the same names build from Debian's packages. One fragment for
each layer stands in `ubuntu/`, a table of their arguments beside them. Pure but for reading those files.
"""

import re
import tomllib
from pathlib import Path

FRAGMENTS = Path(__file__).parent / "ubuntu"
LINEAGES = {
    "minimal": ("minimal",), "python": ("minimal", "python"), "standard": ("minimal", "python", "standard"),
    "r": ("minimal", "python", "standard", "r"), "gpu": ("minimal", "python", "standard", "gpu"), "alpine": ("alpine",),
}  # fmt: skip
_ARGUMENT = re.compile(r"^ARG (\w+)=.*$", re.MULTILINE)


class NoDockerfile(ValueError):
    """There is none of that name; the message names those that there are."""


def runtimes() -> dict[str, dict[str, str]]:
    """The arguments of the Dockerfiles by runtime, newest first."""
    return tomllib.loads((FRAGMENTS / "runtimes.toml").read_text("utf-8"))


def names() -> list[str]:
    """All that can be printed."""
    offered = runtimes()
    return [f"{name}:{each}" for name in LINEAGES if name != "alpine" for each in offered] + ["alpine"]


def text(name: str) -> str:
    """The Dockerfile for an image's name (`python:15.4`; without a runtime the newest). Raises NoDockerfile."""
    bare, _, runtime = name.partition(":")
    offered = runtimes()
    if bare not in LINEAGES or (runtime and (runtime not in offered or bare == "alpine")):
        raise NoDockerfile(f"no Dockerfile for {name[:60]!r}; there are: {', '.join(names())}")
    whole = "".join((FRAGMENTS / f"{part}.Dockerfile").read_text("utf-8") for part in LINEAGES[bare])
    if bare == "alpine":
        return whole
    values = offered[runtime or next(iter(offered))]
    values |= {"BASE": values["GPU"]} if bare == "gpu" else {}

    def argument(found: re.Match[str]) -> str:
        return f"ARG {found[1]}={values[found[1]]}" if found[1] == "BASE" else f'ARG {found[1]}="{values[found[1]]}"'

    return _ARGUMENT.sub(argument, whole)
