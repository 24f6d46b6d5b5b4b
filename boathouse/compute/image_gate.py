"""The image policy at a launch: what must be known of an image is found out, and the rules are asked.

Between `images_step`, which says when, and `images.trust.policy`, which says what. Asked twice: with what the registry tells,
before anything is pulled, and with what is installed, after it. Without a policy that demands something nothing is asked of
anybody. Runs on threads that may wait for a registry.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from boathouse.compute import image_policies
from boathouse.compute.image_policies import InForce
from boathouse.compute.image_scans import ImageScans
from boathouse.compute.world import Failure
from boathouse.dataplane.contract import Images, Key
from boathouse.images.references import parse
from boathouse.images.trust.policy import AFTER_PULL, BEFORE_PULL, Facts, demands, signed
from boathouse.images.trust.signatures import Signature
from boathouse.store import Store

#: The code of a launch whose image the policy refuses: the configuration of the cluster cannot be used as it is.
REFUSED = "INVALID_ARGUMENT"


#: The rule about signatures.
SIGNERS = "signers"


class Registry(Protocol):
    """Where signatures are asked for; `image_service` has it."""

    def signatures(self, reference: str, digests: tuple[str, ...], key: Key) -> tuple[Signature, ...]:
        """What the registry keeps for these digests; whose they are is not known yet. Raises ImageFailure."""
        ...


class RegistryFacts(msgspec.Struct, frozen=True):
    """What a registry told of an image: see `policy.Facts`."""

    digests: tuple[str, ...] = ()
    created: str = ""
    diff_ids: tuple[str, ...] = ()


class Admission(msgspec.Struct, frozen=True):
    """What the gate says: `failure` where the image may not start; `details` for the timeline."""

    failure: Failure | None = None
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ImageGate:
    """The gate of a control plane. `advisories`, `scratch`: see `ImageScans`."""

    def __init__(
        self, store: Store, images: Images, registry: Registry, advisories: Path | None = None, scratch: Path | None = None
    ) -> None:
        self._store, self._registry = store, registry
        self.scans = ImageScans(store, images, advisories, scratch)

    def demands(self, workspace_id: int, rules: tuple[str, ...]) -> InForce | None:
        """The policy in force where one of these rules demands something."""
        with self._store.read() as reader:
            found = image_policies.in_force(reader, workspace_id)
        return found if found is not None and demands(found.policy, rules) else None

    def before_pull(
        self, workspace_id: int, reference: str, known: RegistryFacts, key: Key, rules: tuple[str, ...] = BEFORE_PULL
    ) -> Admission | None:
        """Judge an image by what its registry tells, by these rules of `policy.BEFORE_PULL`. None where nothing is demanded.
        Raises ImageFailure."""
        force = self.demands(workspace_id, rules)
        if force is None:
            return None
        signed_by, unsigned = (), ()
        asks_signers = bool(force.policy.signers) and SIGNERS in rules
        if asks_signers:
            there = self._registry.signatures(reference, known.digests, key)
            signed_by, unsigned = signed(force.policy, there, known.digests)
        facts = Facts(parse(reference), known.digests, known.created, known.diff_ids, signed_by, unsigned)
        details = {"signed_by": list(signed_by)} if asks_signers else {}
        return self._judged(force, facts, rules, "image.policy", details)

    def after_pull(self, workspace_id: int, reference: str, digests: tuple[str, ...], image: str) -> Admission | None:
        """Judge an image that the engine has by what is installed in it. None where nothing is demanded. Raises NodeFailure,
        DriverUnavailable."""
        force = self.demands(workspace_id, AFTER_PULL)
        if force is None:
            return None
        scanned = self.scans.of(digests[0], image)
        details: dict[str, Any] = {"advisories_age_days": scanned.advisories_age_days}
        if scanned.result is not None:
            details |= {"worst": scanned.result.worst.word, "findings": len(scanned.result.findings)}
            details |= {"unjudged": len(scanned.result.unjudged)} if scanned.result.unjudged else {}
        return self._judged(force, Facts(parse(reference), digests, scanned=scanned), AFTER_PULL, "image.scan", details)

    def _judged(self, force: InForce, facts: Facts, rules: tuple[str, ...], step: str, details: Mapping[str, Any]) -> Admission:
        judgement = force.judge(facts, rules, image_policies.moment(self._store.clock()))
        told = dict(details) | ({"exceptions": list(judgement.excepted)} if judgement.excepted else {})
        if judgement.first is None:
            return Admission(details=told)
        broken = [refusal.rule for refusal in judgement.refusals]
        return Admission(Failure(REFUSED, judgement.first.text, step=step), {**told, "refused_by": broken})
