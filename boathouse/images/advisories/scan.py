"""The scan: installed packages against advisories, less what people decided. Pure."""

from collections.abc import Iterable, Sequence
from datetime import date

from msgspec.structs import replace

from boathouse.images.advisories import severity, versions
from boathouse.images.advisories.ignores import covers
from boathouse.images.advisories.model import Advisories, Affected, Finding, Ignore, Level, ScanResult
from boathouse.images.packages import Inventory, Package

DISTRIBUTIONS = ("DEBIAN-", "UBUNTU-", "ALPINE-")


def scan(
    packages: Iterable[Package],
    advisories: Advisories,
    ignores: Sequence[Ignore],
    today: date,
    base_layers: int | None = None,
    unread: Sequence[str] = (),
) -> ScanResult:
    """Every known vulnerability of the packages. `base_layers`: how many layers from the bottom are the base's, None where the
    base is not known. `unread`: what the inventory could not read."""
    found: dict[tuple[Package, str], Finding] = {}
    uncovered: set[str] = set()
    unjudged: set[str] = set()
    asked: dict[tuple[str, str], tuple[Affected, ...]] = {}
    for package in packages:
        ecosystem, name = versions.ecosystem(package), versions.advised_name(package)
        if not ecosystem or not advisories.covers(ecosystem):
            uncovered.add(ecosystem or "-".join(part for part in (package.kind, package.namespace, package.release) if part))
            continue
        if not name:
            unjudged.add(f"{package.place}: no group is known")
            continue
        known = asked.get((ecosystem, name))
        if known is None:
            known = asked[ecosystem, name] = tuple(advisories.about(ecosystem, name))
        for affected in known:
            try:
                affects, fixed = versions.hit(package.kind, versions.advised_version(package), affected)
            except versions.Incomparable:
                unjudged.add(f"{package.name} {package.version}: no version of {ecosystem}")
                break
            if affects:
                finding = _finding(package, affected, fixed, base_layers)
                key = (package, finding.identifier)
                found[key] = _joined(found[key], finding) if key in found else finding
    return _judged(found.values(), ignores, today, uncovered, unjudged, unread)


def undecided(found: Inventory, advisories: Advisories, today: date) -> ScanResult:
    """What is known of everything in an inventory, before anybody's decisions."""
    return scan(found.packages, advisories, (), today, None, [f"{path}: {reason}" for path, reason in found.reasons])


def decide(result: ScanResult, ignores: Sequence[Ignore], today: date) -> ScanResult:
    """What a scan without decisions comes to with these: for findings that are remembered."""
    return _judged(result.findings, ignores, today, set(result.uncovered), set(result.unjudged), result.unread)


def _finding(package: Package, affected: Affected, fixed: str, base_layers: int | None) -> Finding:
    names = tuple(dict.fromkeys(plain_name(name) for name in (affected.identifier, *affected.names)))
    identifier = next((name for name in names if name.startswith("CVE-")), names[0])
    origin = "" if base_layers is None else "base" if package.layer < base_layers else "yours"
    return Finding(identifier, affected.level, package, fixed, names, affected.summary, origin)


def plain_name(identifier: str) -> str:
    """`CVE-2023-5678` of `DEBIAN-CVE-2023-5678`: distributions prefix the name that everybody else uses."""
    for prefix in DISTRIBUTIONS:
        if identifier.startswith(prefix + "CVE-"):
            return identifier.removeprefix(prefix)
    return identifier


def _joined(one: Finding, other: Finding) -> Finding:
    """Two advisories of the same vulnerability: the worse level, either's mending version, all names."""
    level = severity.worst([one.level, other.level])
    names = tuple(dict.fromkeys(one.names + other.names))
    return replace(one, level=level, fixed=one.fixed or other.fixed, names=names, summary=one.summary or other.summary)


def _judged(
    found: Iterable[Finding],
    ignores: Sequence[Ignore],
    today: date,
    uncovered: set[str],
    unjudged: set[str],
    unread: Sequence[str],
) -> ScanResult:
    counted: list[Finding] = []
    ignored: list[tuple[Finding, Ignore]] = []
    expired: dict[Ignore, None] = {}
    for finding in sorted(found, key=lambda f: (-f.level, f.identifier, f.package)):
        decisions = [each for each in ignores if covers(each, finding)]
        holds = next((each for each in decisions if each.until is None or today <= each.until), None)
        if holds is not None:
            ignored.append((finding, holds))
            continue
        counted.append(finding)
        expired |= dict.fromkeys(decisions)
    return ScanResult(
        tuple(counted), tuple(ignored), tuple(expired), tuple(sorted(uncovered)), tuple(sorted(unjudged)), tuple(unread)
    )


def level_of(word: str) -> Level:
    """A level by its name (`high`). Raises ValueError that names the allowed ones."""
    allowed = [level.word for level in Level if level is not Level.NONE]
    if word not in allowed:
        raise ValueError(f"'{word}' is no level: {', '.join(allowed)}")
    return Level[word.upper()]
