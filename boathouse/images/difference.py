"""What changes from one image to another: packages, configuration, layers, size, and what that means for a cluster. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from boathouse.images.findings import CheckReport, Finding, Severity
from boathouse.images.image_config import ImageConfig
from boathouse.images.packages import Package

Change = tuple[str, str, str]  # what, before, after; empty: not there


@dataclass(frozen=True)
class Difference:
    """`packages` and `configuration`: what changed, before, after. `new_findings` only the second image has, `gone_findings` only
    the first had. `shared_layers`: how many layers from the bottom are the same. Sizes are of all files, in bytes."""

    packages: tuple[Change, ...]
    configuration: tuple[Change, ...]
    new_findings: tuple[Finding, ...]
    gone_findings: tuple[Finding, ...]
    shared_layers: int
    layers: tuple[int, int]
    size_bytes: tuple[int, int]

    @property
    def same(self) -> bool:
        """Nothing that a cluster could notice changed."""
        return not (self.packages or self.configuration or self.new_findings or self.gone_findings)


@dataclass(frozen=True)
class Side:
    """One of the two images."""

    config: ImageConfig
    packages: tuple[Package, ...]
    report: CheckReport
    size_bytes: int


def compare(before: Side, after: Side) -> Difference:
    """From the image `before` to the image `after`."""
    shared = 0
    for one, other in zip(before.config.diff_ids, after.config.diff_ids, strict=False):
        if one != other:
            break
        shared += 1
    return Difference(
        packages=_changes(_versions(before.packages), _versions(after.packages)),
        configuration=_changes(_settings(before), _settings(after)),
        new_findings=_only(after.report, before.report),
        gone_findings=_only(before.report, after.report),
        shared_layers=shared,
        layers=(len(before.config.diff_ids), len(after.config.diff_ids)),
        size_bytes=(before.size_bytes, after.size_bytes),
    )


def _versions(packages: Iterable[Package]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for package in packages:
        found.setdefault(
            f"{package.kind} {package.namespace + '/' if package.kind == 'npm' and package.namespace else ''}{package.name}", []
        ).append(package.version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _settings(side: Side) -> dict[str, str]:
    """What a cluster sees of the configuration. ENTRYPOINT, CMD and USER are ignored by it and left out."""
    says = {f"ENV {name}": value for name, value in side.config.environment.items()}
    says["Python"] = side.report.python.version if side.report.python else ""
    says |= {"C library": side.report.libc, "platform": side.config.platform, "R": side.report.r}
    return {name: value for name, value in says.items() if value}


def _changes(before: dict[str, str], after: dict[str, str]) -> tuple[Change, ...]:
    names = sorted(before.keys() | after.keys())
    return tuple((n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n))


def _only(one: CheckReport, other: CheckReport) -> tuple[Finding, ...]:
    known = {(finding.code, finding.evidence) for finding in other.findings}
    return tuple(f for f in one.findings if (f.code, f.evidence) not in known and f.severity is not Severity.INFO)
