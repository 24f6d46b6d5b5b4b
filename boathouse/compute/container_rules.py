"""The rules of container services: what `docker_image` may be combined with (reference api B). Pure."""

from collections.abc import Iterator

from boathouse.compute import node_types
from boathouse.compute.cluster_spec import REDACTED, is_reference
from boathouse.images import tracks
from boathouse.images.references import InvalidReference, parse
from boathouse.wire.compute import ClusterSpec, DockerBasicAuth, DockerImage

#: The platform's own text for a workspace whose `enableDcs` is off.
TURNED_OFF = (
    "Custom containers is turned off for your deployment. Please contact your workspace administrator to use this feature."
)

STANDARD = frozenset({"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"})


def violations(spec: ClusterSpec, dcs_enabled: bool, track_refused: str = "") -> Iterator[str]:
    """Why a wish with `docker_image` cannot be accepted; nothing for one without. `track_refused`: why the track that it names
    cannot be followed, where it names one."""
    image = spec.docker_image
    if image is None:
        return
    if not dcs_enabled:
        yield TURNED_OFF
        return
    if not image.url:
        yield "Missing required field 'docker_image.url'. Give an image reference such as registry.example.com/team/image:tag."
    elif tracks.is_track(image.url):
        yield from _track(image, track_refused)
    else:
        try:
            parse(image.url, "docker_image.url")
        except InvalidReference as error:
            yield str(error)
    if image.basic_auth is not None:
        yield from _credentials(image.basic_auth)
    if spec.data_security_mode in STANDARD:
        yield (
            f"data_security_mode: {spec.data_security_mode} (standard access mode) does not support custom containers; "
            "give SINGLE_USER or NONE, or leave docker_image out"
        )
    if "-ml-" in spec.spark_version:
        yield (
            f"spark_version: {spec.spark_version!r} is a Databricks Runtime for Machine Learning, which does not support "
            "custom containers; give the same version without ML and put the libraries into the image"
        )
    for name in ("node_type_id", "driver_node_type_id"):
        size = node_types.size(getattr(spec, name) or "")
        if size is not None and size.arm:
            yield (
                f"{name}: {size.node_type_id!r} has arm64 processors, which do not support custom containers; "
                "give an x86-64 node type"
            )


def _track(image: DockerImage, refused: str) -> Iterator[str]:
    try:
        tracks.parse(image.url or "", "docker_image.url")
    except tracks.InvalidTrack as error:
        yield str(error)
        return
    if refused:
        yield f"docker_image.url: {refused}"
    if image.basic_auth is not None:  # it would be sent to whichever registry the track names one day
        yield "docker_image.basic_auth: a track has the login of its registry itself; leave basic_auth out"


def _credentials(auth: DockerBasicAuth) -> Iterator[str]:
    for name in ("username", "password"):
        value = getattr(auth, name)
        if not value:
            yield (
                f"Missing required field 'docker_image.basic_auth.{name}'. username and password are needed both; "
                "leave basic_auth out for a public image."
            )
        elif "{{secrets/" in value and not is_reference(value):
            shown = "the value" if name == "password" else repr(value[:100])
            yield (
                f"docker_image.basic_auth.{name}: {shown} is not allowed; a reference to a secret is the whole value, "
                "{{secrets/<scope>/<key>}}"
            )
        elif "\x00" in value:
            yield f"docker_image.basic_auth.{name}: a value cannot hold a NUL character"
    if auth.password == REDACTED:
        yield (
            "docker_image.basic_auth.password: '[REDACTED]' stands for the password that the cluster has, and there is none for "
            "this registry and user; send the password, or a {{secrets/<scope>/<key>}} reference"
        )
