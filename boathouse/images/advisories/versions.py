"""Whether an installed version is affected, in the order of its own ecosystem. Pure; the orders are univers'."""

import re
from functools import lru_cache
from typing import Any

from boathouse.images.advisories.model import Affected
from boathouse.images.packages import Package

LONGEST_VERSION = 200
#: Red Hat's rebuilds whose advisories OSV has, by the ID of os-release.
_RPM = {"rocky": "Rocky Linux", "almalinux": "AlmaLinux"}
_SOURCES = {"debian": "Debian", "ubuntu": "Ubuntu"}
_LANGUAGES = {"pypi": "PyPI", "npm": "npm", "cran": "CRAN", "maven": "Maven"}
#: Names of ecosystems: those of OSV, and, for a distribution that OSV does not have, what the scan calls it (`rpm-fedora-40`).
_NAMED = re.compile(r"(?:Debian|Ubuntu|Rocky Linux|AlmaLinux):[\w.]+|Alpine:v[\w.]+|(?:deb|apk|rpm)(?:-[\w.]+){0,2}")
ECOSYSTEMS = "PyPI, npm, CRAN, Maven, a distribution's release such as Debian:12 or Alpine:v3.20, or a name as the scan says it"


def ecosystem(package: Package) -> str:
    """The name under which OSV files this package's advisories; empty where there is none."""
    release = package.release
    if package.kind == "deb":
        name = _SOURCES.get(package.namespace, "")
        return f"{name}:{release}" if name and release else ""
    if package.kind == "apk":
        return f"Alpine:v{'.'.join(release.split('.')[:2])}" if package.namespace == "alpine" and release else ""
    if package.kind == "rpm":
        name = _RPM.get(package.namespace, "")
        return f"{name}:{release.split('.')[0]}" if name and release else ""
    return _LANGUAGES.get(package.kind, "")


def is_ecosystem(name: str) -> bool:
    """Whether a scan can speak of an ecosystem by this name."""
    return name in _LANGUAGES.values() or _NAMED.fullmatch(name) is not None


def advised_name(package: Package) -> str:
    """The name that advisories use: of the source package in Debian and Alpine, `group:artifact` in Maven; empty: not known."""
    if package.kind in ("deb", "apk"):
        return package.source or package.name
    if package.kind == "maven":
        return f"{package.namespace}:{package.name}" if package.namespace else ""
    return f"{package.namespace}/{package.name}" if package.kind == "npm" and package.namespace else package.name


def advised_version(package: Package) -> str:
    """The version that advisories speak of: the source package's where it has its own."""
    return package.source_version or package.version


@lru_cache(maxsize=1)
def _orders() -> dict[str, Any]:
    from univers import versions as known

    return {
        "deb": known.DebianVersion, "apk": known.AlpineLinuxVersion, "rpm": known.RpmVersion, "pypi": known.PypiVersion,
        "npm": known.SemverVersion, "maven": known.MavenVersion, "cran": _r_version,
    }  # fmt: skip


def _r_version(text: str) -> tuple[int, ...]:
    """As R's `package_version` compares: numbers, separated by points or dashes."""
    if not re.fullmatch(r"\d+(?:[.-]\d+)*", text):
        raise ValueError("no version of R")
    return tuple(int(part) for part in re.split(r"[.-]", text))


class Incomparable(ValueError):
    """A version that is none in its ecosystem."""


@lru_cache(maxsize=65536)
def parsed(kind: str, text: str) -> Any:
    """A version that can be compared with others of its kind. Raises Incomparable."""
    if not text or len(text) > LONGEST_VERSION or kind not in _orders():
        raise Incomparable(text[:LONGEST_VERSION])
    try:
        return _orders()[kind](text)
    except Exception:  # each order of the library fails in its own way
        raise Incomparable(text) from None


def hit(kind: str, version: str, affected: Affected) -> tuple[bool, str]:
    """Whether the version is affected, and the version that mends it (empty: none is known). Raises Incomparable when the
    installed version is none; an interval whose bounds are none is left out."""
    here = parsed(kind, version)
    found, fixes = version in affected.versions, []
    for introduced, fixed, last in affected.ranges:
        try:
            inside = (introduced in ("", "0") or parsed(kind, introduced) <= here) and (
                here < parsed(kind, fixed) if fixed else not last or here <= parsed(kind, last)
            )
        except (Incomparable, TypeError):
            continue
        if inside:
            found = True
            fixes += [fixed] if fixed else []
    return found, min(fixes, key=lambda text: parsed(kind, text)) if fixes else ""
