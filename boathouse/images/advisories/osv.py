"""Advisories in the OSV format, as https://osv.dev exports them: a document each, in a zip for each ecosystem. Pure.

Schema: https://ossf.github.io/osv-schema/. Ranges of git commits say nothing of released versions and are left out.
"""

from collections.abc import Iterator
from typing import Any

from boathouse.images.advisories import severity
from boathouse.images.advisories.model import Affected, Level

MOST_RANGES = 2_000
MOST_VERSIONS = 20_000
LONGEST_SUMMARY = 300


class NotOsv(ValueError):
    """A document that is not in the format; the message names the field."""


def is_advisory(document: Any) -> bool:
    """Whether a decoded document says of itself what every OSV document says."""
    return isinstance(document, dict) and isinstance(document.get("id"), str) and "modified" in document


def affected(document: Any) -> Iterator[Affected]:
    """What one document says of packages; nothing when it was withdrawn. Raises NotOsv."""
    if not is_advisory(document):
        raise NotOsv("it has no id and no modified")
    if document.get("withdrawn"):
        return
    identifier = document["id"]
    names = tuple(name for field in ("aliases", "upstream") for name in _list(document, field) if isinstance(name, str))
    level, summary = _level(document), str(document.get("summary") or document.get("details") or "")
    for each in _list(document, "affected"):
        package = each.get("package") if isinstance(each, dict) else None
        if not isinstance(package, dict):
            continue
        ecosystem, name = package.get("ecosystem"), package.get("name")
        if not isinstance(ecosystem, str) or not isinstance(name, str):
            raise NotOsv(f"{identifier}: affected.package names no ecosystem and package")
        own = _level(each)
        versions = tuple(version for version in _list(each, "versions") if isinstance(version, str))[:MOST_VERSIONS]
        yield Affected(
            identifier, filed(ecosystem), _plain(ecosystem, name), level if own is Level.UNKNOWN else own, tuple(_ranges(each)),
            versions, names, " ".join(summary.split())[:LONGEST_SUMMARY],
        )  # fmt: skip


def filed(ecosystem: str) -> str:
    """The ecosystem without what releases of a distribution are called beside their number (`Ubuntu:22.04:LTS`)."""
    return ecosystem.removesuffix(":LTS")


def _plain(ecosystem: str, name: str) -> str:
    """PyPI's names as PyPI compares them."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "PyPI" else name


def _level(document: dict[str, Any]) -> Level:
    """The worst vector; without one, the word of the distribution or the data base."""
    entries = [entry for entry in _list(document, "severity") if isinstance(entry, dict)]
    vectors = [severity.of_vector(e.get("score")) for e in entries if str(e.get("type", "")).startswith("CVSS")]
    words = [severity.of_word(e.get("score")) for e in entries if not str(e.get("type", "")).startswith("CVSS")]
    for field, key in (("ecosystem_specific", "urgency"), ("ecosystem_specific", "severity"), ("database_specific", "severity")):
        inner = document.get(field)
        words.append(severity.of_word(inner.get(key)) if isinstance(inner, dict) else Level.UNKNOWN)
    said = severity.worst(words)
    return said if said is Level.NEGLIGIBLE else severity.worst(vectors) if any(v is not Level.UNKNOWN for v in vectors) else said


def _ranges(each: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Intervals: an `introduced` begins one, the `fixed` or `last_affected` after it ends it."""
    count = 0
    for entry in _list(each, "ranges"):
        if not isinstance(entry, dict) or entry.get("type") not in ("ECOSYSTEM", "SEMVER"):
            continue
        begun: str | None = None
        for event in _list(entry, "events"):
            if not isinstance(event, dict) or count >= MOST_RANGES:
                continue
            if isinstance(event.get("introduced"), str):
                if begun is not None:
                    yield begun, "", ""
                begun, count = event["introduced"], count + 1
            elif begun is not None and isinstance(event.get("fixed"), str):
                yield begun, event["fixed"], ""
                begun = None
            elif begun is not None and isinstance(event.get("last_affected"), str):
                yield begun, "", event["last_affected"]
                begun = None
        if begun is not None:
            yield begun, "", ""


def _list(document: dict[str, Any], field: str) -> list[Any]:
    found = document.get(field)
    return found if isinstance(found, list) else []
