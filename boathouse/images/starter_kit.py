"""A folder to begin an own image with: Dockerfile, requirements, a check for CI, and how to push it.

The texts stand in `starter/`; what is there already is never written over.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from boathouse.images import build, recipe, references

STARTER = Path(__file__).parent / "starter"

#: File of the folder -> its text in `starter/`.
FILES = {
    "Dockerfile": "Dockerfile", "requirements.txt": "requirements.txt", ".dockerignore": "dockerignore",
    ".github/workflows/image.yml": "workflow.yml", "README.md": "README.md",
}  # fmt: skip

#: Bases on which the step that the folder has cannot work.
_WITHOUT_APT = ("alpine", "daemon", "nobash")
#: Images that Databricks publishes, as `databricksruntime/NAME:15.4-LTS`; a bare number means a runtime of ours.
_OF_DATABRICKS = ("minimal", "python", "standard", "rbase", "gpu")
_RUNTIME = re.compile(r"[\d.]+(?:-slim)?$")
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SYSTEM = {
    "debian": "RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*\n",
    "minimal": (
        "RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv virtualenv \\\n"
        "  && rm -rf /var/lib/apt/lists/* && virtualenv --system-site-packages /databricks/python3\n"
    ),
}


class CannotBegin(ValueError):
    """The folder cannot be made; the message names what is wrong."""


def begin(directory: Path, base: str, runtime: str, runtimes: Sequence[str] = ()) -> list[Path]:
    """Write the folder's files; those that were written. `base`: an image of ours (`python:15.4`), `NAME:VERSION` of Databricks'
    published ones (`python:15.4-LTS`), or any reference; `runtimes`: those that there are. Raises CannotBegin."""
    name = directory.name.lower()
    if not _NAME.fullmatch(name):
        raise CannotBegin(f"the folder's name '{directory.name[:60]}' cannot be an image's: small letters, digits, '.', '_', '-'")
    taken = [file for file in FILES if (directory / file).exists()]
    if taken:
        raise CannotBegin(f"{directory} has already: {', '.join(taken)}; nothing was written")
    if runtimes and runtime not in runtimes:
        raise CannotBegin(f"no runtime '{runtime[:60]}'; there are: {', '.join(runtimes)}")
    reference = reference_of(base)
    values = {
        "name": name,
        "base": reference,
        "reference": f"registry.example/{name}:1",
        "runtime": runtime,
        "system": _system(base),
        "build_base": f"      - run: {command}\n" if (command := build_command(base)) else "",
        "install": "/databricks/python3/bin/pip install --no-cache-dir -r /tmp/requirements.txt",
    }
    written = []
    for file, text in FILES.items():
        place = directory / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(Template((STARTER / text).read_text("utf-8")).substitute(values), "utf-8")
        written.append(place)
    return written


def runtime_of(base: str, runtimes: Sequence[str]) -> str:
    """The runtime that a base image of ours is for (`15.4.x-scala2.12` for `python:15.4`); an empty text where it says none."""
    runtime = recipe.parts(base)[1] if base in recipe.names() else ""
    return next((key for key in runtimes if runtime and key.startswith(f"{runtime}.x-")), "")


def build_command(base: str) -> str:
    """What makes a base of ours, which no registry has; an empty text for every other."""
    return f"boathouse image build {base}" if base in recipe.names() else ""


def _system(base: str) -> str:
    """The step that installs packages of the system, where the base can."""
    if base in recipe.names() and base.endswith("slim"):
        return ""
    name = base.partition(":")[0]
    bare = name.rpartition("/")[2] == "minimal" or ("/" not in base and name not in _OF_DATABRICKS and base not in recipe.names())
    return _SYSTEM["minimal" if bare else "debian"]


def reference_of(base: str) -> str:
    """What a Dockerfile's FROM has to say for a base."""
    name, _, version = base.partition(":")
    if base in _WITHOUT_APT or name == "alpine" or (name == "minimal" and base.endswith("slim")):
        raise CannotBegin(f"nothing can be installed on '{base}': it has neither apt nor pip; write its Dockerfile by hand")
    if base in recipe.names():
        return build.friendly(base)
    ours = name in _OF_DATABRICKS or name in {each.partition(":")[0] for each in recipe.names()}
    if name in _OF_DATABRICKS and version and not _RUNTIME.match(version):
        return f"databricksruntime/{name}:{version}"
    if "/" not in base and (ours or not version):
        raise CannotBegin(
            f"no base '{base}'; there are: {', '.join(recipe.names())}, python:15.4-LTS and its like, or a whole reference "
            "(ubuntu:22.04, docker.io/library/python:3.12)"
        )
    return str(references.parse(base, "--base"))
