"""What a request for a roll-out must satisfy: one sentence a violation, naming field, value, and what is allowed. Pure."""

import re
from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from boathouse.images import references
from boathouse.images.references import InvalidReference
from boathouse.images.trust import decisions
from boathouse.rollout import waves, windows
from boathouse.rollout.dockerfiles import OWN_HOST
from boathouse.rollout.windows import Hours
from boathouse.wire.rollout import Canary, RegistryLogin, Restart, RolloutSpec, Source, Window
from boathouse.workspace import references as secret_references

#: Waves of one roll-out at most, and minutes of anything.
MOST_WAVES, MOST_MINUTES = 20, 30 * 24 * 60
LONGEST_COMMAND = 64_000
LONGEST_COMMENT = 1000


class Offers(msgspec.Struct, frozen=True):
    """What the operator lets roll-outs do. `builds`: build images by the engine of this machine (the setting rollout_builds)."""

    builds: bool = False


#: Names of build arguments that say of themselves that they are secret.
_SECRETIVE = re.compile(r"passw|passphrase|secret|token|credential|(private|api|access)_?key", re.IGNORECASE)
NO_BUILDS = (
    "source: this platform builds no images in roll-outs, because their RUN steps have the network of its machine; "
    "give an image, or have the operator set rollout_builds to true"
)


def violations(spec: RolloutSpec, today: date) -> Iterator[str]:
    """Every reason why this request cannot be accepted on a day, the weightiest first."""
    if (spec.image is None) == (spec.source is None):
        yield "Give either image (a reference) or source (what it is built of), not both and not none of them."
    if spec.image is not None:
        yield from _reference(spec.image, "image")
    if spec.source is not None:
        yield from _source(spec.source)
    if spec.sign is not None:
        yield from _secret(spec.sign.key, "sign.key")
        if spec.sign.passphrase is not None:
            yield from _secret(spec.sign.passphrase, "sign.passphrase")
        yield from login(spec.sign.login, "sign.login")
    if spec.scan is not None:
        yield from _number("scan.max_age_days", spec.scan.max_age_days, 0, 365)
        yield from decisions.problems(spec.scan.ignored_vulnerabilities, spec.scan.allow_uncovered, today, "scan.")
    yield from _canary(spec.canary)
    if spec.restart is not None:
        yield from _restart(spec.restart)
    if len(spec.comment) > LONGEST_COMMENT:
        yield f"comment: {len(spec.comment)} characters are too many; at most {LONGEST_COMMENT} are allowed"


def login(given: RegistryLogin | None, field: str) -> Iterator[str]:
    """What is wrong with the login of a registry."""
    if given is None:
        return
    if not given.username:
        yield f"Missing required field '{field}.username'."
    yield from _secret(given.password, f"{field}.password")


def rules(restart: Restart | None) -> waves.Rules:
    """What `waves` goes by; the defaults without a request."""
    if restart is None:
        return waves.Rules()
    return waves.Rules(
        waves=tuple(restart.waves or waves.Rules().waves),
        idle_ms=restart.idle_minutes * waves.MINUTE_MS,
        hours=None if restart.window is None else _hours(restart.window),
        patience_ms=restart.patience_minutes * waves.MINUTE_MS,
        soak_ms=restart.soak_minutes * waves.MINUTE_MS,
        max_failed_percent=restart.max_failed_percent,
    )


def _hours(window: Window) -> Hours:
    days = frozenset(window.days) if window.days else frozenset(windows.DAYS)
    return Hours(windows.minutes(window.start) or 0, windows.minutes(window.end) or 0, days, window.timezone)


def _reference(text: str, field: str) -> Iterator[str]:
    try:
        references.parse(text, field)
    except InvalidReference as error:
        yield str(error)


def _target(text: str) -> Iterator[str]:
    try:
        target = references.parse(text, "source.target")
    except InvalidReference as error:
        yield str(error)
        return
    if target.host == OWN_HOST:
        yield f"source.target: {text[:100]!r} is not allowed; {OWN_HOST} is no registry, give one to push to"


def _secret(text: str, field: str) -> Iterator[str]:
    if secret_references.parse(text) is None:
        yield f"{field}: the value is no reference to a secret; put it into one and give {{{{secrets/<scope>/<key>}}}}"


