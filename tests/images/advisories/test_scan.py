"""Installed packages against advisories: what is affected, by which ecosystem's versions, and what people decided."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as some

from boathouse.images.advisories import severity, versions
from boathouse.images.advisories.ignores import BadDecisions, read
from boathouse.images.advisories.model import Affected, Ignore, Level
from boathouse.images.advisories.scan import level_of, scan
from boathouse.images.packages import Package

TODAY = date(2026, 6, 1)


class Known:
    """Advisories in memory."""

    def __init__(self, *entries: Affected) -> None:
        self._entries = entries

    def about(self, ecosystem, package):
        return [each for each in self._entries if (each.ecosystem, each.package) == (ecosystem, package)]

    def covers(self, ecosystem):
        return any(each.ecosystem == ecosystem for each in self._entries)


def one(ecosystem="PyPI", package="x", level=Level.HIGH, ranges=(("0", "2.0", ""),), identifier="CVE-2026-1", **more) -> Affected:
    return Affected(identifier, ecosystem, package, level, ranges, **more)


PACKAGE = Package("pypi", "x", "1.0", place="/usr/x/METADATA", layer=3)
VERSIONS = [
    ("pypi", "1.0rc1", "1.0", True), ("pypi", "1.0.post1", "1.0", False), ("pypi", "1!0.1", "2.0", False),
    ("deb", "1:2.0-1~deb12u1", "1:2.0-1", True), ("deb", "2.0-1", "1:1.0-1", True), ("deb", "2.0-10", "2.0-9", False),
    ("apk", "1.2.4-r2", "1.2.4-r10", True), ("apk", "1.2.4_rc1", "1.2.4", True), ("rpm", "1.0-2.el9", "1:0.5-1.el9", True),
    ("rpm", "1.0-10.el9", "1.0-9.el9", False), ("npm", "1.0.0-rc.1", "1.0.0", True), ("npm", "1.10.0", "1.9.0", False),
    ("maven", "1.0-SNAPSHOT", "1.0", True), ("maven", "1.0.1", "1.0-jre", False), ("cran", "1.2-10", "1.2-9", False),
    ("cran", "1.2.3", "1.2-4", True),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "here", "fixed", "affects"), VERSIONS)
def test_each_ecosystem_has_its_own_order(kind, here, fixed, affects):
    assert versions.hit(kind, here, one(ranges=(("0", fixed, ""),))) == (affects, fixed if affects else "")


@given(some.lists(some.integers(0, 99), min_size=1, max_size=4), some.lists(some.integers(0, 99), min_size=1, max_size=4))
def test_a_version_is_affected_before_the_fix_and_not_from_it(low, high):
    here, fixed = ".".join(map(str, low)), ".".join(map(str, high))
    for kind in ("pypi", "deb", "cran"):
        affects = versions.hit(kind, here, one(ranges=(("0", fixed, ""),)))[0]
        assert affects == (versions.parsed(kind, here) < versions.parsed(kind, fixed))
        assert versions.hit(kind, fixed, one(ranges=(("0", fixed, ""),)))[0] is False


@given(some.text(max_size=300))
def test_nonsense_is_no_version_or_compares(text):
    for kind in ("pypi", "deb", "apk", "rpm", "npm", "maven", "cran"):
        try:
            versions.hit(kind, text, one(ranges=(("0", "1.0", ""),)))
        except versions.Incomparable:
            continue


def test_last_affected_and_single_versions():
    assert versions.hit("pypi", "1.5", one(ranges=(("1.0", "", "1.5"),))) == (True, "")
    assert versions.hit("pypi", "1.6", one(ranges=(("1.0", "", "1.5"),))) == (False, "")
    assert versions.hit("pypi", "1.6", one(ranges=(), versions=("1.6",))) == (True, "")
    assert versions.hit("pypi", "1.5", one(ranges=(("1.0", "nonsense version", ""), ("1.2", "1.9", "")))) == (True, "1.9")


@pytest.mark.parametrize(
    ("package", "ecosystem", "name", "version"),
    [
        (Package("deb", "libc6", "2.36-9", "debian", source="glibc", release="12"), "Debian:12", "glibc", "2.36-9"),
        (Package("deb", "g++", "4:12.2.0-3", "debian", source="gcc-defaults", source_version="1.203", release="12"), "Debian:12",
         "gcc-defaults", "1.203"),
        (Package("deb", "bash", "5", "ubuntu", release="22.04"), "Ubuntu:22.04", "bash", "5"),
        (Package("apk", "ssl_client", "1", "alpine", source="busybox", release="3.19.1"), "Alpine:v3.19", "busybox", "1"),
        (Package("rpm", "bash", "5", "rocky", release="9.3"), "Rocky Linux:9", "bash", "5"),
        (Package("rpm", "bash", "5", "rhel", release="9.3"), "", "bash", "5"),
        (Package("maven", "postgresql", "1", "org.postgresql"), "Maven", "org.postgresql:postgresql", "1"),
        (Package("npm", "node", "1", "@types"), "npm", "@types/node", "1"),
    ],
)  # fmt: skip
def test_what_advisories_call_a_package(package, ecosystem, name, version):
    assert (versions.ecosystem(package), versions.advised_name(package), versions.advised_version(package)) == (
        ecosystem,
        name,
        version,
    )


@pytest.mark.parametrize(
    ("score", "level"),
    [(0.0, "NEGLIGIBLE"), (0.1, "LOW"), (3.9, "LOW"), (4.0, "MEDIUM"), (7.0, "HIGH"), (8.9, "HIGH"), (9.0, "CRITICAL")],
)
def test_bands_of_scores(score, level):
    assert severity.of_score(score) is Level[level]


def test_words_and_vectors():
    assert severity.of_vector("AV:N/AC:L/Au:N/C:P/I:P/A:P") is Level.HIGH
    assert severity.of_vector("CVSS:3.1/AV:N") is Level.UNKNOWN and severity.of_vector(None) is Level.UNKNOWN
    assert severity.of_word("medium**") is Level.MEDIUM and severity.of_word("not yet assigned") is Level.UNKNOWN
    assert level_of("high") is Level.HIGH
    with pytest.raises(ValueError, match="'worse' is no level: negligible, low, unknown, medium, high, critical"):
        level_of("worse")


def test_a_finding_says_where_and_whose():
    result = scan([PACKAGE], Known(one(names=("GHSA-1",))), (), TODAY, base_layers=3)
    (finding,) = result.findings
    assert (finding.identifier, finding.fixed, finding.origin, finding.package.place) == (
        "CVE-2026-1",
        "2.0",
        "yours",
        "/usr/x/METADATA",
    )
    assert scan([PACKAGE], Known(one()), (), TODAY, base_layers=4).findings[0].origin == "base"
    assert scan([PACKAGE], Known(one()), (), TODAY).findings[0].origin == ""
    assert result.worst is Level.HIGH and result.at_least(Level.HIGH) and not result.at_least(Level.CRITICAL)


def test_two_advisories_of_one_vulnerability_are_one_finding():
    known = Known(
        one(identifier="GHSA-1", names=("CVE-2026-1",), level=Level.UNKNOWN), one(identifier="DEBIAN-CVE-2026-1", level=Level.LOW)
    )
    (finding,) = scan([PACKAGE], known, (), TODAY).findings
    assert (finding.identifier, finding.level) == ("CVE-2026-1", Level.LOW) and finding.every_name == {"CVE-2026-1", "GHSA-1"}


def test_what_nothing_is_known_of_is_said():
    odd = [Package("deb", "x", "1", "debian"), Package("maven", "x", "1", place="/x.jar"), Package("pypi", "x", "not a version")]
    result = scan([*odd, PACKAGE], Known(one(), one("Maven", "g:x")), (), TODAY, unread=["/var/lib/rpm/Packages"])
    assert result.uncovered == ("deb-debian",) and len(result.unjudged) == 2 and not result.complete
    assert scan([], Known(), (), TODAY).worst is Level.NONE


def test_decisions_hold_until_their_day():
    decision = Ignore("GHSA-1", "not reachable", "x", TODAY, "list.yaml")
    known = Known(one(names=("GHSA-1",)))
    result = scan([PACKAGE], known, [decision], TODAY)
    assert result.findings == () and result.ignored[0][1] is decision and result.worst is Level.NONE
    result = scan([PACKAGE], known, [decision], date(2026, 6, 2))
    assert len(result.findings) == 1 and result.expired == (decision,)
    assert scan([PACKAGE], Known(one("PyPI", "y")), [decision], date(2026, 6, 2)).expired == ()


@pytest.mark.parametrize(
    ("package", "hides"),
    [
        ("", True),
        ("x", True),
        ("y", False),
        ("pkg:pypi/x", True),
        ("pkg:pypi/x@1.0", True),
        ("pkg:pypi/x@2.0", False),
        ("pkg:npm/x", False),
    ],
)
def test_which_package_a_decision_speaks_of(package, hides):
    result = scan([PACKAGE], Known(one()), [Ignore("CVE-2026-1", "r", package)], TODAY)
    assert (len(result.ignored) == 1) is hides


def test_lists_in_yaml_and_toml(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "ignore:\n  - vulnerability: CVE-1\n    package: pkg:pypi/x\n    reason: not called\n    until: 2026-07-01\n"
    )
    (tmp_path / "a.toml").write_text(
        '[[ignore]]\nvulnerability = "CVE-1"\npackage = "pkg:pypi/x"\nreason = "not called"\nuntil = 2026-07-01\n'
    )
    for name in ("a.yaml", "a.toml"):
        assert read(tmp_path / name) == (Ignore("CVE-1", "not called", "pkg:pypi/x", date(2026, 7, 1), name),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "expected a map with `ignore`"),
        ("ignore: 1", "ignore is no list of maps"), ("ignore: &a [*a]", "cannot be read|aliases"),
        ("ignore: [{vulnerability: CVE-1, reason: r}]", r"ignore\[0\]: until must be a date such as 2027-01-31"),
        ("ignore: [{vulnerability: CVE-1, reason: '', until: 2026-07-01}]", "reason must be a text"),
        ("ignore: [{vulnerability: CVE-1, reason: r, until: 2026-07-01, who: me}]", "unknown field 'who', allowed"),
        ("ignore: [{vulnerability: CVE-1, reason: r, until: 2026-07-01, package: 'pkg:'}]", "is no package URL"),
        ("ignore: [", "cannot be read"),
    ],
)  # fmt: skip
def test_bad_lists_are_refused_by_name(tmp_path, text, says):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadDecisions, match=says):
        read(tmp_path / "a.yaml")


def statement(status: str, stamp: str = "2026-01-01T00:00:00Z", **more) -> dict:
    product = {"@id": "pkg:oci/etl@sha256:00", "subcomponents": [{"@id": "pkg:pypi/x@1.0"}]}
    return {"vulnerability": {"name": "CVE-2026-1"}, "products": [product], "status": status, "timestamp": stamp, **more}


def openvex(path, *statements: dict) -> tuple[Ignore, ...]:
    path.write_text(
        json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "a", "statements": statements})
    )
    return read(path)


def test_openvex(tmp_path):
    path = tmp_path / "vex.json"
    (found,) = openvex(path, statement("not_affected", justification="vulnerable_code_not_in_execute_path"))
    assert found == Ignore("CVE-2026-1", "VEX: vulnerable_code_not_in_execute_path", "pkg:pypi/x@1.0", None, "vex.json")
    assert scan([PACKAGE], Known(one()), [found], TODAY).findings == ()
    assert openvex(path, statement("affected")) == ()
    assert openvex(path, statement("affected", "2026-02-01T00:00:00Z"), statement("not_affected")) == ()
    with pytest.raises(BadDecisions, match="status 'harmless', allowed: not_affected"):
        openvex(path, statement("harmless"))


def test_cyclonedx_vex(tmp_path):
    def document(state: str) -> dict:
        analysis = {"state": state, "justification": "code_not_reachable"}
        affects = [{"ref": "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#1-x"}]
        vulnerabilities = [{"id": "CVE-2026-1", "analysis": analysis, "affects": affects}]
        return {
            "bomFormat": "CycloneDX", "specVersion": "1.6",
            "components": [{"bom-ref": "1-x", "name": "x", "purl": "pkg:pypi/x@1.0"}],
            "vulnerabilities": vulnerabilities,
        }  # fmt: skip

    path = tmp_path / "vex.json"
    path.write_text(json.dumps(document("not_affected")))
    assert read(path) == (Ignore("CVE-2026-1", "VEX: code_not_reachable", "pkg:pypi/x@1.0", None, "vex.json"),)
    path.write_text(json.dumps(document("exploitable")))
    assert read(path) == ()
    path.write_text(json.dumps(document("fine")))
    with pytest.raises(BadDecisions, match=r"analysis.state 'fine', allowed: resolved"):
        read(path)
