"""The policy of a workspace for container images, and exceptions from it: ours, under `/api/2.0/boathouse/image-policy`."""

from datetime import date

from boathouse.wire.base import Wire


class Signer(Wire):
    """Somebody whose signature counts: a name, and the public key in PEM (ECDSA P-256 or Ed25519)."""

    name: str
    key: str


class Base(Wire):
    """A base image, known by its layers: their uncompressed digests (`diff_ids`), the lowest first."""

    name: str
    layers: list[str]


class IgnoredVulnerability(Wire):
    """A decision that a vulnerability does not count. `package`: a name or a package URL, empty: any. `until`: the last day."""

    vulnerability: str
    reason: str
    until: date
    package: str = ""


class ImagePolicy(Wire):
    """What images a workspace's clusters may be made of. A rule that is left out demands nothing.

    `allowed_registries`: `host`, `*.host` or `host/path`. `signatures_required`: how many of the signers must have signed.
    `max_severity`: the worst known vulnerability that is allowed (`none` to `high`); `ignore_unfixed`: those that nothing mends
    yet do not count; `max_advisories_age_days`: how old what is known of vulnerabilities may be; `allow_uncovered`: ecosystems
    of which nothing need be known. `max_age_days`: since the image was made.
    """

    allowed_registries: list[str] | None = None
    pinned: bool = False
    signers: list[Signer] | None = None
    signatures_required: int = 1
    max_severity: str | None = None
    ignore_unfixed: bool = False
    ignored_vulnerabilities: list[IgnoredVulnerability] | None = None
    max_advisories_age_days: int = 7
    allow_uncovered: list[str] | None = None
    max_age_days: int | None = None
    allowed_bases: list[Base] | None = None


class CreateException(Wire):
    """Let one image pass. `image`: a reference as clusters write it, or a digest (`sha256:...`). `rules`: by their names in the
    policy, None: all. `until`: the last day on which it holds."""

    image: str
    reason: str
    until: date
    rules: list[str] | None = None


class ImageException(Wire):
    """An exception that was made. `created_at` in epoch ms; `ended`: its last day has gone by."""

    exception_id: str
    image: str
    reason: str
    until: date
    created_by: str
    created_at: int
    rules: list[str] | None = None
    ended: bool = False


class CreateExceptionResponse(Wire):
    exception_id: str


class ImagePolicyInForce(Wire):
    """The policy with its exceptions. `updated_at` in epoch ms; both None where no policy was ever set."""

    policy: ImagePolicy
    exceptions: list[ImageException]
    updated_by: str | None = None
    updated_at: int | None = None