def _source(source: Source) -> Iterator[str]:
    if not source.path.startswith(("/Workspace/", "/Users/", "/Shared/", "/Repos/", "/Volumes/", "dbfs:/")):
        allowed = "give a folder or an archive in /Workspace/.., /Volumes/.. or dbfs:/.."
        yield f"source.path: {source.path[:100]!r} is not allowed; {allowed}"
    yield from _target(source.target)
    if "@" in source.target:
        yield "source.target: a digest is known only after the build; give a reference with a tag"
    if not source.dockerfile or source.dockerfile.startswith("/") or ".." in source.dockerfile.split("/"):
        yield f"source.dockerfile: {source.dockerfile[:100]!r} is not allowed; give a path inside of the folder"
    for name, value in (source.build_args or {}).items():
        if _SECRETIVE.search(name):
            yield from _secret(value, f"source.build_args.{name[:60]}")
    yield from login(source.login, "source.login")


def _canary(canary: Canary) -> Iterator[str]:
    if not canary.cluster.spark_version:
        yield "Missing required field 'canary.cluster.spark_version': the image is checked for it."
    image = canary.cluster.docker_image
    if image is not None and image.url:
        yield "canary.cluster.docker_image.url: the image is that of the roll-out; leave it out"
    if image is not None and image.basic_auth is not None:
        yield from _secret(image.basic_auth.password or "", "canary.cluster.docker_image.basic_auth.password")
    if canary.cluster.cluster_name:
        yield "canary.cluster.cluster_name: it is made of the roll-out's id; leave it out"
    if canary.command is not None and not canary.command.strip():
        yield "canary.command: it is empty; leave it out to try no more than a start"
    if canary.command is not None and len(canary.command) > LONGEST_COMMAND:
        yield f"canary.command: {len(canary.command)} characters are too many; at most {LONGEST_COMMAND} are allowed"
    if canary.command is not None and "\0" in canary.command:
        yield "canary.command: a command cannot hold a NUL character"
    yield from _number("canary.timeout_minutes", canary.timeout_minutes, 1, MOST_MINUTES)


def _restart(restart: Restart) -> Iterator[str]:
    if restart.waves is not None:
        growing = all(before < after for before, after in zip(restart.waves, restart.waves[1:], strict=False))
        if not restart.waves or not growing or restart.waves[0] < 1 or restart.waves[-1] != 100:
            shown = restart.waves[:MOST_WAVES]
            yield f"restart.waves: {shown} is not allowed; give percents that grow to 100, such as [10, 50, 100]"
        elif len(restart.waves) > MOST_WAVES:
            yield f"restart.waves: {len(restart.waves)} are too many; at most {MOST_WAVES} are allowed"
    yield from _number("restart.idle_minutes", restart.idle_minutes, 0, MOST_MINUTES)
    yield from _number("restart.patience_minutes", restart.patience_minutes, 0, MOST_MINUTES)
    yield from _number("restart.soak_minutes", restart.soak_minutes, 0, MOST_MINUTES)
    yield from _number("restart.max_failed_percent", restart.max_failed_percent, 0, 100)
    if restart.window is not None:
        yield from _window(restart.window)


def _window(window: Window) -> Iterator[str]:
    for name in ("start", "end"):
        text = getattr(window, name)
        if windows.minutes(text) is None:
            yield f"restart.window.{name}: {text[:20]!r} is no time of the day; write it as 22:30"
    if window.start == window.end:
        yield f"restart.window: it begins and ends at {window.start[:20]}; leave the window out for the whole day"
    if window.days is not None and not window.days:
        yield "restart.window.days: the list is empty; leave it out for all days"
    yield from zone(window.timezone, "restart.window.timezone")


def zone(name: str, field: str) -> Iterator[str]:
    """What is wrong with the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{field}: {name[:60]!r} is no time zone; give one such as Europe/Vienna or UTC"


def _number(field: str, value: int, least: int, most: int) -> Iterator[str]:
    if not least <= value <= most:
        yield f"{field}: {value} is not allowed; give {least} to {most}"
