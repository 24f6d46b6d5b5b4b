"""What the platform's own images are made of: recipes, read from the TOML files beside this module.

A recipe is declarative: Debian packages, shell steps, wheels, files of ours, environment; its lock stands beside it. Its
key is a hash of everything that decides its bytes, lock and parents included, so a changed recipe is another image and an
unchanged one is never built twice. This module reads and hashes; `rootfs.py` and `wheels.py` build, `archive.py` makes
loadable images, `build.py` ties them together.

An image is named `NAME`, `NAME:LTS`, `NAME:slim` or `NAME:LTS-slim`: recipe `NAME` (or `NAME-slim`) with the pins of the
runtime `LTS`, which every recipe of the lineage may have.
"""

import hashlib
import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from boathouse.images.lock import Lock, Pins
from boathouse.images.lock import read as read_lock

RECIPES = Path(__file__).parent / "recipes"
BUILDER_VERSION = 2  # part of every key: raise it when the builder makes other bytes of the same recipe
SLIM = "slim"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class RecipeError(Exception):
    """A recipe that cannot be used; the message names recipe, field and what would be right."""


class Copy(msgspec.Struct, frozen=True):
    """Files of this package that go into an image.

    `listed` names a tuple of file names in the package `boathouse.<source>`, so that who owns the files owns the list;
    `to` is a directory of the image.
    """

    source: str
    listed: str
    to: str


class Pinned(msgspec.Struct, frozen=True):
    """What a recipe has for one runtime in place of `wheels`, and beside `env`."""

    wheels: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)


class Recipe(msgspec.Struct, frozen=True):
    """One image. `suite` is a Debian suite for a recipe without `parent`, `variant` mmdebstrap's variant for it; `remove`
    names paths of the parent that are taken away. `prepare` are steps that run outside of the root file system, `$1`,
    before `steps`, which run in it. `runtimes` are those that it is offered for, `wheels` what it has without one;
    `without` are patterns of files that are left out of wheels. `runtime` is the one that it was read for.
    """

    name: str
    about: str = ""
    parent: str = ""
    suite: str = ""
    variant: str = "minbase"
    packages: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    wheels_python: str = ""
    wheels_into: str = ""
    without: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    copy: tuple[Copy, ...] = ()
    remove: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    runtimes: dict[str, Pinned] = msgspec.field(default_factory=dict)
    runtime: str = ""
    lock: Lock = msgspec.field(default_factory=Lock)

    @property
    def has_rootfs(self) -> bool:
        """Whether building runs Debian's tools; wheels and files are composed without."""
        return bool(self.suite or self.packages or self.steps or self.prepare)

    @property
    def locked_wheels(self) -> Pins:
        """What the lock says of its wheels; empty where it does not say."""
        return self.lock.wheels.get(self.runtime if self.runtime in self.runtimes else "", {})


_TEXTS = {
    "about": "about",
    "from": "parent",
    "suite": "suite",
    "variant": "variant",
    "wheels_python": "wheels_python",
    "wheels_into": "wheels_into",
}
_LISTS = ("packages", "prepare", "steps", "wheels", "without", "remove", "command")


def names() -> list[str]:
    """Names of all images that can be built: each recipe that ships with the package, alone and for its runtimes."""
    found: list[str] = []
    for name in recipes():
        made = read(name)
        found += [shown(made.name, runtime) for runtime in ("", *sorted(made.runtimes, key=_numbers, reverse=True))]
    return found


def recipes(directory: Path = RECIPES) -> list[str]:
    """Names of all recipes, without runtimes."""
    return sorted(path.stem for path in directory.glob("*.toml"))


def shown(name: str, runtime: str = "") -> str:
    """What people call an image: `python:15.4-slim` for recipe `python-slim` and runtime 15.4."""
    bare = name.removesuffix(f"-{SLIM}")
    tag = "-".join(part for part in (runtime, SLIM if bare != name else "") if part)
    return f"{bare}:{tag}" if tag else bare


def parts(name: str) -> tuple[str, str]:
    """The recipe and the runtime (or an empty text) that an image's name means."""
    bare, _, tag = name.partition(":")
    runtime = tag.removesuffix(SLIM).removesuffix("-") if tag.endswith(SLIM) else tag
    return (f"{bare}-{SLIM}" if tag.endswith(SLIM) else bare), runtime


def read(name: str, directory: Path = RECIPES) -> Recipe:
    """The recipe called `name`, with its lock; RecipeError where there is none or it is not well formed."""
    path = directory / f"{name}.toml"
    if not _NAME.fullmatch(name) or not path.is_file():
        listed = ", ".join(shown(each) for each in recipes(directory))
        raise RecipeError(f"there is no recipe {shown(name[:60])!r}; there are: {listed}")
    try:
        return replace(parse(name, tomllib.loads(path.read_text("utf-8"))), lock=read_lock(path.with_suffix(".lock")))
    except ValueError as error:
        raise RecipeError(f"recipe {name}: {error}") from None


