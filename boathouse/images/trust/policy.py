"""Whether an image may start, by the policy of its workspace: facts of the image and a policy give refusals. Pure.

Asked when a wish for a cluster or a pool is written (what can be known without the registry), before an image is pulled (what
its registry tells) and after that (what is installed in it); and by `boathouse image policy check`. A fact that is demanded and
not known refuses: nothing passes in silence.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from boathouse.images.advisories.model import Ignore, Level, ScanResult
from boathouse.images.references import InvalidReference, Reference, parse
from boathouse.images.trust import decisions
from boathouse.images.trust.keys import UnusableKey
from boathouse.images.trust.signatures import Signature, public_key, verify
from boathouse.wire.image_policy import ImageException, ImagePolicy

#: The rules by their names, which are the policy's fields, as far as each can be asked: of a wish, before a pull, after it.
AT_WISH = ("allowed_registries", "pinned")
BEFORE_PULL = (*AT_WISH, "signers", "max_age_days", "allowed_bases")
AFTER_PULL = ("max_severity",)
RULES = (*BEFORE_PULL, *AFTER_PULL)

MOST_ENTRIES, MOST_LAYERS, LONGEST_KEY = 500, 512, 4096
MOST_DAYS = 36_500
#: How many of what refuses are named.
NAMED = 5
#: How far an image's clock may be ahead of ours.
AHEAD = timedelta(days=1)


class Scanned(msgspec.Struct, frozen=True):
    """What is known of an image's vulnerabilities. `result`: without anybody's decisions; None with the `problem` why there is
    none, and the `fix`. `advisories_age_days`: how old the advisories are."""

    result: ScanResult | None = None
    advisories_age_days: int = 0
    problem: str = ""
    fix: str = "An operator runs: boathouse advisories refresh."


class Facts(msgspec.Struct, frozen=True):
    """What is known of an image. `digests`: its own and that of its list; `created`: as it says itself (RFC 3339); `diff_ids`:
    its layers; `signed_by`: the names of signers of the policy that signed one of the digests; `unsigned`: what is wrong with
    other signatures."""

    reference: Reference
    digests: tuple[str, ...] = ()
    created: str = ""
    diff_ids: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()
    scanned: Scanned | None = None


class Refusal(msgspec.Struct, frozen=True):
    """`rule`: the field of the policy; `message`: what is so; `fix`: what the user can do."""

    rule: str
    message: str
    fix: str

    @property
    def text(self) -> str:
        return f"The image policy of the workspace refuses the image (rule {self.rule}): {self.message}. {self.fix}"


class Judgement(msgspec.Struct, frozen=True):
    """`refusals` in the order of the rules; `excepted`: ids of the exceptions without which there would be more."""

    refusals: tuple[Refusal, ...] = ()
    excepted: tuple[str, ...] = ()

    @property
    def first(self) -> Refusal | None:
        return self.refusals[0] if self.refusals else None


Rule = Callable[[ImagePolicy, Facts, datetime], Iterator[tuple[str, str]]]


def judge(
    policy: ImagePolicy, exceptions: Sequence[ImageException], facts: Facts, rules: Sequence[str], now: datetime
) -> Judgement:
    """Every refusal by these rules, less those that an exception takes away."""
    refusals, excepted = list[Refusal](), dict[str, None]()
    for name in rules:
        for message, fix in _RULES[name](policy, facts, now):
            holding = next((each for each in exceptions if _holds(each, name, facts, now.date())), None)
            if holding is None:
                refusals.append(Refusal(name, message, fix))
            else:
                excepted[holding.exception_id] = None
    return Judgement(tuple(refusals), tuple(excepted))


def signed(policy: ImagePolicy, there: Iterable[Signature], digests: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who of the policy's signers signed one of the digests; where nobody did, what is wrong with each signature."""
    kept = tuple(there)
    found = [(each.name, verify(kept, public_key(each.key.encode()), digests)) for each in policy.signers or ()]
    names = tuple(name for name, verified in found if verified.digest)
    wrong = dict.fromkeys(reason for _, verified in found for reason in verified.reasons)
    return names, () if names else tuple(wrong)


def demands(policy: ImagePolicy, rules: Sequence[str]) -> bool:
    """Whether one of these rules demands anything."""
    return any(getattr(policy, name) not in (None, False) and (name != "signers" or bool(policy.signers)) for name in rules)


def _holds(exception: ImageException, rule: str, facts: Facts, today: date) -> bool:
    if today > exception.until or (exception.rules is not None and rule not in exception.rules):
        return False
    if exception.image.startswith("sha256:"):
        return exception.image in (*facts.digests, facts.reference.digest)
    return parse(exception.image) == facts.reference


