"""How a check of an image is told: text for people, JSON for programs, SARIF for code scanning, annotations for GitHub. Pure."""

from importlib.metadata import version
from typing import Any

import msgspec

from boathouse.cli.output import plain, table
from boathouse.images.difference import Difference
from boathouse.images.findings import CheckReport, Finding, Severity

_MARKS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.INFO: " "}
#: The words of SARIF and of GitHub's annotations.
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_ANNOTATIONS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES_PAGE = "docs/image-contract.md"


def document(what: str, report: CheckReport, runtime: dict[str, str]) -> dict[str, Any]:
    """All fields of the report, whether a cluster can be made of the image, and the runtime (`glibc` empty: not compared)."""
    return {"image": what, "ok": report.ok, "runtime": runtime, **msgspec.to_builtins(report)}


def text(what: str, report: CheckReport) -> str:
    """A line for each finding, the fixes, and what would run in the image."""
    lines = [f"{what}: " + ("a cluster can be made of it" if report.ok else "refused")]
    rows = [(_MARKS[f.severity], f.code, f.message + (f" ({f.evidence})" if f.evidence else "")) for f in report.findings]
    lines.append(table(rows))
    lines += [f"  fix for {f.code}: {f.fix}" for f in report.findings if f.fix and f.severity is not Severity.INFO]
    if report.libc:  # something could be looked at
        python = (
            f"Python {report.python.version} at {report.python.path}" if report.python else report.python_reason or "no Python"
        )
        lines.append(f"  {python}; {report.libc}")
    return "\n".join(plain(line) for line in lines if line)


def sarif(what: str, report: CheckReport) -> dict[str, Any]:
    """The report as SARIF 2.1.0: one run, a rule for each code that was found, the image as the place."""
    codes = list(dict.fromkeys(finding.code for finding in report.findings))
    first = {finding.code: finding for finding in reversed(report.findings)}
    rules = [
        {
            "id": code,
            "shortDescription": {"text": first[code].message},
            "help": {"text": first[code].fix or first[code].message},
            "defaultConfiguration": {"level": _LEVELS[first[code].severity]},
        }
        for code in codes
    ]
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": _LEVELS[finding.severity],
            "message": {"text": finding.text},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": what}, "region": {"startLine": 1}}}],
            "properties": {"evidence": finding.evidence, "terminationCode": finding.termination_code},
        }
        for finding in report.findings
    ]
    driver = {"name": "boathouse image check", "version": version("boathouse"), "informationUri": _RULES_PAGE, "rules": rules}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def github(what: str, report: CheckReport) -> str:
    """Workflow commands: GitHub shows each as an annotation of the run. Everything about which something can be done."""
    shown = (finding for finding in report.findings if finding.severity is not Severity.INFO or finding.fix)
    return "\n".join(_annotation(what, finding) for finding in shown)


def _annotation(what: str, finding: Finding) -> str:
    title = _escaped(f"{what}: {finding.code}", "%\r\n:,")
    said = _escaped(plain(finding.text), "%\r\n")
    return f"::{_ANNOTATIONS[finding.severity]} title={title}::{said}"


def _escaped(words: str, signs: str) -> str:
    """As GitHub's toolkit escapes data and properties."""
    return "".join(f"%{ord(sign):02X}" if sign in signs else sign for sign in words)


def changes(found: Difference) -> str:
    """What changes from one image to another, for people."""
    if found.same:
        return "nothing that a cluster could notice"
    (size, size_after), (layers, layers_after) = ([mega / 1e6 for mega in found.size_bytes], found.layers)
    lines = [
        f"layers: {layers} -> {layers_after}, the first {found.shared_layers} the same; files: {size:.0f} -> {size_after:.0f} MB"
    ]
    changed = found.configuration + found.packages
    rows = [(_sign(before, after), name, before or "-", after or "-") for name, before, after in changed]
    lines.append(table(rows))
    for title, findings in (("new for a cluster", found.new_findings), ("no longer", found.gone_findings)):
        if findings:
            lines.append(f"{title}:")
            lines.append(table([(_MARKS[f.severity], f.code, f.text) for f in findings]))
    return "\n".join(line for line in lines if line)


def _sign(before: str, after: str) -> str:
    return "~" if before and after else "+" if after else "-"
