"""The rows of libraries: what others ask of them and have done to them. `api` and `reconciler` use the table directly too."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, or_, select

from boathouse.compute.libraries import rules
from boathouse.compute.tables import cluster_libraries as table
from boathouse.reconcile import wake
from boathouse.store import Reader, Tx

KIND = "libraries"

#: The statuses of the API; from these nothing goes on by itself in this launch.
PENDING, RESOLVING, INSTALLING, INSTALLED = "PENDING", "RESOLVING", "INSTALLING", "INSTALLED"
FAILED, SKIPPED, UNINSTALL_ON_RESTART = "FAILED", "SKIPPED", "UNINSTALL_ON_RESTART"
SETTLED = (INSTALLED, FAILED, SKIPPED)

_HERE = table.c.cluster_id == bindparam("of_cluster")
_OF_CLUSTER = select(table).where(_HERE).order_by(table.c.number)
_ANY = select(table.c.number).where(_HERE).limit(1)
_WAITED_FOR = (
    select(table.c.number)
    .where(
        _HERE,
        table.c.uninstall.is_(False),
        table.c.requested_at <= bindparam("asked_at"),
        or_(table.c.launch != bindparam("of_launch"), table.c.status.not_in(SETTLED)),
    )
    .limit(1)
)


def of_cluster(reader: Reader, cluster_id: str) -> Sequence[Any]:
    """All rows of a cluster in their order."""
    return reader.execute(_OF_CLUSTER, {"of_cluster": cluster_id}).all()


def wake_for(tx: Tx, cluster_id: str) -> None:
    """Something changed that a cluster's libraries may depend on; costs one look when it has none."""
    if tx.execute(_ANY, {"of_cluster": cluster_id}).first() is not None:
        wake(tx, KIND, cluster_id)


def awaited(reader: Reader, cluster_id: str, launch: int, asked_at: int) -> bool:
    """Whether what was asked of the cluster at that time (epoch ms) has to wait for libraries that were asked for before."""
    values = {"of_cluster": cluster_id, "of_launch": launch, "asked_at": asked_at}
    return reader.execute(_WAITED_FOR, values).first() is not None


def unfurnished(reader: Reader, cluster_id: str, launch: int, nodes: Sequence[str]) -> frozenset[str]:
    """Of these workers, those that miss a library which the cluster has."""
    missing = set()
    for row in of_cluster(reader, cluster_id):
        if row.uninstall or rules.kind_of(row.library) in rules.DRIVER:
            continue
        if row.launch == launch and row.status == INSTALLED:
            missing |= {node for node in nodes if "ok" not in (row.nodes or {}).get(node, {})}
    return frozenset(missing)


def new(cluster_id: str, library: Any, installer: str, now: int) -> dict[str, Any]:
    """The values of a new row."""
    return {
        "cluster_id": cluster_id, "key": rules.key(library), "library": library, "installer": installer, "requested_at": now,
        "uninstall": False, "attempt": 1, "launch": 0, "status": PENDING, "messages": [], "nodes": {},
    }  # fmt: skip


def clone(tx: Tx, source: str, cluster_id: str, installer: str, now: int) -> None:
    """A new cluster gets the libraries that another one is to have."""
    wished = [row.library for row in of_cluster(tx, source) if not row.uninstall]
    if wished:
        tx.execute(insert(table), [new(cluster_id, library, installer, now) for library in wished])


def add(tx: Tx, cluster_id: str, wished: Sequence[Any], installer: str, now: int) -> None:
    """A cluster is to have these libraries too; those that it is to have already stay as they are."""
    known = {row.key for row in of_cluster(tx, cluster_id)}
    rows = {rules.key(library): new(cluster_id, library, installer, now) for library in wished}
    fresh = [row for key, row in rows.items() if key not in known]
    if fresh:
        tx.execute(insert(table), fresh)
        wake(tx, KIND, cluster_id)


def forget(tx: Tx, cluster_id: str) -> None:
    """The cluster is erased."""
    tx.execute(delete(table).where(table.c.cluster_id == cluster_id))


def with_libraries(reader: Reader) -> list[str]:
    """Clusters whose libraries may need something: what a starting control plane looks at."""
    unsettled = or_(table.c.status.not_in(SETTLED), table.c.uninstall.is_(True))
    return list(reader.execute(select(table.c.cluster_id).where(and_(unsettled)).distinct()).scalars())
