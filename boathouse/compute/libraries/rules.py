"""Libraries in words: which kinds there are, what may be asked for, and when two are the same. Pure.

Kinds and their fields: reference api I. Called by `api` for refusals and by `plan` for what a kind needs.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from boathouse.wire.libraries import Library

PYTHON, FILES, DRIVER = ("pypi", "whl", "requirements"), ("whl", "requirements", "jar"), ("jar", "maven")
KINDS = ("jar", "whl", "requirements", "pypi", "maven", "cran")

#: Where a library's file may be, and how its name ends.
LOCATIONS = ("/Workspace/", "/Volumes/", "/Users/", "/Shared/", "/Repos/", "dbfs:/", "s3://", "abfss://", "gs://")
ENDINGS = {"whl": ".whl", "jar": ".jar", "requirements": ".txt"}

EGG = (
    "egg: Installing Python egg files is deprecated and is not supported in Databricks Runtime 14.0 and above; "
    "build a wheel and give it as whl"
)

#: Kinds that may name where packages come from, and those whose installation may ask there for something.
INDEXED = ("pypi", "maven", "cran")
ASKING = (*INDEXED, "whl", "requirements")

#: Why nothing outside can be reached, and what to do.
NO_WAY_OUT = (
    "nodes of this data plane have no way out, since Boathouse is not root on the engine's machine, or nft is missing there "
    "(`boathouse doctor`)"
)

LONGEST = 1000
#: Libraries that one cluster may have, and that one call may name.
MOST = 500

_COORDINATES = re.compile(r"[\w.-]+:[\w.-]+:[\w.+-]+", re.ASCII)
_EXCLUSION = re.compile(r"(\*|[\w.-]+):(\*|[\w.-]+)", re.ASCII)
_R_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9.]*")
_REPOSITORY = re.compile(r"(https?|file)://[^\s'\"<>\\&]+")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_SCALA = re.compile(r"_(2\.1[0-9])$")


def violations(library: Library, field: str) -> Iterator[str]:
    """What is wrong with one library of a request; `field` is its place there."""
    if library.egg is not None:
        yield f"{field}.{EGG}"
        return
    given = [kind for kind in KINDS if getattr(library, kind) is not None]
    if len(given) != 1:
        what = f"{', '.join(given)} are given" if given else "no library is given"
        yield f"{field}: {what}; give exactly one of {', '.join(KINDS)}"
        return
    (kind,) = given
    if kind in FILES:
        yield from _file(getattr(library, kind), kind, f"{field}.{kind}")
    elif library.pypi is not None:
        yield from _named(library.pypi.package, f"{field}.pypi.package", 'a package such as "simplejson==3.8.0"')
        yield from _repository(library.pypi.repo, f"{field}.pypi.repo")
    elif library.cran is not None:
        if not _R_PACKAGE.fullmatch(library.cran.package[:LONGEST]):
            yield f'{field}.cran.package: {_shown(library.cran.package)} is not allowed; give a package such as "forecast"'
        yield from _repository(library.cran.repo, f"{field}.cran.repo")
    elif library.maven is not None:
        coordinates = library.maven.coordinates
        if not _COORDINATES.fullmatch(coordinates) or len(coordinates) > LONGEST:
            yield f"{field}.maven.coordinates: {_shown(coordinates)} is not allowed; give group:artifact:version"
        for at, exclusion in enumerate(library.maven.exclusions):
            if not _EXCLUSION.fullmatch(exclusion):
                yield f"{field}.maven.exclusions[{at}]: {_shown(exclusion)} is not allowed; give group:artifact, or * for either"
        yield from _repository(library.maven.repo, f"{field}.maven.repo")


def _file(location: str, kind: str, field: str) -> Iterator[str]:
    ending = ENDINGS[kind]
    plain = len(location) <= LONGEST and not _unprintable(location)
    if not (plain and location.startswith(LOCATIONS) and location.lower().endswith(ending)):
        places = ", ".join(LOCATIONS)
        yield f"{field}: {_shown(location)} is not allowed; give the path of a {ending} file that begins with one of {places}"


def _named(text: str, field: str, example: str) -> Iterator[str]:
    if not text.strip() or text.strip().startswith("-") or len(text) > LONGEST or _unprintable(text):
        yield f"{field}: {_shown(text)} is not allowed; give {example}"


def _repository(text: str | None, field: str) -> Iterator[str]:
    if text is not None and (not _REPOSITORY.fullmatch(text) or len(text) > LONGEST):
        yield f"{field}: {_shown(text)} is not allowed; give a URL that begins with https://, http:// or file://"


def _unprintable(text: str) -> bool:
    return any(ord(letter) < 32 for letter in text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")


def without_credentials(text: str) -> str:
    """A text whose URLs tell no user and no password."""
    return _CREDENTIALS.sub("****@", text)


def document(library: Library) -> dict[str, Any]:
    """A library as it is kept."""
    return msgspec.to_builtins(library)


def key(stored: Mapping[str, Any]) -> str:
    """The same for libraries that are the same."""
    return hashlib.sha256(msgspec.json.encode(stored, order="deterministic")).hexdigest()


def kind_of(stored: Mapping[str, Any]) -> str:
    """The kind of a kept library."""
    return next(kind for kind in KINDS if kind in stored)


def out_of_reach(stored: Mapping[str, Any]) -> str:
    """Why a library cannot be had by nodes without a way out: it names a repository outside. Empty when it names none (the image
    may have what it needs, or name a folder) or a folder of the image."""
    kind = kind_of(stored)
    repository = (stored[kind].get("repo") if kind in INDEXED else None) or ""
    if not repository or repository.startswith("file:"):
        return ""
    return (
        f"{kind}.repo: {_shown(without_credentials(repository))} cannot be reached: {NO_WAY_OUT}; "
        "give a folder of the image, file:///.."
    )


def unfit(stored: Mapping[str, Any], scala: str) -> str:
    """Why a library cannot work with this Scala (`2.13`); empty when it may. Databricks skips such libraries."""
    if "maven" not in stored:
        return ""
    artifact = stored["maven"]["coordinates"].split(":")[1]
    found = _SCALA.search(artifact)
    if found is None or found[1] == scala:
        return ""
    why = f"{artifact} is for Scala {found[1]}, the runtime has {scala}"
    return f"Installation was skipped due to Scala version incompatibility: {why}."
