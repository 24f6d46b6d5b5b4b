"""What the launch asks of `images`, answered: by registries and the check, or by a simulation that touches neither.

`server.py` chooses one and hands it to the launch. Bridges two vocabularies and decides nothing: findings and failures
of `images` become the launch's verdicts.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from boathouse.compute import node_types
from boathouse.compute.image_gate import RegistryFacts
from boathouse.compute.images_step import Preload, Resolved, Verdict
from boathouse.compute.launch_inputs import Inputs
from boathouse.compute.registry_keys import RegistryKeys
from boathouse.compute.world import Failure
from boathouse.dataplane.contract import Key
from boathouse.images import build, references
from boathouse.images.check import RULES_VERSION, check
from boathouse.images.failures import PullFailure
from boathouse.images.findings import UNUSABLE, PythonFacts, Wanted
from boathouse.images.registry_access import Registries
from boathouse.images.registry_http import RegistrySettings, Told
from boathouse.images.trust.signatures import Signature
from boathouse.images.views import EngineView, HostileImage
from boathouse.releases.runtimes import is_ml

#: Recipes of the images that clusters without `docker_image` run in.
PLATFORM_RECIPE, ML_RECIPE = "standard", "ml"


class RegistryImages:
    """Images of registries. `keys`: what opens them. `room`: bytes that an image may have on this machine now, None for no limit
    that is known: one whose compressed layers alone need more is refused before anything is pulled."""

    rules = RULES_VERSION

    def __init__(
        self,
        registries: Registries | None = None,
        room: Callable[[], int | None] = lambda: None,
        platform_recipe: str = PLATFORM_RECIPE,
        keys: RegistryKeys | None = None,
        gpu: Callable[[], tuple[str, str]] = lambda: ("", ""),
    ) -> None:
        self._registries, self._room = registries or Registries(RegistrySettings()), room
        self._platform_recipe, self._keys, self._gpu = platform_recipe, keys or RegistryKeys(), gpu

    def key(self, inputs: Inputs | Preload) -> Key:
        return self._keys.of(inputs)

    def resolve(self, reference: str, key: Key, told: Told | None = None) -> Resolved:
        parsed = references.parse(reference)
        found, mirror = self._registries.resolve(parsed, key, self._room(), told)
        details: dict[str, Any] = {"reference": str(parsed), "layers": len(found.layers), "platform": found.platform}
        if found.index_digest:
            details["index_digest"] = found.index_digest
        if mirror:
            details["mirror"] = mirror
        plain = self._registries.settings.plain_http(parsed.api_host)
        digests = (found.digest, found.index_digest) if found.index_digest else (found.digest,)
        facts = RegistryFacts(digests, found.config.created, found.config.diff_ids)
        return Resolved(found.digest, found.pinned, found.size_bytes, plain, details, facts)

    def ask(self, reference: str, key: Key, seconds: float) -> None:
        self._registries.resolve(references.parse(reference), key, patience=seconds)

    def signatures(self, reference: str, digests: tuple[str, ...], key: Key) -> tuple[Signature, ...]:
        return self._registries.signatures(references.parse(reference), digests, key)

    def hardware(self, inputs: Inputs | Preload) -> str:
        """What of the nodes decides about an image beside the runtime: driver and compute capability of their GPUs."""
        names = {inputs.spec.node_type_id or "", inputs.spec.driver_node_type_id or ""}
        return "/".join(self._gpu())[:32] if any(node_types.gpus(name) for name in names) else ""

    def check(self, view: Any, inputs: Inputs | Preload) -> Verdict:
        release = inputs.release
        driver, _, capability = self.hardware(inputs).partition("/")
        assert release is not None, "an image is checked for a release"
        wanted = Wanted(
            spark=release.spark, glibc=release.glibc, java_major=release.java_major, max_bytes=None, strict=inputs.strict,
            cuda_driver=driver, compute_capability=capability,
        )  # fmt: skip
        try:
            report = check(EngineView(view), wanted)
        except HostileImage as hostile:
            return Verdict(failure=Failure(UNUSABLE, f"The image cannot be read safely: {hostile}.", step="image.check"))
        warnings = tuple(finding.text for finding in report.warnings)
        failed = report.first_failure
        if failed is not None:
            return Verdict(warnings=warnings, failure=Failure(failed.termination_code, failed.text, step="image.check"))
        python, java = report.python, report.java
        return Verdict(
            python=_python(python, view.config) if python else None,
            python_reason=report.python_reason,
            java={"path": java.path, "major": java.major} if java else None,
            warnings=warnings,
            r=report.r,
        )

    def platform(self, spark_version: str) -> tuple[tuple[str, ...], str]:
        recipe = ML_RECIPE if is_ml(spark_version) else self._platform_recipe
        own = _reference(f"{recipe}:{spark_version.partition('.x')[0]}")
        return tuple(filter(None, (own, _reference(recipe) or _nobodys(recipe)))), f"boathouse image build {recipe}"


def _python(python: PythonFacts, config: Mapping[str, Any]) -> dict[str, str]:
    """What processes need to know of the image's Python; `search` is its own PYTHONPATH, which ours goes in front of."""
    variables = dict(item.partition("=")[::2] for item in config.get("Env") or ())
    return {"path": python.path, "version": python.version, "search": variables.get("PYTHONPATH", "")}


class SimulatedImages:
    """Images for simulated nodes: no registry is asked, nothing is looked at, and Python is refused by name."""

    rules = 0

    def key(self, inputs: Inputs | Preload) -> Key:
        return None

    def resolve(self, reference: str, key: Key, told: Told | None = None) -> Resolved:
        parsed = references.parse(reference)
        digest = parsed.digest or f"sha256:{hashlib.sha256(str(parsed).encode()).hexdigest()}"
        return Resolved(digest, parsed.pinned(digest), details={"simulated": True}, facts=RegistryFacts((digest,)))

    def ask(self, reference: str, key: Key, seconds: float) -> None:
        references.parse(reference)

    def signatures(self, reference: str, digests: tuple[str, ...], key: Key) -> tuple[Signature, ...]:
        raise PullFailure("The nodes of this cluster are simulated: no registry is asked for signatures of its image.")

    def hardware(self, inputs: Inputs | Preload) -> str:
        return ""

    def check(self, view: Any, inputs: Inputs | Preload) -> Verdict:
        return Verdict(python_reason="The nodes of this cluster are simulated: they run no commands.")

    def platform(self, spark_version: str) -> tuple[tuple[str, ...], str]:
        recipe = ML_RECIPE if is_ml(spark_version) else PLATFORM_RECIPE
        return (f"{build.REPOSITORY}/{recipe}:simulated",), f"boathouse image build {recipe}"


@cache
def _reference(recipe: str) -> str:
    """The reference under which a recipe's image is loaded; empty where there is no such recipe, or none for that runtime."""
    try:
        return build.reference(recipe)
    except (FileNotFoundError, build.recipe.RecipeError):
        return ""


def _nobodys(recipe: str) -> str:
    """A reference that no engine has."""
    return f"{build.REPOSITORY}/{recipe}:none"
