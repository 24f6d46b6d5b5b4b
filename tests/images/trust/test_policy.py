"""The rules of the image policy: a table of what each refuses, and what holds for every policy and image."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, strategies

from boathouse.images.advisories.model import Finding, Level, ScanResult
from boathouse.images.packages import Package
from boathouse.images.references import parse
from boathouse.images.trust import policy as rules
from boathouse.images.trust import signatures
from boathouse.images.trust.policy import AFTER_PULL, AT_WISH, BEFORE_PULL, RULES, Facts, Scanned, judge
from boathouse.wire.image_policy import Base, IgnoredVulnerability, ImageException, ImagePolicy, Signer

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DIGEST, LISTED = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
LAYERS = tuple(f"sha256:{each * 64}" for each in "123")
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def finding(level: Level, name: str = "openssl", identifier: str = "CVE-2026-1", fixed: str = "") -> Finding:
    return Finding(identifier, level, Package("deb", name, "1.0", "debian"), fixed, (identifier,))


def facts(text: str = "registry.example.com/team/app:1", **more: Any) -> Facts:
    given = {"digests": (DIGEST,), "created": "2026-11-30T00:00:00Z", "diff_ids": LAYERS, "scanned": Scanned(ScanResult())}
    return Facts(parse(text), **{**given, **more})


def refused(policy: ImagePolicy, image: Facts, *exceptions: ImageException, only: tuple[str, ...] = RULES) -> list[str]:
    return [each.rule for each in judge(policy, exceptions, image, only, NOW).refusals]


SIGNERS = [Signer(name="team", key=pem(KEY)), Signer(name="security", key=pem(OTHER))]


@pytest.mark.parametrize(
    ("policy", "image", "broken"),
    [
        (ImagePolicy(), Facts(parse("x")), []),
        (ImagePolicy(allowed_registries=["registry.example.com"]), facts(), []),
        (ImagePolicy(allowed_registries=["registry.example.com/team"]), facts(), []),
        (ImagePolicy(allowed_registries=["registry.example.com/team/app"]), facts(), []),
        (ImagePolicy(allowed_registries=["registry.example.com/te"]), facts(), ["allowed_registries"]),
        (ImagePolicy(allowed_registries=["registry.example.com:5000"]), facts(), ["allowed_registries"]),
        (ImagePolicy(allowed_registries=["*.example.com"]), facts(), []),
        (ImagePolicy(allowed_registries=["*.example.com"]), facts("example.com/x"), ["allowed_registries"]),
        (ImagePolicy(allowed_registries=["*.example.com"]), facts("evil-example.com/x"), ["allowed_registries"]),
        (ImagePolicy(allowed_registries=["docker.io/library"]), facts("ubuntu:22.04"), []),
        (ImagePolicy(allowed_registries=["docker.io/library"]), facts("somebody/ubuntu"), ["allowed_registries"]),
        (ImagePolicy(allowed_registries=[]), facts(), ["allowed_registries"]),
        (ImagePolicy(pinned=True), facts(), ["pinned"]),
        (ImagePolicy(pinned=True), facts(f"x/y@{DIGEST}"), []),
        (ImagePolicy(pinned=True), facts(f"x/y:1@{DIGEST}"), []),
        (ImagePolicy(signers=SIGNERS), facts(), ["signers"]),
        (ImagePolicy(signers=SIGNERS), facts(signed_by=("security",)), []),
        (ImagePolicy(signers=SIGNERS), facts(signed_by=("somebody",)), ["signers"]),
        (ImagePolicy(signers=SIGNERS, signatures_required=2), facts(signed_by=("security",)), ["signers"]),
        (ImagePolicy(signers=SIGNERS, signatures_required=2), facts(signed_by=("security", "team")), []),
        (ImagePolicy(max_age_days=2), facts(), []),
        (ImagePolicy(max_age_days=2), facts(created="2026-11-28T12:00:00Z"), ["max_age_days"]),
        (ImagePolicy(max_age_days=2), facts(created="1970-01-01T00:00:00Z"), ["max_age_days"]),
        (ImagePolicy(max_age_days=2), facts(created="2027-01-01T00:00:00.123456789Z"), ["max_age_days"]),
        (ImagePolicy(max_age_days=2), facts(created=""), ["max_age_days"]),
        (ImagePolicy(max_age_days=2), facts(created="yesterday"), ["max_age_days"]),
        (ImagePolicy(allowed_bases=[Base(name="b", layers=list(LAYERS[:2]))]), facts(), []),
        (ImagePolicy(allowed_bases=[Base(name="b", layers=list(LAYERS))]), facts(), []),
        (ImagePolicy(allowed_bases=[Base(name="b", layers=list(LAYERS[1:]))]), facts(), ["allowed_bases"]),
        (ImagePolicy(allowed_bases=[Base(name="b", layers=[*LAYERS, DIGEST])]), facts(), ["allowed_bases"]),
        (ImagePolicy(allowed_bases=[]), facts(), ["allowed_bases"]),
        (ImagePolicy(max_severity="high"), facts(), []),
        (ImagePolicy(max_severity="medium"), facts(scanned=Scanned(ScanResult((finding(Level.MEDIUM),)))), []),
        (ImagePolicy(max_severity="medium"), facts(scanned=Scanned(ScanResult((finding(Level.HIGH),)))), ["max_severity"]),
        (ImagePolicy(max_severity="none"), facts(scanned=Scanned(ScanResult((finding(Level.NEGLIGIBLE),)))), ["max_severity"]),
        (ImagePolicy(max_severity="low"), facts(scanned=Scanned(ScanResult((finding(Level.UNKNOWN),)))), ["max_severity"]),
        (
            ImagePolicy(max_severity="none", ignore_unfixed=True),
            facts(scanned=Scanned(ScanResult((finding(Level.HIGH),)))),
            [],
        ),
        (
            ImagePolicy(max_severity="none", ignore_unfixed=True),
            facts(scanned=Scanned(ScanResult((finding(Level.HIGH, fixed="1.1"),)))),
            ["max_severity"],
        ),
        # what is not known refuses
        (ImagePolicy(max_severity="high"), facts(scanned=None), ["max_severity"]),
        (ImagePolicy(max_severity="high"), facts(scanned=Scanned(problem="there are no advisories")), ["max_severity"]),
        (ImagePolicy(max_severity="high"), facts(scanned=Scanned(ScanResult(), 8)), ["max_severity"]),
        (ImagePolicy(max_severity="high", max_advisories_age_days=8), facts(scanned=Scanned(ScanResult(), 8)), []),
        (ImagePolicy(max_severity="high"), facts(scanned=Scanned(ScanResult(unread=("a.jar: damaged",)))), ["max_severity"]),
        (ImagePolicy(max_severity="high"), facts(scanned=Scanned(ScanResult(uncovered=("npm",)))), ["max_severity"]),
        (ImagePolicy(max_severity="high", allow_uncovered=["npm"]), facts(scanned=Scanned(ScanResult(uncovered=("npm",)))), []),
        # all of it at once, in the order of the rules
        (
            ImagePolicy(
                allowed_registries=[], pinned=True, signers=SIGNERS, max_age_days=1, allowed_bases=[], max_severity="high"
            ),
            Facts(parse("x")),
            list(RULES),
        ),
    ],
)
def test_what_each_rule_refuses(policy: ImagePolicy, image: Facts, broken: list[str]) -> None:
    assert refused(policy, image) == broken


def test_decisions_about_vulnerabilities_hold_until_their_day() -> None:
    image = facts(scanned=Scanned(ScanResult((finding(Level.HIGH),))))

    def ignoring(until: date, package: str = "") -> ImagePolicy:
        entry = IgnoredVulnerability(vulnerability="CVE-2026-1", reason="not reached", until=until, package=package)
        return ImagePolicy(max_severity="none", ignored_vulnerabilities=[entry])

    assert refused(ignoring(NOW.date()), image) == []
    assert refused(ignoring(NOW.date() - timedelta(days=1)), image) == ["max_severity"]
    assert refused(ignoring(NOW.date(), "openssl"), image) == []
    assert refused(ignoring(NOW.date(), "curl"), image) == ["max_severity"]


def test_a_refusal_names_the_rule_the_image_and_the_fix() -> None:
    image = facts(scanned=Scanned(ScanResult((finding(Level.CRITICAL, fixed="1.2"), *[finding(Level.HIGH)] * 7))))
    first = judge(ImagePolicy(max_severity="low"), (), image, RULES, NOW).first
    assert first is not None
    assert "rule max_severity" in first.text and f"registry.example.com/team/app@{DIGEST}" in first.text
    assert "CVE-2026-1 (critical) in openssl 1.0" in first.text and "and 3 more" in first.text
    assert first.fix == "Update what is installed: openssl 1.2 mends CVE-2026-1."


def exception(image: str, names: list[str] | None = None, until: date = NOW.date()) -> ImageException:
    return ImageException(
        exception_id="e1", image=image, reason="r", until=until, created_by="ann@x.org", created_at=0, rules=names
    )


@pytest.mark.parametrize(
    ("made", "holds"),
    [
        (exception("registry.example.com/team/app:1"), True),
        (exception("REGISTRY.example.com/team/app:1"), True),
        (exception("registry.example.com/team/app:2"), False),
        (exception("registry.example.com/team/app"), False),
        (exception(DIGEST), True),
        (exception(LISTED), True),
        (exception(f"sha256:{'c' * 64}"), False),
        (exception(DIGEST, ["pinned"]), True),
        (exception(DIGEST, ["max_severity"]), False),
        (exception(DIGEST, until=NOW.date() - timedelta(days=1)), False),
    ],
)
def test_exceptions(made: ImageException, holds: bool) -> None:
    judged = judge(ImagePolicy(pinned=True), [made], facts(digests=(DIGEST, LISTED)), RULES, NOW)
    assert (judged.refusals == ()) is holds
    assert judged.excepted == (("e1",) if holds else ())


LEVELS = strategies.sampled_from([level for level in Level if level is not Level.NONE])
POLICIES = strategies.builds(
    ImagePolicy,
    allowed_registries=strategies.none() | strategies.lists(strategies.sampled_from(["docker.io", "*.io", "a.b/c"]), max_size=3),
    pinned=strategies.booleans(),
    signers=strategies.sampled_from([None, SIGNERS, SIGNERS[:1]]),
    max_severity=strategies.sampled_from([None, "none", "low", "medium", "high"]),
    ignore_unfixed=strategies.booleans(),
    max_age_days=strategies.none() | strategies.integers(1, 400),
    allowed_bases=strategies.none() | strategies.just([Base(name="b", layers=list(LAYERS[:1]))]),
)
RESULTS = strategies.builds(
    ScanResult,
    findings=strategies.lists(strategies.builds(finding, LEVELS), max_size=5).map(tuple),
    uncovered=strategies.sampled_from([(), ("npm",)]),
    unread=strategies.sampled_from([(), ("x: damaged",)]),
)
IMAGES = strategies.builds(
    Facts,
    reference=strategies.sampled_from([parse("ubuntu"), parse("a.b/c/d:1"), parse(f"ghcr.io/x@{DIGEST}")]),
    digests=strategies.sampled_from([(), (DIGEST,), (DIGEST, LISTED)]),
    created=strategies.text(max_size=20) | strategies.datetimes().map(lambda at: at.isoformat() + "Z"),
    diff_ids=strategies.sampled_from([(), LAYERS, LAYERS[1:]]),
    signed_by=strategies.sampled_from([(), ("team",), ("team", "security")]),
    scanned=strategies.none() | strategies.builds(Scanned, RESULTS, strategies.integers(0, 20)),
)


@given(POLICIES, IMAGES)
def test_for_every_policy_and_image(policy: ImagePolicy, image: Facts) -> None:
    told = judge(policy, (), image, RULES, NOW)
    names = [each.rule for each in told.refusals]
    # the parts that are asked at different times make up the whole, and each asks no more than is demanded
    parts = [*judge(policy, (), image, BEFORE_PULL, NOW).refusals, *judge(policy, (), image, AFTER_PULL, NOW).refusals]
    assert list(told.refusals) == parts
    assert set(AT_WISH) < set(BEFORE_PULL)
    for rule in RULES:
        assert rules.demands(policy, (rule,)) or rule not in names
    # a wish for what a launch refuses by name or digest is refused at once, and never more than that
    bare = Facts(image.reference)
    assert [name for name in names if name in AT_WISH] == [e.rule for e in judge(policy, (), bare, AT_WISH, NOW).refusals]
    # an exception for all rules lets everything pass; what is not known never does
    assert judge(policy, [exception(str(image.reference))], image, RULES, NOW).refusals == ()
    blind = refused(policy, Facts(image.reference))
    assert all(rule in blind for rule in RULES[2:] if rules.demands(policy, (rule,)))
    assert all(each.text and each.fix for each in told.refusals)


def test_who_signed() -> None:
    policy = ImagePolicy(signers=SIGNERS)
    made = [signatures.sign(OTHER, "x/y", LISTED), signatures.sign(KEY, "x/y", f"sha256:{'c' * 64}")]
    assert rules.signed(policy, made, (DIGEST, LISTED)) == (("security",), ())
    names, wrong = rules.signed(policy, made[1:], (DIGEST, LISTED))
    assert names == () and "signature 1 is not one of this image" in wrong
    assert rules.signed(policy, (), (DIGEST,)) == ((), ())


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (ImagePolicy(allowed_registries=["team"]), "allowed_registries[0]: 'team' names no host"),
        (ImagePolicy(allowed_registries=["a.b", "Registry.Example.com"]), "allowed_registries[1]"),
        (ImagePolicy(allowed_registries=["index.docker.io"]), "write it as docker.io"),
        (ImagePolicy(allowed_registries=["a.b/c/"]), "write it as a.b/c"),
        (ImagePolicy(allowed_registries=["*.b/C"]), "lower case"),
        (ImagePolicy(allowed_registries=["https://a.b"]), "allowed_registries[0]"),
        (ImagePolicy(allowed_registries=["a.b"] * 501), "501 entries are too many"),
        (ImagePolicy(signers=[]), "signers: give at least one, or leave it out"),
        (ImagePolicy(signers=[Signer(name="a", key="no key")]), "signers[0].key: it is no public key in PEM"),
        (ImagePolicy(signers=[Signer(name=" ", key=pem(KEY))]), "signers[0].name"),
        (ImagePolicy(signers=[*SIGNERS, Signer(name="team", key=pem(KEY))]), "is there twice"),
        (ImagePolicy(signers=[SIGNERS[0], Signer(name="b", key=pem(KEY) + "\n")]), "one key is there twice"),
        (ImagePolicy(signers=SIGNERS, signatures_required=3), "signatures_required: 3 is not allowed; give 1 to 2"),
        (ImagePolicy(signatures_required=0), "signatures_required: 0"),
        (ImagePolicy(max_severity="critical"), "max_severity: 'critical' is not allowed"),
        (ImagePolicy(ignore_unfixed=True), "ignore_unfixed: does nothing without max_severity"),
        (ImagePolicy(allow_uncovered=["npm"]), "allow_uncovered: does nothing"),
        (ImagePolicy(max_severity="low", allow_uncovered=["npm", "nmp"]), "allow_uncovered[1]: 'nmp' is no ecosystem; give PyPI"),
        (ImagePolicy(max_advisories_age_days=3), "max_advisories_age_days: does nothing without max_severity"),
        (
            ImagePolicy(
                max_severity="low",
                ignored_vulnerabilities=[
                    IgnoredVulnerability(vulnerability="CVE-1", reason="r", until=NOW.date() - timedelta(days=1))
                ],
            ),
            "ignored_vulnerabilities[0].until: 2026-11-30 has gone by",
        ),
        (ImagePolicy(max_age_days=0), "max_age_days: 0"),
        (ImagePolicy(max_advisories_age_days=10**6), "max_advisories_age_days"),
        (ImagePolicy(allowed_bases=[Base(name="b", layers=[])]), "allowed_bases[0].layers: 0 layers"),
        (ImagePolicy(allowed_bases=[Base(name="b", layers=["sha256:x"])]), "is no digest"),
        (
            ImagePolicy(
                max_severity="low",
                ignored_vulnerabilities=[IgnoredVulnerability(vulnerability="", reason="r", until=NOW.date(), package="pkg:")],
            ),
            "ignored_vulnerabilities[0].vulnerability",
        ),
    ],
)
def test_policies_that_cannot_be(policy: ImagePolicy, said: str) -> None:
    assert any(said in problem for problem in rules.problems(policy, NOW.date())), list(rules.problems(policy, NOW.date()))


def test_a_whole_policy_is_no_problem() -> None:
    policy = ImagePolicy(
        allowed_registries=["registry.example.com", "*.dkr.ecr.us-west-2.amazonaws.com", "docker.io/library", "127.0.0.1:5000/a"],
        pinned=True, signers=SIGNERS, signatures_required=2, max_severity="medium", ignore_unfixed=True,
        allow_uncovered=["npm"], max_age_days=30, allowed_bases=[Base(name="b", layers=list(LAYERS))],
    )  # fmt: skip
    assert list(rules.problems(policy, NOW.date())) == []


@pytest.mark.parametrize(
    ("image", "names", "days", "said"),
    [
        ("sha256:abc", None, 0, "image: 'sha256:abc' is no digest"),
        ("A b", None, 0, "image"),
        (DIGEST, [], 0, "rules: 'an empty list'"),
        (DIGEST, ["pinned", "size"], 0, "rules: 'size' is not allowed; give some of allowed_registries"),
        (DIGEST, None, -1, "until: 2026-11-30 has gone by"),
    ],
)
def test_exceptions_that_cannot_be(image: str, names: list[str] | None, days: int, said: str) -> None:
    until = NOW.date() + timedelta(days=days)
    assert said in next(rules.exception_problems(image, "why", names, until, NOW.date()))
