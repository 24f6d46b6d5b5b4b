"""What the scan speaks of: advisories, levels, what it finds, what people decided. No rules here."""

from collections.abc import Iterable
from datetime import date
from enum import IntEnum
from typing import Protocol

import msgspec

from boathouse.images.packages import Package


class Level(IntEnum):
    """How bad, in order. UNKNOWN is what nobody has judged yet: above low, below medium, so that a gate at `medium` lets it pass
    and a gate at `unknown` does not."""

    NONE = 0
    NEGLIGIBLE = 1
    LOW = 2
    UNKNOWN = 3
    MEDIUM = 4
    HIGH = 5
    CRITICAL = 6

    @property
    def word(self) -> str:
        return self.name.lower()


class Affected(msgspec.Struct, frozen=True):
    """One package of one advisory. `ranges`: intervals of versions as (introduced, fixed, last affected), empty where one is not
    said; `versions`: those that are named one by one. `names`: the identifier, its aliases, what it was made from."""

    identifier: str
    ecosystem: str
    package: str
    level: Level
    ranges: tuple[tuple[str, str, str], ...] = ()
    versions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    summary: str = ""


class Advisories(Protocol):
    """Where advisories are looked up."""

    def about(self, ecosystem: str, package: str) -> Iterable[Affected]:
        """What is known of a package, under the ecosystem's own name (`PyPI`, `Debian:12`)."""
        ...

    def covers(self, ecosystem: str) -> bool:
        """Whether anything of this ecosystem was imported: without, no finding means nothing."""
        ...


class Finding(msgspec.Struct, frozen=True):
    """A vulnerability of one installed package. `fixed`: the lowest version that mends it, empty where there is none yet.
    `origin`: `base`, `yours`, or empty where the base is not known. The evidence is `package.place` in `package.layer`."""

    identifier: str
    level: Level
    package: Package
    fixed: str = ""
    names: tuple[str, ...] = ()
    summary: str = ""
    origin: str = ""

    @property
    def every_name(self) -> frozenset[str]:
        return frozenset((self.identifier, *self.names))


class Ignore(msgspec.Struct, frozen=True):
    """A decision that a vulnerability does not count. `package`: a name or a package URL (its version and qualifiers only when
    given); empty: any. `until`: the last day on which it holds, None for the statements of a VEX document. `source`: the file."""

    vulnerability: str
    reason: str
    package: str = ""
    until: date | None = None
    source: str = ""


class ScanResult(msgspec.Struct, frozen=True):
    """`findings` count, worst first; `ignored` do not, each with the decision; `expired` are decisions that ended and would have
    hidden a finding. `uncovered`: ecosystems of installed packages of which the data base knows nothing; `unjudged`: packages
    whose version or name cannot be compared; `unread`: what could not be read. All three mean: not the whole truth."""

    findings: tuple[Finding, ...] = ()
    ignored: tuple[tuple[Finding, Ignore], ...] = ()
    expired: tuple[Ignore, ...] = ()
    uncovered: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def worst(self) -> Level:
        """The highest level that counts; NONE without findings."""
        return max((finding.level for finding in self.findings), default=Level.NONE)

    @property
    def complete(self) -> bool:
        """Whether everything in the image was read. A gate must not let an image pass that hides its packages."""
        return not self.unread

    def uncovered_beyond(self, allowed: Iterable[str]) -> tuple[str, ...]:
        """The ecosystems of which nothing is known and something should be: a gate must not take silence for good news."""
        let_pass = frozenset(allowed)
        return tuple(name for name in self.uncovered if name not in let_pass)

    def at_least(self, level: Level) -> tuple[Finding, ...]:
        """The findings that a gate at this level refuses."""
        return tuple(finding for finding in self.findings if finding.level >= level)
