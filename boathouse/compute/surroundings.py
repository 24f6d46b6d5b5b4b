"""What compute's rules need to know of the workspace around a cluster. `server.py` puts one `Surroundings` into the services."""

from collections.abc import Callable
from functools import cache
from typing import Any

from boathouse import releases
from boathouse.compute.gpu_rules import GpusThere
from boathouse.compute.quotas import Quotas
from boathouse.dataplane.contract import Driver, DriverUnavailable, NodeFailure
from boathouse.edge.caller import Caller
from boathouse.identity import principals, workspaces
from boathouse.store import Reader
from boathouse.wire.compute import ClusterSpec, SparkVersion

#: The zones that each cloud's default region has; the first is where clusters go.
ZONES: dict[str, tuple[str, ...]] = {
    "aws": ("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d"),
    "azure": ("1", "2", "3"),
    "gcp": ("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
}

DEFAULT_CLOUD = "aws"

#: The entitlement of who may create clusters without a policy.
ENTITLEMENT = "allow-cluster-create"


@cache
def spark_versions() -> dict[str, SparkVersion]:
    """What a cluster may ask for, by key, newest first."""
    return {key: SparkVersion(key, name) for key, name in releases.spark_versions()}


def dcs_enabled(reader: Reader, workspace_id: int) -> bool:
    """Whether an admin has switched container services on."""
    return workspaces.conf(reader, workspace_id, "enableDcs") == "true"


def is_principal(reader: Reader, workspace_id: int, name: str) -> bool:
    """Whether `name` is a user, or the application id of a service principal, of the workspace."""
    return principal(reader, workspace_id, name) is not None


def principal(reader: Reader, workspace_id: int, name: str) -> principals.Principal | None:
    """The user of this name, or the service principal of this application id, as the workspace sees it."""
    return principals.in_workspace(reader, workspace_id, name, (principals.USER, principals.SERVICE_PRINCIPAL))


def may_create(reader: Reader, caller: Caller) -> bool:
    """Whether a principal may create clusters of any kind: admins, and who is entitled to it."""
    if caller.admin:
        return True
    return ENTITLEMENT in principals.entitlements_of(reader, caller.principal_id, caller.workspace_id)


def cloud_of(reader: Reader, workspace_id: int) -> str:
    """The workspace's cloud."""
    workspace = workspaces.get(reader, workspace_id)
    return DEFAULT_CLOUD if workspace is None else workspace.cloud


def way_out(driver: Driver) -> bool:
    """Whether nodes reach the outside world; true as well while nobody can say: what fails then says so itself."""
    try:
        return driver.egress
    except (DriverUnavailable, NodeFailure):
        return True


#: Whether the release of a runtime's key is on this machine.
Built = Callable[[str], bool]

#: Asks for the image that a cluster (its row) would restart with: the wish, and whose rights open the registry. Raises ApiError.
AskImage = Callable[[Any, ClusterSpec, str], None]


class Surroundings:
    """`max_workers`: the most that one cluster of this data plane can have. `quotas`: the limits of every workspace. `gpus`:
    those of this data plane, asked only for node types that have some. `egress`: whether its nodes reach the outside world,
    asked only for what needs that. `ask_image`: see `image_question`; without it no registry is asked. `built`: whether a
    runtime's release is on this machine, by its key."""

    def __init__(
        self,
        max_workers: int = 1000,
        quotas: Quotas | None = None,
        gpus: Callable[[], GpusThere] = lambda: GpusThere(reason="it was not asked"),
        egress: Callable[[], bool] = lambda: True,
        ask_image: AskImage = lambda row, spec, editor: None,
        built: Built = lambda spark_version: True,
    ) -> None:
        self.gpus, self.egress, self.ask_image, self.built = gpus, egress, ask_image, built
        self.max_workers = max_workers
        self.quotas = quotas or Quotas()
        self._clouds: dict[int, str] = {}

    def known_cloud(self, workspace_id: int) -> str | None:
        """The workspace's cloud without asking the store; None the first time."""
        return self._clouds.get(workspace_id)

    def cloud(self, reader: Reader, workspace_id: int) -> str:
        """The workspace's cloud, which never changes."""
        cloud = self._clouds.get(workspace_id)
        if cloud is None:
            workspace = workspaces.get(reader, workspace_id)
            cloud = DEFAULT_CLOUD if workspace is None else workspace.cloud
            if workspace is not None:
                self._clouds[workspace_id] = cloud
        return cloud
