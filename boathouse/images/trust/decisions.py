"""What somebody may decide of a scan in a request: which vulnerabilities do not count, of which ecosystems nothing need be known.
Pure; policies of images and roll-outs are asked the same."""

from collections.abc import Iterator, Sequence
from datetime import date

from boathouse.images.advisories.model import Ignore
from boathouse.images.advisories.versions import ECOSYSTEMS, is_ecosystem
from boathouse.wire.image_policy import IgnoredVulnerability

LONGEST_TEXT = 1000


def ignores(given: Sequence[IgnoredVulnerability] | None, source: str) -> tuple[Ignore, ...]:
    """The decisions as a scan takes them. `source`: where they stand."""
    return tuple(Ignore(each.vulnerability, each.reason, each.package, each.until, source) for each in given or ())


def problems(
    ignored: Sequence[IgnoredVulnerability] | None, uncovered: Sequence[str] | None, today: date, above: str = ""
) -> Iterator[str]:
    """What is wrong with them: field, value, and what is allowed. `above`: what their fields stand in (`scan.`)."""
    for number, each in enumerate(ignored or ()):
        field = f"{above}ignored_vulnerabilities[{number}]"
        yield from text_problem(f"{field}.vulnerability", each.vulnerability)
        yield from text_problem(f"{field}.reason", each.reason)
        yield from _package(f"{field}.package", each.package)
        if each.until < today:
            yield f"{field}.until: {each.until} has gone by; give a day that is to come, or leave the decision out"
    for number, name in enumerate(uncovered or ()):
        if not is_ecosystem(name):
            yield f"{above}allow_uncovered[{number}]: {name[:60]!r} is no ecosystem; give {ECOSYSTEMS}"


def text_problem(field: str, value: str) -> Iterator[str]:
    """What is wrong with a name or a reason."""
    if not value.strip() or len(value) > LONGEST_TEXT or not value.isprintable():
        yield f"{field}: {value[:100]!r} is not allowed; give 1 to {LONGEST_TEXT} printable characters"


def _package(field: str, value: str) -> Iterator[str]:
    from packageurl import PackageURL

    if not value.startswith("pkg:"):
        return
    try:
        PackageURL.from_string(value)
    except ValueError:
        yield f"{field}: {value[:200]!r} is no package URL"
