"""The image of a launch: resolved to a digest once, pulled by that digest, checked before Spark; beside the start of
the nodes.

Called by the reconciler every round: `look` says where the image stands, `want` takes the next piece of work, never
waiting for a registry (that is done on another thread, which gives the `hint`). The digest is written to the
cluster's facts before the pull begins, so that a crash in between cannot give two nodes different bytes. What is only
in memory here is done again after a crash. Checks are remembered per (digest, release, strictness): the same bytes
are not read twice. Where the workspace has an image policy, its gate is asked before the pull, and after the check: a digest
becomes durable only once its registry's word has passed, Spark starts only once the image's contents have.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace
from sqlalchemy import and_, delete, insert, select
from sqlalchemy.exc import OperationalError

from boathouse.compute.image_gate import SIGNERS, Admission, ImageGate, RegistryFacts
from boathouse.compute.launch_inputs import Inputs
from boathouse.compute.secrets_step import Values
from boathouse.compute.states import WAITING
from boathouse.compute.tables import image_checks
from boathouse.compute.world import Failure, ImageStep, Stage
from boathouse.dataplane.contract import DriverUnavailable, Images, Key, NodeFailure, PullState, RegistryWait
from boathouse.images.failures import ImageFailure
from boathouse.images.pull import classify
from boathouse.images.registry_http import Told, Wait
from boathouse.images.trust.policy import AFTER_PULL, BEFORE_PULL
from boathouse.images.trust.signatures import Signature
from boathouse.releases.release import Release
from boathouse.store import Store
from boathouse.wire.compute import ClusterSpec

log = logging.getLogger("boathouse.compute.images")


class Resolved(msgspec.Struct, frozen=True):
    """What a reference means now. `pinned` is what the engine pulls; `facts`: what the registry told, for the image policy."""

    digest: str
    pinned: str
    size_bytes: int = 0
    plain_http: bool = False
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)
    facts: RegistryFacts = RegistryFacts()


class Verdict(msgspec.Struct, frozen=True):
    """What the check found. `python`: {"path", "version"} or None with `python_reason`; `java`: {"path", "major"}
    when the image's own Java is to be used, else None.
    `r`: the path of its Rscript, empty without R. `failure`: the image cannot be used."""

    python: Mapping[str, Any] | None = None
    python_reason: str = ""
    java: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None
    r: str = ""


class Preload(msgspec.Struct, frozen=True):
    """An image that is wanted before any cluster is: `owner` and `attempt` stand for a cluster and its launch. Without a
    release it is not checked. `track`: the one that named it. `pinned`: the policy judges it as launches by a track will, by its
    digest alone; `signed_later`: but not yet by its signers, see `signed`."""

    owner: str
    attempt: int
    spec: ClusterSpec
    values: Values
    workspace_id: int
    editor: str
    release: Release | None = None
    strict: bool = False
    track: str = ""
    pinned: bool = False
    signed_later: bool = False

    @property
    def cluster_id(self) -> str:
        return self.owner

    @property
    def launch(self) -> int:
        return self.attempt


class ImageService(Protocol):
    """What the launch asks of `images`; `image_service.py` has the real one. `rules`: which rules its check applies;
    findings of others are not reused."""

    rules: int

    def key(self, inputs: Inputs | Preload) -> Key:
        """What opens the image's registry. Asks nobody. Raises NodeFailure."""
        ...

    def resolve(self, reference: str, key: Key, told: Told | None = None) -> Resolved:
        """Ask the registry; may take as long as it lets us wait, of which `told` hears. Raises ImageFailure, NodeFailure."""
        ...

    def ask(self, reference: str, key: Key, seconds: float) -> None:
        """Ask the registry whether it gives the image, no longer than so many seconds. Raises ImageFailure, NodeFailure."""
        ...

    def signatures(self, reference: str, digests: tuple[str, ...], key: Key) -> tuple[Signature, ...]:
        """The signatures that the registry keeps for these digests, whoever made them. Raises ImageFailure, NodeFailure."""
        ...

    def hardware(self, inputs: Inputs | Preload) -> str:
        """What of the nodes (their GPUs) decides about an image beside the runtime; at most 32 signs, findings for others are not
        reused."""
        ...

    def check(self, view: Any, inputs: Inputs | Preload) -> Verdict:
        """Judge an image by the view of a container that never ran. Pure but for reading the view."""
        ...

    def platform(self, spark_version: str) -> tuple[tuple[str, ...], str]:
        """The references of the platform's own images for this key, the best first, and the command that builds the last, which
        serves every key."""
        ...


@dataclass
class _Work:
    """What is known of one launch's image in this process. `judged`: by the check; `checked`: by the policy too."""

    stages: dict[str, Stage] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    busy: bool = False
    wait: RegistryWait | None = None
    failure: Failure | None = None
    present: str = ""
    judged: bool = False
    checked: bool = False


