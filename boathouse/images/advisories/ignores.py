"""What people decided about vulnerabilities: ignore lists (YAML, TOML), OpenVEX and CycloneDX VEX. Pure but for `read`.

An entry of a list needs the vulnerability, a reason and the last day on which it holds. A VEX document's statements that a
product is not affected or is fixed hold without an end: https://github.com/openvex/spec, https://cyclonedx.org/capabilities/vex/.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from boathouse.images.advisories.model import Finding, Ignore

LONGEST_DOCUMENT = 32 << 20
MOST_ENTRIES = 100_000
FIELDS = ("vulnerability", "package", "reason", "until")
OPENVEX_STATES = ("not_affected", "fixed", "affected", "under_investigation")
CYCLONEDX_STATES = ("resolved", "resolved_with_pedigree", "exploitable", "in_triage", "false_positive", "not_affected")
_HARMLESS = ("not_affected", "fixed", "resolved", "resolved_with_pedigree", "false_positive")


class BadDecisions(ValueError):
    """A file of decisions that cannot be used; the message names the file, the field, the value and what is allowed."""


def covers(ignore: Ignore, finding: Finding) -> bool:
    """Whether the decision speaks of the finding."""
    if ignore.vulnerability not in finding.every_name:
        return False
    if not ignore.package.startswith("pkg:"):
        return ignore.package in ("", finding.package.name, finding.package.source)
    from packageurl import PackageURL

    wanted, found = PackageURL.from_string(ignore.package), PackageURL.from_string(finding.package.purl)
    same = (wanted.type, wanted.namespace or found.namespace, wanted.name) == (found.type, found.namespace, found.name)
    qualifiers = found.qualifiers if isinstance(found.qualifiers, dict) else {}
    asked = wanted.qualifiers if isinstance(wanted.qualifiers, dict) else {}
    fits = all(qualifiers.get(key, value) == value for key, value in asked.items())
    return same and fits and wanted.version in (None, "", found.version)


def read(path: Path) -> tuple[Ignore, ...]:
    """The decisions of a file: a VEX document (`.json`), or a list in YAML or TOML. Raises BadDecisions."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_DOCUMENT + 1)
    except OSError as error:
        raise BadDecisions(f"{path}: {error.strerror}") from None
    if len(data) > LONGEST_DOCUMENT:
        raise BadDecisions(f"{path} is larger than {LONGEST_DOCUMENT} bytes")
    try:
        found = tuple(_entries(_document(path, data), path.name))
    except RecursionError:
        raise BadDecisions(f"{path} is nested too deeply") from None
    if len(found) > MOST_ENTRIES:
        raise BadDecisions(f"{path} has more than {MOST_ENTRIES} entries")
    return found


def _document(path: Path, data: bytes) -> Any:
    import tomllib

    import yaml

    try:
        text = data.decode()
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix == ".json":
            return json.loads(text)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=loader)):
            raise BadDecisions(f"{path}: aliases are not allowed")
        return yaml.load(text, Loader=loader)
    except (ValueError, yaml.YAMLError) as error:
        if isinstance(error, BadDecisions):
            raise
        raise BadDecisions(f"{path} cannot be read: {error}") from None


def _entries(document: Any, source: str) -> Iterator[Ignore]:
    if not isinstance(document, dict):
        raise BadDecisions(f"{source}: expected a map with `ignore`, an OpenVEX or a CycloneDX document")
    if "openvex" in str(document.get("@context", "")):
        yield from _openvex(document, source)
    elif document.get("bomFormat") == "CycloneDX":
        yield from _cyclonedx(document, source)
    elif set(document) == {"ignore"}:
        yield from (
            _entry(entry, f"{source}: ignore[{number}]", source) for number, entry in enumerate(_list(document, "ignore", source))
        )
    else:
        raise BadDecisions(f"{source}: expected a map with `ignore` alone, an OpenVEX or a CycloneDX document")


def _list(document: dict[str, Any], field: str, where: str) -> list[dict[str, Any]]:
    found = document.get(field)
    found = [] if found is None else found
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadDecisions(f"{where}: {field} is no list of maps")
    return found


