"""The long work on images: built and scanned by the engine of this machine, signed at their registry.

`SimulatedWork` stands in where nodes are simulated: what it cannot do it refuses by name.
"""

from typing import Any

from boathouse.rollout.failures import StepFailed
from boathouse.wire.rollout import RolloutSpec


class SimulatedWork:
    """See `effects.ImageWork`. No image is real here: none can be built, scanned or signed."""

    def build(self, row: Any, spec: RolloutSpec) -> tuple[str, dict[str, Any]]:
        raise StepFailed("source: the nodes of this platform are simulated: nothing can be built; give an image")

    def scan(self, row: Any, spec: RolloutSpec, image: str) -> dict[str, Any]:
        raise StepFailed("scan: the nodes of this platform are simulated: no image can be looked into; leave scan out")

    def sign(self, row: Any, spec: RolloutSpec) -> dict[str, Any]:
        raise StepFailed("sign: the nodes of this platform are simulated: no image can be signed; leave sign out")