class ImageSteps:
    """The image steps of all launches. `submit` runs a function on another thread (or at once, in tests)."""

    def __init__(
        self,
        store: Store,
        images: Images,
        service: ImageService,
        submit: Callable[[Callable[[], None]], object],
        gate: ImageGate,
    ) -> None:
        self._store, self._images, self._service, self._submit, self._gate = store, images, service, submit, gate
        self._guard = threading.Lock()
        self._works: dict[str, tuple[int, _Work]] = {}

    def look(self, cluster_id: str, launch: int, known: Mapping[str, Any]) -> ImageStep:
        """Where the image of this launch stands; `known` is `facts.image`, which outlives this process."""
        with self._guard:
            work = self._work(cluster_id, launch)
            local = known.get("local") or (work.present if work.checked else None)
            found = {**work.found, "local": local} if local else dict(work.found)
            present = local or work.present or None
            return ImageStep(tuple(work.stages.values()), {**known, **found}, present, local, work.failure, _said(work.wait))

    def forget(self, cluster_id: str) -> None:
        with self._guard:
            self._works.pop(cluster_id, None)

    def want(self, inputs: Inputs | Preload, known: Mapping[str, Any], hint: Callable[[], None]) -> None:
        """Take the next piece of work that is not under way. Idempotent; `known` as it is durable, for the digest's
        sake."""
        with self._guard:
            work = self._work(inputs.cluster_id, inputs.launch)
            if work.busy or work.failure is not None or work.checked or known.get("local"):
                return
            work.busy = True
        done = True
        try:
            done = self._advance(inputs, known, work, hint)
        except NodeFailure as failure:
            self._fail(work, "image.pull", Failure(failure.code, failure.message, failure.evidence, "image.pull"))
        finally:
            if done:
                with self._guard:
                    work.busy = False

    def signed(self, preload: Preload, known: Mapping[str, Any]) -> Failure | None:
        """Judge by the policy's signers, once they have signed, what was checked without. Asks the registry, and waits for it.
        Raises ImageFailure, NodeFailure."""
        facts, key = RegistryFacts((str(known["digest"]),)), self._service.key(preload)
        admission = self._gate.before_pull(preload.workspace_id, str(known["pinned"]), facts, key, (SIGNERS,))
        return None if admission is None else admission.failure

    def _work(self, cluster_id: str, launch: int) -> _Work:
        held = self._works.get(cluster_id)
        if held is None or held[0] != launch:
            held = self._works[cluster_id] = (launch, _Work())
        return held[1]

    def _advance(self, inputs: Inputs | Preload, known: Mapping[str, Any], work: _Work, hint: Callable[[], None]) -> bool:
        """One piece of work; False when another thread goes on with it (and frees `busy` itself)."""
        docker = inputs.spec.docker_image
        if docker is None or not docker.url:
            return self._platform(inputs, known, work) or self._check(inputs, known, work, hint)
        if not known.get("digest"):
            if not work.found.get("digest"):
                self._begin(work, "image.resolve", reference=docker.url)
                self._in_background(work, "image.resolve", hint, lambda: self._resolve(inputs, docker.url or "", work))
                return False
            return True  # resolved, not yet written: the pull waits until the digest is durable
        if not work.present:
            self._pull(inputs, known, work, hint)
            if not work.present:
                return True
        return self._check(inputs, known, work, hint)

    def _platform(self, inputs: Inputs | Preload, known: Mapping[str, Any], work: _Work) -> bool:
        """Have `present` for the platform's own image: what this launch has already, else the best of those that were built. True
        when that is a failure: nothing more to do."""
        if work.present:
            return False
        offered, command = self._service.platform(inputs.spec.spark_version)
        mine = (known["reference"],) if known.get("reference") else ()
        reference = local = None
        for reference in (*mine, *offered):
            local = self._images.local(reference)
            if local is not None:
                break
        self._begin(work, "image.resolve", reference=reference, platform=True)
        if local is None:
            self._fail(
                work,
                "image.resolve",
                Failure(
                    "SPARK_IMAGE_NOT_FOUND",
                    f"The image of {inputs.spec.spark_version} ({reference}) is not on this machine. Build it with: {command}",
                    step="image.resolve",
                ),
            )
            return True
        work.found |= {"reference": reference, "digest": local}
        work.present = local
        self._end(work, "image.resolve", digest=local)
        return False

    def _resolve(self, inputs: Inputs | Preload, reference: str, work: _Work) -> None:
        key = self._service.key(inputs)
        resolved = self._service.resolve(reference, key, lambda wait: self._told(work, wait))
        found = {"reference": reference, "digest": resolved.digest, "pinned": resolved.pinned, "plain_http": resolved.plain_http}
        track = {"track": inputs.track} if inputs.track else {}
        found |= track
        others = [digest for digest in resolved.facts.digests if digest != resolved.digest]
        found |= {"index_digest": others[0]} if others else {}
        self._end(work, "image.resolve", digest=resolved.digest, size_bytes=resolved.size_bytes, **track, **resolved.details)
        began = self._store.clock()
        judged, facts, rules = reference, resolved.facts, BEFORE_PULL
        if isinstance(inputs, Preload) and inputs.pinned:
            judged, facts = resolved.pinned, replace(facts, digests=(resolved.digest,))
        if isinstance(inputs, Preload) and inputs.signed_later:
            rules = tuple(rule for rule in rules if rule != SIGNERS)
        admission = self._gate.before_pull(inputs.workspace_id, judged, facts, key, rules)
        if admission is not None and not self._admitted(work, "image.policy", admission, began):
            return
        with self._guard:
            work.found |= found

    def _admitted(self, work: _Work, step: str, admission: Admission, began: int) -> bool:
        """Write what the policy's gate said; whether the image may go on."""
        with self._guard:
            work.stages.setdefault(step, Stage(step, began, None, {}))
        if admission.failure is not None:
            self._fail(work, step, admission.failure, **admission.details)
            return False
        self._end(work, step, **admission.details)
        return True

    def _pull(self, inputs: Inputs | Preload, known: Mapping[str, Any], work: _Work, hint: Callable[[], None]) -> None:
        self._begin(work, "image.pull", pinned=known["pinned"])
        pull = self._images.pull(known["pinned"], self._service.key(inputs), bool(known.get("plain_http")), hint=hint)
        self._waits(work, "image.pull", pull.wait)
        if pull.state is PullState.FAILED and pull.code:
            self._fail(work, "image.pull", Failure(pull.code, pull.error, "", "image.pull"))
        elif pull.state is PullState.FAILED:
            values = inputs.values
            failed = classify(pull.error, known["pinned"], (values.password,) if values.password else ())
            self._fail(work, "image.pull", Failure(failed.code, failed.text, "", "image.pull"))
        elif pull.state is PullState.PRESENT:
            work.present = pull.image
            self._end(work, "image.pull", cached=pull.cached, bytes=pull.bytes_total)

    def _check(self, inputs: Inputs | Preload, known: Mapping[str, Any], work: _Work, hint: Callable[[], None]) -> bool:
        if work.judged or inputs.release is None:
            return self._scan(inputs, known, work, hint)
        self._begin(work, "image.check")
        digest = str(known.get("digest") or work.found.get("digest") or work.present)
        hardware = self._service.hardware(inputs)
        applied = f"{inputs.release.digest[:64]}/{self._service.rules}"
        if hardware:  # the column has room for 80 signs
            applied = f"{inputs.release.digest[:40]}/{self._service.rules}/{hardware}"
        key = (digest, applied, inputs.strict)
        verdict = self._remembered(key)
        if verdict is None:
            self._in_background(work, "image.check", hint, lambda: self._look_inside(inputs, work, key))
            return False
        self._apply(inputs, work, verdict, cached=True)
        return work.failure is not None or work.checked or self._scan(inputs, known, work, hint)

    def _scan(self, inputs: Inputs | Preload, known: Mapping[str, Any], work: _Work, hint: Callable[[], None]) -> bool:
        """Have the policy judge what is installed in an image of a user's."""
        if not self._scanned(inputs):
            with self._guard:
                work.checked = True
            return True
        told = {**work.found, **known}
        digests = tuple(str(told[name]) for name in ("digest", "index_digest") if told.get(name))
        judged = str(told["reference"])
        if isinstance(inputs, Preload) and inputs.pinned:
            judged, digests = str(told["pinned"]), digests[:1]

        def scan() -> None:
            began = self._store.clock()
            admission = self._gate.after_pull(inputs.workspace_id, judged, digests, work.present)
            if self._admitted(work, "image.scan", admission or Admission(), began):
                with self._guard:
                    work.checked = True

        self._begin(work, "image.scan")
        self._in_background(work, "image.scan", hint, scan)
        return False

    def _scanned(self, inputs: Inputs | Preload) -> bool:
        own = inputs.spec.docker_image is not None and bool(inputs.spec.docker_image.url)
        return own and self._gate.demands(inputs.workspace_id, AFTER_PULL) is not None

    def _look_inside(self, inputs: Inputs | Preload, work: _Work, key: tuple[str, str, bool]) -> None:
        with self._images.view(work.present) as view:
            verdict = self._service.check(view, inputs)
        digest, release, strict = key
        with self._store.transaction() as tx:
            tx.execute(
                delete(image_checks).where(
                    and_(
                        image_checks.c.digest == digest,
                        image_checks.c.release == release,
                        image_checks.c.strict == strict,
                    )
                )
            )
            tx.execute(
                insert(image_checks).values(
                    digest=digest, release=release, strict=strict, at=self._store.clock(), verdict=_document(verdict)
                )
            )
        self._apply(inputs, work, verdict, cached=False)

    def _apply(self, inputs: Inputs | Preload, work: _Work, verdict: Verdict, cached: bool) -> None:
        if verdict.failure is not None:
            self._fail(work, "image.check", verdict.failure, cached=cached)
            return
        with self._guard:
            work.found |= {
                "python": verdict.python, "python_reason": verdict.python_reason, "java": verdict.java, "r": verdict.r,
            }  # fmt: skip
        details = {"cached": cached, "python": (verdict.python or {}).get("version"), "warnings": list(verdict.warnings)}
        self._end(work, "image.check", **details)
        checked = not self._scanned(inputs)
        with self._guard:
            work.judged, work.checked = True, checked

    def _remembered(self, key: tuple[str, str, bool]) -> Verdict | None:
        digest, release, strict = key
        with self._store.read() as reader:
            row = reader.execute(
                select(image_checks.c.verdict).where(
                    and_(
                        image_checks.c.digest == digest,
                        image_checks.c.release == release,
                        image_checks.c.strict == strict,
                    )
                )
            ).first()
        return None if row is None else _restore(row.verdict)

    def _in_background(self, work: _Work, step: str, hint: Callable[[], None], task: Callable[[], None]) -> None:
        def run() -> None:
            try:
                task()
            except ImageFailure as failure:
                self._fail(work, step, Failure(failure.code, failure.text, "", step))
            except NodeFailure as failure:
                self._fail(work, step, Failure(failure.code, failure.message, failure.evidence, step))
            except DriverUnavailable:
                log.warning("%s: the engine does not answer; it is asked again", step)
            except OperationalError as error:  # a disk that is full, a database that is away: nothing is known of the image
                log.warning("%s: the store does not answer; the step is taken again: %s", step, error.orig)
            except Exception as error:
                log.exception("%s failed in a way nobody foresaw", step)
                self._fail(work, step, Failure("UNEXPECTED_LAUNCH_FAILURE", f"{step} failed: {type(error).__name__}.", "", step))
            finally:
                with self._guard:
                    work.busy = False
            hint()

        self._submit(run)

    def _told(self, work: _Work, wait: Wait | None) -> None:
        now = self._store.clock()
        self._waits(work, "image.resolve", wait and RegistryWait(wait.host, wait.status, wait.seconds, now))

    def _waits(self, work: _Work, step: str, wait: RegistryWait | None) -> None:
        """A registry is waited for, or (None) no more. The stage keeps a list of all waits."""
        with self._guard:
            if wait == work.wait:
                return
            work.wait = wait
            if wait is None:
                return
            stage = work.stages[step]
            waits = [*stage.details.get("waits", ()), {"registry": wait.host, "status": wait.status, "seconds": wait.seconds}]
            work.stages[step] = replace(stage, details={**stage.details, "waits": waits})

    def _begin(self, work: _Work, step: str, **details: Any) -> None:
        with self._guard:
            if step not in work.stages:
                work.stages[step] = Stage(step, self._store.clock(), None, details)

    def _end(self, work: _Work, step: str, outcome: str = "ok", **details: Any) -> None:
        with self._guard:
            began = work.stages[step]
            work.stages[step] = Stage(step, began.started, self._store.clock(), {**began.details, **details}, outcome)

    def _fail(self, work: _Work, step: str, failure: Failure, **details: Any) -> None:
        self._begin(work, step)
        self._end(work, step, "failed", code=failure.code, message=failure.message, **details)
        with self._guard:
            work.failure = failure


def _said(wait: RegistryWait | None) -> str:
    """A wait as the state message says it."""
    if wait is None:
        return ""
    until = datetime.fromtimestamp(wait.since / 1000 + wait.seconds, UTC)
    why = "was asked too often" if wait.status == 429 else "is busy"
    return f"{WAITING} {until:%H:%M:%S} UTC for {wait.host}, which {why} (it answered {wait.status})"


def _document(verdict: Verdict) -> dict[str, Any]:
    failure = verdict.failure
    return {
        "python": verdict.python,
        "python_reason": verdict.python_reason,
        "java": verdict.java,
        "r": verdict.r,
        "warnings": list(verdict.warnings),
        "failure": None if failure is None else {"code": failure.code, "message": failure.message, "evidence": failure.evidence},
    }


def _restore(document: Mapping[str, Any]) -> Verdict:
    failure = document.get("failure")
    return Verdict(
        document.get("python"),
        document.get("python_reason", ""),
        document.get("java"),
        tuple(document.get("warnings", ())),
        Failure(failure["code"], failure["message"], failure.get("evidence", ""), "image.check") if failure else None,
        document.get("r", ""),
    )
