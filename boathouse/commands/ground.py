"""What the commands stand on from other rooms, put in once by `server.py`.

Only seams: no behaviour of ours. Tests put fakes here.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from boathouse.commands.waiting import Changes
from boathouse.dataplane.contract import Link
from boathouse.store import Store


class DriverSecrets(Protocol):
    """`token`: of the driver's control interface. `gateway_secret`: of its Py4J gateway."""

    @property
    def token(self) -> str: ...

    @property
    def gateway_secret(self) -> str: ...


class Launches(Protocol):
    """What a running launch knows and no row holds (`compute.endpoint.Endpoints`). Works after a restart of the control plane
    too; raises `compute.endpoint.NotServing`."""

    def driver(self, cluster_id: str) -> DriverSecrets: ...

    def environment(self, cluster_id: str) -> Mapping[str, str]:
        """Of a process in the driver's container: `spark_env_vars` with their secrets, and the platform's own."""
        ...

    def redactions(self, cluster_id: str) -> Iterable[str]:
        """The values of all secrets that were resolved for this launch."""
        ...


class ContextSecrets(Protocol):
    """The workspace's secrets as one principal may read them. Each raises ApiError when they may not, or there is none."""

    def get(self, workspace_id: int, principal_id: int, scope: str, key: str) -> bytes: ...

    def keys(self, workspace_id: int, principal_id: int, scope: str) -> Iterable[str]: ...

    def scopes(self, workspace_id: int, principal_id: int) -> Iterable[str]: ...


class ContextFiles(Protocol):
    """The workspace's files as one principal may use them (`commands.workspace_files`)."""

    def call(self, workspace_id: int, principal_id: int, method: str, params: Mapping[str, Any]) -> Any:
        """One method of `dbutils.fs`. Raises ApiError when it is refused."""
        ...


class ContextCatalog(Protocol):
    """The catalog as one principal may use it (`commands.workspace_catalog`)."""

    def sql(self, workspace_id: int, principal_id: int, text: str) -> dict[str, Any]:
        """Carry out one of the catalog's statements; `columns` and `rows` where it shows something. Raises ApiError."""
        ...


class Ground(msgspec.Struct, frozen=True):
    store: Store
    link: Link
    launches: Launches
    secrets: ContextSecrets
    changes: Changes = msgspec.field(default_factory=Changes)
    files: ContextFiles | None = None
    catalog: ContextCatalog | None = None
