"""How a scan is told: text for people, JSON for programs, SARIF for code scanning. Pure."""

from importlib.metadata import version
from typing import Any

import msgspec

from boathouse.cli.image_report import SARIF_SCHEMA
from boathouse.cli.output import plain, table
from boathouse.images.advisories.model import Finding, Ignore, Level, ScanResult

_PAGE = "docs/advisories.md"
#: Security severities that code scanning sorts by: the middle of each band.
_SCORES = {Level.CRITICAL: "9.5", Level.HIGH: "8.0", Level.MEDIUM: "5.5", Level.LOW: "2.0"}


def document(what: str, result: ScanResult, status: dict[str, Any]) -> dict[str, Any]:
    """Everything that was found, and how old the advisories are."""
    return {
        "image": what,
        "worst": result.worst.word,
        "complete": result.complete,
        "findings": [_finding(each) for each in result.findings],
        "ignored": [_finding(each) | {"decision": _decision(ignore)} for each, ignore in result.ignored],
        "expired": [_decision(each) for each in result.expired],
        "uncovered": result.uncovered, "unjudged": result.unjudged, "unread": result.unread,
        "advisories": status,
    }  # fmt: skip


def _finding(each: Finding) -> dict[str, Any]:
    return {
        "id": each.identifier, "names": each.names, "severity": each.level.word, "package": each.package.name,
        "version": each.package.version, "fixed": each.fixed, "purl": each.package.purl, "layer": each.package.layer,
        "origin": each.origin, "place": each.package.place, "summary": each.summary,
    }  # fmt: skip


def _decision(each: Ignore) -> dict[str, Any]:
    return msgspec.to_builtins(each)


def text(what: str, result: ScanResult, age: str) -> str:
    """A line for each finding with where it is from, then everything that limits what this says."""
    counts = {level: sum(each.level is level for each in result.findings) for level in reversed(Level)}
    said = ", ".join(f"{count} {level.word}" for level, count in counts.items() if count) or "no known vulnerability"
    rows = [
        (
            each.level.word, each.identifier, f"{each.package.name} {each.package.version}",
            f"fixed in {each.fixed}" if each.fixed else "no fix", where(each), each.package.place,
        )
        for each in result.findings
    ]  # fmt: skip
    silent = f"; nothing is known of packages of {', '.join(result.uncovered)}" if result.uncovered else ""
    lines = [f"{what}: {said}{silent}", table(rows)]
    lines += [f"  ignored: {each.identifier} of {each.package.name}: {i.reason} ({_until(i)})" for each, i in result.ignored]
    lines += [f"  expired: {i.vulnerability} of {i.package or 'any package'} counts again ({_until(i)})" for i in result.expired]
    lines += [f"  not compared: {each}" for each in result.unjudged[:20]]
    lines += [f"  not compared: {len(result.unjudged) - 20} more"] if len(result.unjudged) > 20 else []
    lines += [f"  not read: {each}" for each in result.unread]
    return "\n".join(plain(line) for line in [*lines, f"  {age}"] if line)


def where(each: Finding) -> str:
    """The layer, and whether it is the base's."""
    return f"layer {each.package.layer}" + (f" ({each.origin})" if each.origin else "")


def _until(ignore: Ignore) -> str:
    return f"{ignore.source}, until {ignore.until}" if ignore.until else ignore.source


def sarif(what: str, result: ScanResult) -> dict[str, Any]:
    """SARIF 2.1.0: a rule for each vulnerability, a result for each package; ignored ones are suppressed with their reason."""
    everything = [(each, None) for each in result.findings] + list(result.ignored)
    first = {each.identifier: each for each, _ in reversed(everything)}
    codes = list(dict.fromkeys(each.identifier for each, _ in everything))
    rules = [
        {
            "id": code,
            "shortDescription": {"text": first[code].summary or code},
            "properties": {"security-severity": _SCORES.get(first[code].level, "0.0"), "tags": ["security"]},
        }
        for code in codes
    ]
    results = [_result(what, each, ignore, codes.index(each.identifier)) for each, ignore in everything]
    driver = {"name": "boathouse image scan", "version": version("boathouse"), "informationUri": _PAGE, "rules": rules}
    notes = [{"level": "warning", "message": {"text": f"not read: {each}"}} for each in result.unread]
    notes += [{"level": "warning", "message": {"text": f"nothing is known of packages of {each}"}} for each in result.uncovered]
    invocation = {"executionSuccessful": result.complete, "toolExecutionNotifications": notes}
    run = {"tool": {"driver": driver}, "results": results, "invocations": [invocation]}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(what: str, each: Finding, ignore: Ignore | None, rule: int) -> dict[str, Any]:
    level = "error" if each.level >= Level.HIGH else "warning" if each.level >= Level.UNKNOWN else "note"
    fix = f"fixed in {each.fixed}" if each.fixed else "no fix"
    message = f"{each.identifier} ({each.level.word}): {each.package.name} {each.package.version}, {fix}, {where(each)}"
    place = {"artifactLocation": {"uri": f"{what}{each.package.place}"}, "region": {"startLine": 1}}
    result: dict[str, Any] = {
        "ruleId": each.identifier, "ruleIndex": rule, "level": level, "message": {"text": message},
        "locations": [{"physicalLocation": place}], "properties": _finding(each),
    }  # fmt: skip
    if ignore is not None:
        result["suppressions"] = [{"kind": "external", "justification": ignore.reason}]
    return result