def _allowed_registries(policy: ImagePolicy, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    allowed = policy.allowed_registries
    if allowed is None or any(within(facts.reference, entry) for entry in allowed):
        return
    told = ", ".join(allowed[:NAMED]) + (", ..." if len(allowed) > NAMED else "") if allowed else "none"
    yield (
        f"{facts.reference.name} is in no registry that is allowed ({told})",
        "Push the image to one of these, and name it there.",
    )


def within(reference: Reference, entry: str) -> bool:
    """Whether an image is where an entry of `allowed_registries` says. `host/a` does not allow `host/ab`."""
    host, _, path = entry.partition("/")
    if host.startswith("*."):
        if not reference.host.endswith(host[1:]):
            return False
    elif reference.host != host:
        return False
    return not path or reference.repository == path or reference.repository.startswith(f"{path}/")


def _pinned(policy: ImagePolicy, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    if policy.pinned and facts.reference.digest is None:
        yield f"{facts.reference} names no digest", f"Write docker_image.url as {facts.reference.name}@sha256:<digest>."


def _signers(policy: ImagePolicy, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    if not policy.signers:
        return
    missing = [signer.name for signer in policy.signers if signer.name not in facts.signed_by]
    present = len(policy.signers) - len(missing)
    if present >= policy.signatures_required:
        return
    why = f" ({'; '.join(facts.unsigned[:NAMED])})" if facts.unsigned else ""
    yield (
        f"{_named(facts)} has {present} of the {policy.signatures_required} signatures that it needs{why}",
        f"Have it signed by {' or '.join(missing[:NAMED])}: boathouse image sign {facts.reference} --key KEY.",
    )


def _max_age_days(policy: ImagePolicy, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    if policy.max_age_days is None:
        return
    fix = "Build it again, with a builder that says when."
    made = moment(facts.created)
    if made is None:
        yield f"{_named(facts)} does not say when it was made", fix
    elif made > now + AHEAD:
        yield f"{_named(facts)} says that it was made on {made.date()}, which is yet to come", fix
    elif now - made > timedelta(days=policy.max_age_days):
        days = (now - made).days
        yield f"{_named(facts)} was made on {made.date()}, {days} days ago; {policy.max_age_days} are allowed", fix


def moment(text: str) -> datetime | None:
    """A time of RFC 3339; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _allowed_bases(policy: ImagePolicy, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    if policy.allowed_bases is None or any(
        facts.diff_ids[: len(base.layers)] == tuple(base.layers) for base in policy.allowed_bases
    ):
        return
    names = ", ".join(base.name for base in policy.allowed_bases[:NAMED]) or "none"
    yield f"{_named(facts)} is made from no base that is allowed ({names})", "Build it from one of these as it is now."


def _max_severity(policy: ImagePolicy, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    if not policy.max_severity:
        return
    from boathouse.images.advisories.scan import decide, level_of

    scanned, refresh = facts.scanned or Scanned(problem="it was not scanned"), "boathouse advisories refresh"
    if scanned.result is None:
        yield f"what is known of vulnerabilities cannot be asked: {scanned.problem}", scanned.fix
        return
    if scanned.advisories_age_days > policy.max_advisories_age_days:
        days, allowed = scanned.advisories_age_days, policy.max_advisories_age_days
        yield f"the advisories of this machine are {days} days old; {allowed} are allowed", f"An operator runs: {refresh}."
        return
    result = decide(scanned.result, ignores(policy), now.date())
    if not result.complete:
        yield f"{_named(facts)} has what cannot be read: {', '.join(result.unread[:NAMED])}", "Remove or mend it."
    uncovered = result.uncovered_beyond(policy.allow_uncovered or ())
    if uncovered:
        yield (
            f"{_named(facts)} has packages of {', '.join(uncovered[:NAMED])}, of which no advisories are on this machine",
            f"An operator imports them ({refresh} --from FILE), or an admin adds them to allow_uncovered.",
        )
    most = level_of(policy.max_severity) if policy.max_severity != Level.NONE.word else Level.NONE
    bad = [each for each in result.findings if each.level > most and (each.fixed or not policy.ignore_unfixed)]
    if bad:
        told = ", ".join(
            f"{each.identifier} ({each.level.word}) in {each.package.name} {each.package.version}" for each in bad[:NAMED]
        )
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        mend = next((f": {each.package.name} {each.fixed} mends {each.identifier}" for each in bad if each.fixed), "")
        yield (
            f"{_named(facts)} has vulnerabilities worse than {policy.max_severity}: {told}{more}",
            f"Update what is installed{mend}.",
        )


_RULES: dict[str, Rule] = {
    "allowed_registries": _allowed_registries, "pinned": _pinned, "signers": _signers, "max_age_days": _max_age_days,
    "allowed_bases": _allowed_bases, "max_severity": _max_severity,
}  # fmt: skip


def _named(facts: Facts) -> str:
    return facts.reference.pinned(facts.digests[0]) if facts.digests else str(facts.reference)


def ignores(policy: ImagePolicy) -> tuple[Ignore, ...]:
    """The policy's decisions about vulnerabilities."""
    return decisions.ignores(policy.ignored_vulnerabilities, "the image policy")


def problems(policy: ImagePolicy, today: date) -> Iterator[str]:
    """What is wrong with a policy that is set on a day: field, value, and what is allowed."""
    for name in ("allowed_registries", "signers", "ignored_vulnerabilities", "allow_uncovered", "allowed_bases"):
        if len(getattr(policy, name) or ()) > MOST_ENTRIES:
            yield f"{name}: {len(getattr(policy, name))} entries are too many; at most {MOST_ENTRIES} are allowed"
            return
    yield from _registries_wrong(policy.allowed_registries or ())
    yield from _signers_wrong(policy)
    yield from _bases_wrong(policy)
    levels = [level.word for level in Level if level is not Level.CRITICAL]
    if policy.max_severity is not None and policy.max_severity not in levels:
        yield (
            f"max_severity: {policy.max_severity[:40]!r} is not allowed; give the worst that may be there, one of "
            f"{', '.join(levels)}, or leave it out"
        )
    for name in ("ignore_unfixed", "ignored_vulnerabilities", "allow_uncovered"):
        if getattr(policy, name) and policy.max_severity is None:
            yield f"{name}: does nothing without max_severity; give that too"
    if policy.max_advisories_age_days != ImagePolicy().max_advisories_age_days and policy.max_severity is None:
        yield "max_advisories_age_days: does nothing without max_severity; give that too"
    yield from decisions.problems(policy.ignored_vulnerabilities, policy.allow_uncovered, today)
    for name in ("max_age_days", "max_advisories_age_days"):
        days = getattr(policy, name)
        if days is not None and not 1 <= days <= MOST_DAYS:
            yield f"{name}: {days} is not allowed; give 1 to {MOST_DAYS} days"


def _registries_wrong(entries: Sequence[str]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        field = f"allowed_registries[{number}]"
        host, _, path = entry.partition("/")
        path, plain = path.rstrip("/"), f"wild{host[1:]}" if host.startswith("*.") else host
        if not host or not ("." in plain or ":" in plain or plain == "localhost"):
            yield f"{field}: {entry[:100]!r} names no host; write registry.example.com, *.example.com or docker.io/library"
            continue
        try:
            found = parse(f"{plain}/{path + '/' if path else ''}x", field)
        except InvalidReference:
            yield f"{field}: {entry[:100]!r} is not allowed; write host[:port], *.host or host[:port]/path, in lower case"
            continue
        if found.host != plain or entry.endswith("/"):
            right = f"*{found.host[4:]}" if host.startswith("*.") else found.host
            yield f"{field}: {entry[:100]!r} is not allowed; write it as {right}{'/' + path if path else ''}"


def _signers_wrong(policy: ImagePolicy) -> Iterator[str]:
    names = set[str]()
    if policy.signers is not None and not policy.signers:
        yield "signers: give at least one, or leave it out"
    for number, signer in enumerate(policy.signers or ()):
        field = f"signers[{number}]"
        yield from decisions.text_problem(f"{field}.name", signer.name)
        if signer.name in names:
            yield f"{field}.name: {signer.name[:100]!r} is there twice; names are unique"
        names.add(signer.name)
        try:
            if len(signer.key) > LONGEST_KEY:
                raise UnusableKey(f"it has more than {LONGEST_KEY} characters")
            public_key(signer.key.encode())
        except UnusableKey as error:
            yield f"{field}.key: {error}"
    keys = [signer.key.split() for signer in policy.signers or ()]
    if any(keys.count(key) > 1 for key in keys):
        yield "signers: one key is there twice; each signer has its own"
    most = len(policy.signers or ()) or 1
    if not 1 <= policy.signatures_required <= most:
        yield f"signatures_required: {policy.signatures_required} is not allowed; give 1 to {most}, the number of signers"


def _bases_wrong(policy: ImagePolicy) -> Iterator[str]:
    for number, base in enumerate(policy.allowed_bases or ()):
        field = f"allowed_bases[{number}]"
        yield from decisions.text_problem(f"{field}.name", base.name)
        if not 1 <= len(base.layers) <= MOST_LAYERS:
            yield f"{field}.layers: {len(base.layers)} layers are not allowed; give 1 to {MOST_LAYERS}"
        wrong = next((layer for layer in base.layers if not is_digest(layer)), None)
        if wrong is not None:
            yield f"{field}.layers: {wrong[:100]!r} is no digest; `boathouse image policy base REF` prints them"


def exception_problems(image: str, reason: str, rules: Sequence[str] | None, until: date, today: date) -> Iterator[str]:
    """What is wrong with an exception that somebody wants to make."""
    if image.startswith("sha256:"):
        if not is_digest(image):
            yield f"image: {image[:100]!r} is no digest; write sha256: and 64 hexadecimal digits"
    else:
        try:
            parse(image, "image")
        except InvalidReference as error:
            yield str(error)
    yield from decisions.text_problem("reason", reason)
    unknown = [rule for rule in rules or () if rule not in RULES]
    if unknown or (rules is not None and not rules):
        yield f"rules: {unknown[0][:100] if unknown else 'an empty list'!r} is not allowed; give some of {', '.join(RULES)}"
    if until < today:
        yield f"until: {until} has gone by; give the last day on which the exception holds"


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 digest as registries write it."""
    value = text.removeprefix("sha256:")
    return value != text and len(value) == 64 and not value.strip("0123456789abcdef")
