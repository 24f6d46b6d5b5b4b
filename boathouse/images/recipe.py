"""What the platform's own images are made of: recipes, read from the TOML files beside this module.

A recipe is declarative: Debian packages, shell steps, wheels, files of ours, environment. Its key is a hash of
everything that decides its bytes, its parents included, so a changed recipe is another image and an unchanged one is
never built twice. This module reads and hashes; `rootfs.py` builds, `archive.py` makes loadable images, `build.py`
ties them together.
"""

import hashlib
import importlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent / "recipes"
BUILDER_VERSION = 1  # part of every key: raise it when the builder makes other bytes of the same recipe


class RecipeError(Exception):
    """A recipe that cannot be used; the message names recipe, field and what would be right."""


@dataclass(frozen=True)
class Copy:
    """Files of this package that go into an image.

    `listed` names a tuple of file names in the package `boathouse.<source>`, so that who owns the files owns the list;
    `to` is a directory of the image.
    """

    source: str
    listed: str
    to: str


@dataclass(frozen=True)
class Recipe:
    """One image. `suite` is a Debian suite for a recipe without `parent`, `variant` mmdebstrap's variant for it;
    `remove` names paths of the parent that are taken away.
    """

    name: str
    about: str = ""
    parent: str = ""
    suite: str = ""
    variant: str = "minbase"
    packages: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    wheels_python: str = ""
    wheels_into: str = ""
    env: dict[str, str] = field(default_factory=dict)
    copy: tuple[Copy, ...] = ()
    remove: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def has_rootfs(self) -> bool:
        """Whether building runs Debian's tools; a recipe of files alone is composed in milliseconds."""
        return bool(self.suite or self.packages or self.steps or self.wheels)


_TEXTS = {
    "about": "about",
    "from": "parent",
    "suite": "suite",
    "variant": "variant",
    "wheels_python": "wheels_python",
    "wheels_into": "wheels_into",
}
_LISTS = ("packages", "steps", "wheels", "remove", "command")


def names() -> list[str]:
    """Names of all recipes that ship with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def read(name: str, directory: Path = RECIPES) -> Recipe:
    """The recipe called `name`; RecipeError where there is none or it is not well formed."""
    path = directory / f"{name}.toml"
    if not name.isalnum() or not path.is_file():
        raise RecipeError(
            f"there is no recipe {name!r}; there are: {', '.join(sorted(p.stem for p in directory.glob('*.toml')))}"
        )
    return parse(name, tomllib.loads(path.read_text("utf-8")))


def parse(name: str, document: dict[str, Any]) -> Recipe:
    """Check a recipe document strictly and give it types."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in _TEXTS:
            values[_TEXTS[key]] = _text(name, key, value)
        elif key in _LISTS:
            values[key] = _texts(name, key, value)
        elif key == "env":
            if not isinstance(value, dict):
                raise RecipeError(f"recipe {name}: env must be a table of texts")
            values["env"] = {variable: _text(name, f"env.{variable}", text) for variable, text in value.items()}
        elif key == "copy":
            values["copy"] = tuple(_copy(name, entry) for entry in value)
        else:
            raise RecipeError(f"recipe {name}: unknown field {key!r}")
    recipe = Recipe(name=name, **values)
    if bool(recipe.parent) == bool(recipe.suite):
        raise RecipeError(f"recipe {name}: give either `from` (another recipe) or `suite` (a Debian suite)")
    if recipe.wheels and not (recipe.wheels_python and recipe.wheels_into):
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


def _copy(name: str, entry: object) -> Copy:
    if not isinstance(entry, dict) or set(entry) != {"from", "listed", "to"}:
        raise RecipeError(f"recipe {name}: a copy has exactly the fields from, listed, to, not {entry!r}")
    texts = [_text(name, f"copy.{field}", entry[field]) for field in ("from", "listed", "to")]
    return Copy(*texts)


def lineage(name: str, directory: Path = RECIPES) -> list[Recipe]:
    """The recipe and its parents, the root first."""
    chain: list[Recipe] = []
    while name:
        if any(recipe.name == name for recipe in chain):
            raise RecipeError(f"recipe {name} is its own ancestor")
        chain.append(read(name, directory))
        name = chain[-1].parent
    return chain[::-1]


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
    """The content hash (16 hex digits) of what Debian's tools build for a lineage: not of our own files on top of it."""
    parts = [[r.suite, r.variant, r.packages, r.steps, r.wheels, r.wheels_python, r.wheels_into] for r in chain]
    return _hash([BUILDER_VERSION, parts])


def key(chain: list[Recipe]) -> str:
    """The content hash (16 hex digits) of a lineage: all that decides the image's bytes but Debian's point releases."""
    parts: list[object] = [rootfs_key(chain)]
    for recipe in chain:
        contents = {path: hashlib.sha256(data).hexdigest() for path, data in files_of(recipe).items()}
        parts.append([sorted(recipe.env.items()), sorted(contents.items()), recipe.remove, recipe.command])
    return _hash(parts)


def _hash(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