def _entry(entry: dict[str, Any], where: str, source: str) -> Ignore:
    if unknown := sorted(set(map(str, entry)) - set(FIELDS)):
        raise BadDecisions(f"{where}: unknown field '{unknown[0]}', allowed: {', '.join(FIELDS)}")
    for field in ("vulnerability", "reason"):
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise BadDecisions(f"{where}: {field} must be a text")
    package, until = entry.get("package", ""), entry.get("until")
    if not isinstance(package, str):
        raise BadDecisions(f"{where}: package must be a name or a package URL")
    if isinstance(until, str):
        try:
            until = date.fromisoformat(until)
        except ValueError:
            until = None
    if isinstance(until, datetime) or not isinstance(until, date):
        raise BadDecisions(f"{where}: until must be a date such as 2027-01-31, the last day on which it holds")
    return Ignore(entry["vulnerability"].strip(), entry["reason"].strip(), _named(package, where), until, source)


def _named(package: str, where: str) -> str:
    from packageurl import PackageURL

    if package.startswith("pkg:"):
        try:
            PackageURL.from_string(package)
        except ValueError as error:
            raise BadDecisions(f"{where}: '{package[:200]}' is no package URL: {error}") from None
    return package


def _openvex(document: dict[str, Any], source: str) -> Iterator[Ignore]:
    """The last statement of a vulnerability and a package holds, as the specification orders them by time."""
    holds: dict[tuple[str, str], Ignore | None] = {}
    statements = _list(document, "statements", source)
    for statement in sorted(statements, key=lambda each: str(each.get("timestamp") or document.get("timestamp") or "")):
        state, vulnerability = statement.get("status"), statement.get("vulnerability")
        if state not in OPENVEX_STATES:
            raise BadDecisions(f"{source}: status '{str(state)[:100]}', allowed: {', '.join(OPENVEX_STATES)}")
        named = vulnerability if isinstance(vulnerability, dict) else {"name": vulnerability}
        names = [name for name in (named.get("name"), *_texts(named.get("aliases"))) if isinstance(name, str) and name]
        if not names:
            raise BadDecisions(f"{source}: a statement names no vulnerability")
        reason = next(
            (str(statement[f]) for f in ("justification", "impact_statement", "status_notes") if statement.get(f)), state
        )
        for package in _products(statement, source):
            for name in names:
                holds[name, package] = Ignore(name, f"VEX: {reason}", package, None, source) if state in _HARMLESS else None
    yield from (ignore for ignore in holds.values() if ignore is not None)


def _products(statement: dict[str, Any], source: str) -> Iterator[str]:
    """The package URLs of a statement: of the subcomponents where there are some (the product is then the image)."""
    for product in _list(statement, "products", source):
        parts = _list(product, "subcomponents", source) or [product]
        for part in parts:
            names = part.get("identifiers")
            purl = names.get("purl") if isinstance(names, dict) else None
            name = purl or part.get("@id")
            if isinstance(name, str) and name.startswith("pkg:") and not name.startswith(("pkg:oci/", "pkg:docker/")):
                yield _named(name, source)


def _cyclonedx(document: dict[str, Any], source: str) -> Iterator[Ignore]:
    components = {
        str(each.get("bom-ref")): str(each["purl"]) for each in _list(document, "components", source) if each.get("purl")
    }
    for each in _list(document, "vulnerabilities", source):
        analysis, name = each.get("analysis"), each.get("id")
        if not isinstance(analysis, dict) or not isinstance(name, str):
            continue
        state = analysis.get("state")
        if state is not None and state not in CYCLONEDX_STATES:
            raise BadDecisions(f"{source}: analysis.state '{str(state)[:100]}', allowed: {', '.join(CYCLONEDX_STATES)}")
        if state not in _HARMLESS:
            continue
        reason = next((str(analysis[field]) for field in ("justification", "detail") if analysis.get(field)), str(state))
        for target in _list(each, "affects", source):
            reference = str(target.get("ref", ""))
            reference = reference.rpartition("#")[2] if reference.startswith("urn:cdx:") else reference
            package = components.get(reference, reference)
            if package.startswith("pkg:"):
                yield Ignore(name, f"VEX: {reason}", _named(package, source), None, source)


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