def parse(name: str, document: dict[str, Any]) -> Recipe:
    """Check a recipe document strictly and give it types."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in _TEXTS:
            values[_TEXTS[key]] = _text(name, key, value)
        elif key in _LISTS:
            values[key] = _texts(name, key, value)
        elif key == "env":
            values["env"] = _env(name, "env", value)
        elif key == "copy":
            values["copy"] = tuple(_copy(name, entry) for entry in value)
        elif key == "runtimes":
            values["runtimes"] = _runtimes(name, value)
        else:
            raise RecipeError(f"recipe {name}: unknown field {key!r}")
    recipe = Recipe(name=name, **values)
    if bool(recipe.parent) == bool(recipe.suite):
        raise RecipeError(f"recipe {name}: give either `from` (another recipe) or `suite` (a Debian suite)")
    has_wheels = bool(recipe.wheels) or any(pinned.wheels for pinned in recipe.runtimes.values())
    if has_wheels and not (recipe.wheels_python and recipe.wheels_into):
        raise RecipeError(f"recipe {name}: wheels need wheels_python (a version) and wheels_into (the interpreter's path)")
    return recipe


def _text(name: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise RecipeError(f"recipe {name}: {key} must be a text, not {value!r}")
    return value


def _texts(name: str, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RecipeError(f"recipe {name}: {key} must be a list of texts, not {value!r}")
    return tuple(_text(name, key, entry) for entry in value)


def _env(name: str, key: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RecipeError(f"recipe {name}: {key} must be a table of texts")
    return {variable: _text(name, f"{key}.{variable}", text) for variable, text in value.items()}


def _runtimes(name: str, value: object) -> dict[str, Pinned]:
    found: dict[str, Pinned] = {}
    for runtime, table in value.items() if isinstance(value, dict) else ():
        if not isinstance(table, dict) or set(table) - {"wheels", "env"}:
            raise RecipeError(f"recipe {name}: runtimes.{runtime} has the fields wheels and env alone, not {table!r}")
        wheels = _texts(name, f"runtimes.{runtime}.wheels", table.get("wheels", []))
        found[runtime] = Pinned(wheels, _env(name, f"runtimes.{runtime}.env", table.get("env", {})))
    if not found:
        raise RecipeError(f"recipe {name}: runtimes must be a table of tables, such as [runtimes.'15.4'], not {value!r}")
    return found


def _copy(name: str, entry: object) -> Copy:
    if not isinstance(entry, dict) or set(entry) != {"from", "listed", "to"}:
        raise RecipeError(f"recipe {name}: a copy has exactly the fields from, listed, to, not {entry!r}")
    texts = [_text(name, f"copy.{field}", entry[field]) for field in ("from", "listed", "to")]
    return Copy(*texts)


def lineage(name: str, directory: Path = RECIPES) -> list[Recipe]:
    """The recipe that an image's name means and its parents, the root first, each with the pins of the runtime."""
    name, runtime = parts(name)
    chain: list[Recipe] = []
    while name:
        if any(recipe.name == name for recipe in chain):
            raise RecipeError(f"recipe {name} is its own ancestor")
        chain.append(for_runtime(read(name, directory), runtime))
        name = chain[-1].parent
    if runtime and runtime not in chain[0].runtimes:
        offered = ", ".join(shown(chain[0].name, each) for each in sorted(chain[0].runtimes, key=_numbers, reverse=True))
        raise RecipeError(
            f"{shown(chain[0].name)!r} is not offered for runtime {runtime[:40]!r}; there are: {offered or shown(chain[0].name)}"
        )
    return chain[::-1]


def for_runtime(recipe: Recipe, runtime: str) -> Recipe:
    """The recipe with the pins of a runtime; as it is for an empty text."""
    if not runtime:
        return recipe
    pinned = recipe.runtimes.get(runtime, Pinned())
    return replace(recipe, runtime=runtime, wheels=pinned.wheels, env=recipe.env | pinned.env)


def _numbers(runtime: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", runtime)]


def files_of(recipe: Recipe) -> dict[str, bytes]:
    """The files that the recipe copies, by their path in the image, with their contents as they are now."""
    found: dict[str, bytes] = {}
    for copy in recipe.copy:
        owner = importlib.import_module(f"boathouse.{copy.source}")
        directory = Path(str(owner.__file__)).parent
        for name in getattr(owner, copy.listed):
            found[f"{copy.to.strip('/')}/{name}"] = (directory / name).read_bytes()
    return found


def rootfs_key(chain: list[Recipe]) -> str:
    """The content hash (16 hex digits) of what Debian's tools build for a lineage: not of wheels and files on top of it."""
    parts = [[r.suite, r.variant, r.packages, r.prepare, r.steps, sorted(r.lock.packages.items())] for r in chain if r.has_rootfs]
    return _hash([BUILDER_VERSION, parts])


def wheels_key(recipe: Recipe) -> str:
    """The content hash of a recipe's layer of wheels, which is the same whatever is below it."""
    pins = sorted(recipe.locked_wheels.items())
    return _hash([BUILDER_VERSION, recipe.wheels, recipe.wheels_python, recipe.wheels_into, recipe.without, pins])


def key(chain: list[Recipe]) -> str:
    """The content hash (16 hex digits) of a lineage: all that decides the image's bytes, where its locks can be met."""
    parts: list[object] = [rootfs_key(chain)]
    for recipe in chain:
        contents = {path: hashlib.sha256(data).hexdigest() for path, data in files_of(recipe).items()}
        wheels = wheels_key(recipe) if recipe.wheels else ""
        parts.append([wheels, sorted(recipe.env.items()), sorted(contents.items()), recipe.remove, recipe.command])
    return _hash(parts)


def _hash(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
