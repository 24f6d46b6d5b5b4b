"""Plain-text passwords of registries in a cluster's wish: sealed before they are stored, opened by the launch alone.

What Databricks answers for one is not documented. We show `[REDACTED]`, and take that text in an edit for the password that the
cluster has, as long as registry and user stay the same (so that nobody can have it sent somewhere else).
"""

from boathouse.compute.cluster_spec import REDACTED, is_reference
from boathouse.images.references import InvalidReference, parse
from boathouse.wire.compute import ClusterSpec, DockerImage
from boathouse.workspace.sealing import Sealer, binding


def seal(sealer: Sealer, spec: ClusterSpec, workspace_id: int, cluster_id: str) -> None:
    """Seal a plain password in place, bound to this cluster; references stay as they are."""
    if spec.docker_image is not None:
        seal_image(sealer, spec.docker_image, workspace_id, cluster_id)


def seal_image(sealer: Sealer, image: DockerImage, workspace_id: int, owner: str) -> None:
    """As `seal`, for one image of `owner`: a cluster's id, or an instance pool's."""
    auth = image.basic_auth
    if auth is not None and auth.password is not None and not is_reference(auth.password):
        auth.password = sealer.seal(auth.password, _bound(workspace_id, owner))


def open_password(sealer: Sealer, stored: str, workspace_id: int, cluster_id: str) -> str:
    """The plain password behind what the store holds. Raises Unsealable. References are not for this function."""
    return sealer.unseal(stored, _bound(workspace_id, cluster_id))


def needs_sealing(spec: ClusterSpec) -> bool:
    """Whether the wish carries a plain password."""
    auth = spec.docker_image.basic_auth if spec.docker_image else None
    return auth is not None and bool(auth.password) and not is_reference(auth.password or "")


def kept(new: ClusterSpec, old: ClusterSpec) -> str | None:
    """The sealed password that an edit means by sending `[REDACTED]` back, or None where there is none to keep."""
    asked, had = new.docker_image, old.docker_image
    if asked is None or had is None or asked.basic_auth is None or had.basic_auth is None:
        return None
    password = had.basic_auth.password
    if asked.basic_auth.password != REDACTED or password is None or is_reference(password):
        return None
    same_user = asked.basic_auth.username == had.basic_auth.username
    return password if same_user and _registry(asked) == _registry(had) is not None else None


def _registry(image: DockerImage) -> str | None:
    try:
        return parse(image.url or "").host
    except InvalidReference:
        return None


def _bound(workspace_id: int, cluster_id: str) -> str:
    return binding("clusters", workspace_id, cluster_id, "docker_image.basic_auth.password")
