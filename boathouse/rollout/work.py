"""The long work on images: built by the engine of this machine, scanned as launches are, signed at their registry.

`SimulatedWork` stands in where nodes are simulated: what it cannot do it refuses by name.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from boathouse.compute.image_policies import moment
from boathouse.compute.image_scans import ImageScans
from boathouse.images import references, registry
from boathouse.images.advisories.scan import decide, level_of
from boathouse.images.attachments import RegistryAccess
from boathouse.images.build import HasApi
from boathouse.images.failures import ImageFailure
from boathouse.images.registry_auth import Login
from boathouse.images.registry_http import RegistrySettings
from boathouse.images.rootfs import BuildError
from boathouse.images.trust import decisions, keys, signing
from boathouse.rollout import build_context, dockerfiles, requests, rows
from boathouse.rollout.failures import StepFailed
from boathouse.rollout.logins import Vault
from boathouse.rollout.rows import CALL
from boathouse.store import Store
from boathouse.wire.rollout import RolloutSpec
from boathouse.workspace import references as secret_references
from boathouse.workspace.locations import Locations, Reader

#: Lines of a build, and findings of a scan, that the timeline keeps.
LINES, FINDINGS = 40, 20

#: The engine's own name for what is built, until it is pushed; its tag is the roll-out's id.
BUILT = "localhost/boathouse/built"
#: What RUN steps may use at most: bytes of memory, and half of the share of the processor that others have.
LIMITS = {"memory": 4 << 30, "cpushares": 512}


class EngineWork:
    """See `effects.ImageWork`. `engine`: a client of the container engine for as long as it is held; raises StepFailed where
    there is none. `scratch`: where build contexts are put; `offers`: what the operator lets roll-outs do."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        locations: Locations,
        scans: ImageScans,
        engine: Callable[[], AbstractContextManager[HasApi]],
        settings: RegistrySettings,
        scratch: Path,
        offers: requests.Offers,
    ) -> None:
        self._store, self._vault, self._locations, self._scans = store, vault, locations, scans
        self._engine, self._settings, self._scratch, self._offers = engine, settings, scratch, offers

    def build(self, row: Any, spec: RolloutSpec) -> tuple[str, dict[str, Any]]:
        source = spec.source
        assert source is not None, "there is something to build"
        if not self._offers.builds:  # a trigger may have been made before the operator said so
            raise StepFailed(requests.NO_BUILDS)
        from boathouse.images import user_builds  # here, because the engine's library takes long to load and few roll-outs build

        target = references.parse(source.target, "source.target")
        login = self._vault.login(row.workspace_id, row.owner, source.login)
        logins = self._base_logins(row)
        arguments, hidden = self._arguments(row, source.build_args or {})
        hidden += [login.password for login in logins.values() if login.password]
        lines: list[str] = []

        def say(line: str) -> None:
            lines.append(_redacted(line, hidden))

        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=self._scratch) as folder, self._engine() as client:
            context = Path(folder) / "context"
            context.mkdir()
            reader = Reader(row.workspace_id, row.owner)
            files = build_context.fetch(self._store, self._locations, source.path, reader, context)
            plain, own = self._settings.plain_http(target.api_host), f"{BUILT}:{row.rollout_id}"
            try:
                text = user_builds.dockerfile_of(context, source.dockerfile).read_text(errors="replace")
                refused = next(dockerfiles.violations(text), None)
                if refused is not None:
                    raise StepFailed(f"source.dockerfile: {refused}")
                try:  # names of the engine are everybody's: what a user chose stands there only while it is pushed
                    made = user_builds.build_image(
                        client, context, own, say, source.dockerfile, arguments, limits=LIMITS,
                        pull=not dockerfiles.names_local(text), cache=row.started_by == CALL, logins=logins,
                    )  # fmt: skip
                    user_builds.push_image(client, made, target, login, say, plain_http=plain, keep=False)
                finally:
                    user_builds.untag(client, own)
            except BuildError as error:
                raise StepFailed(f"the build failed: {_redacted(str(error), hidden)}", {"lines": lines[-LINES:]}) from None
        return str(target), {"reference": str(target), "files": files, "lines": lines[-LINES:]}

    def _base_logins(self, row: Any) -> dict[str, Login]:
        """What opens the registry of the base that a trigger watches, by its host; all that a build is told of log-ins."""
        with self._store.read() as reader:
            condition = rows.condition_of(reader, row.started_by)
        if condition is None or condition.base is None:
            return {}
        login = self._vault.login(row.workspace_id, row.owner, condition.base_login)
        return {} if login is None else {references.parse(condition.base, "base").host: login}

    def _arguments(self, row: Any, given: dict[str, str]) -> tuple[dict[str, str], list[str]]:
        """Build arguments with the values of secrets in the place of references, and those values."""
        opened = {
            name: self._vault.value(row.workspace_id, row.owner, text)
            for name, text in given.items() if secret_references.parse(text) is not None
        }  # fmt: skip
        return {**given, **opened}, [value for value in opened.values() if value]

    def scan(self, row: Any, spec: RolloutSpec, image: str) -> dict[str, Any]:
        asked = spec.scan
        assert asked is not None, "a scan is asked for"
        found = self._scans.of(row.image["digest"], image)
        result, age = found.result, found.advisories_age_days
        if result is None:
            raise StepFailed(f"scan: {found.problem}")
        if age > asked.max_age_days:
            allowed = f"scan.max_age_days is {asked.max_age_days}"
            raise StepFailed(f"scan: the advisories are {age} days old, and {allowed}: boathouse advisories refresh")
        taken = decisions.ignores(asked.ignored_vulnerabilities, "the roll-out")
        result = decide(result, taken, moment(self._store.clock()).date())
        bad, uncovered = result.at_least(level_of(asked.fail_on)), result.uncovered_beyond(asked.allow_uncovered or ())
        details = {
            "advisories_age_days": age, "findings": len(result.findings), "worst": result.worst.word,
            "refused": [
                f"{each.identifier} {each.level.word} {each.package.name} {each.package.version}" for each in bad[:FINDINGS]
            ],
            "uncovered": list(result.uncovered), "ignored": [each.identifier for each, _ in result.ignored[:FINDINGS]],
        }  # fmt: skip
        if bad:
            first = bad[0]
            mends = f", mended in {first.fixed}" if first.fixed else ""
            raise StepFailed(
                f"scan: {len(bad)} known vulnerabilities of level {asked.fail_on} and above, such as {first.identifier} of "
                f"{first.package.name} {first.package.version}{mends}", details,
            )  # fmt: skip
        if not result.complete:
            raise StepFailed(f"scan: not everything in the image can be read: {result.unread[0]}", details)
        if uncovered:
            raise StepFailed(
                f"scan: nothing is known of packages of {', '.join(uncovered)}; have an operator import their advisories "
                "(boathouse advisories refresh --from FILE|DIR|URL), or name them in scan.allow_uncovered", details,
            )  # fmt: skip
        return details

    def sign(self, row: Any, spec: RolloutSpec) -> dict[str, Any]:
        asked = spec.sign
        assert asked is not None, "a signature is asked for"
        pem = self._vault.value(row.workspace_id, row.owner, asked.key)
        passphrase = None if asked.passphrase is None else self._vault.value(row.workspace_id, row.owner, asked.passphrase)
        try:
            key = keys.private_key(pem.encode(), None if passphrase is None else passphrase.encode())
        except keys.UnusableKey as error:
            raise StepFailed(f"sign.key: {error}") from None
        access = RegistryAccess(self._vault.login(row.workspace_id, row.owner, asked.login), self._settings)
        reference = references.parse(row.image["pinned"])
        try:
            signed = signing.sign(reference, row.image["digest"], key, access)
        except ImageFailure as error:
            raise StepFailed(f"sign: {error.text}") from None
        return {"places": dict(signed.places)}

    def digest(self, reference: str, login: Login | None) -> str:
        return registry.resolve(references.parse(reference), login, self._settings).digest


def _redacted(text: str, hidden: list[str]) -> str:
    for value in hidden:
        text = text.replace(value, "[REDACTED]")
    return text


class SimulatedWork:
    """See `effects.ImageWork`. No image is real here: none can be built, scanned or signed."""

    def build(self, row: Any, spec: RolloutSpec) -> tuple[str, dict[str, Any]]:
        raise StepFailed("source: the nodes of this platform are simulated: nothing can be built; give an image")

    def scan(self, row: Any, spec: RolloutSpec, image: str) -> dict[str, Any]:
        raise StepFailed("scan: the nodes of this platform are simulated: no image can be looked into; leave scan out")

    def sign(self, row: Any, spec: RolloutSpec) -> dict[str, Any]:
        raise StepFailed("sign: the nodes of this platform are simulated: no image can be signed; leave sign out")

    def digest(self, reference: str, login: Login | None) -> str:
        raise StepFailed("base: the nodes of this platform are simulated: no registry is asked")
