"""Who may do what with a cluster, asked in the one place where its row is looked up.

Every room that touches a cluster on somebody's behalf begins with `find`. What may be done is the caller's level on the cluster
(`auth.permissions`): CAN_ATTACH_TO, CAN_RESTART, CAN_MANAGE; who made it manages it. A dedicated cluster admits only its single
user to attach, whatever the level of others, and that user needs a level too (reference api D).
"""

from typing import Any, Literal

from sqlalchemy import JSON, Row, Text, and_, bindparam, cast, or_, select
from sqlalchemy.sql import ColumnElement

from boathouse.auth import permissions
from boathouse.compute import cluster_spec, states
from boathouse.compute.tables import clusters
from boathouse.edge.caller import Caller
from boathouse.edge.errors import ApiError, denied, invalid, invalid_state
from boathouse.store import Reader

Need = Literal["see", "attach", "restart", "manage"]

#: The level that each takes, and what the platform calls it in its refusals.
_LEAST = {"see": "CAN_ATTACH_TO", "attach": "CAN_ATTACH_TO", "restart": "CAN_RESTART", "manage": "CAN_MANAGE"}
_WORDS = {"see": "Attach", "attach": "Attach", "restart": "Restart", "manage": "Manage"}

LEVELS = (
    ("CAN_ATTACH_TO", "Can attach to the cluster, see it, and open its Spark UI"),
    ("CAN_RESTART", "Can also start, restart and terminate the cluster"),
    ("CAN_MANAGE", "Can also edit and resize the cluster, install libraries, read its logs, and change permissions"),
)

LONGEST_ID = 64

DAY_MS = 86_400_000
#: How long after its end a cluster can be acted on and listed, and how long it can be looked at (reference api A).
KEPT_MS, SEEN_MS = 30 * DAY_MS, 60 * DAY_MS


def columns(*names: str) -> list[Any]:
    """Columns of clusters to select, the JSON ones as text: answers are computed from it without building Python objects
    first. SQL's NULL and JSON's null both occur."""
    wanted = [clusters.c[name] for name in names]
    return [cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column for column in wanted]


COLUMNS = columns(*(column.name for column in clusters.c if column.name != "idempotency_token"))

_BY_ID = select(*COLUMNS).where(
    and_(
        clusters.c.cluster_id == bindparam("cluster_id"),
        clusters.c.workspace_id == bindparam("workspace_id"),
        clusters.c.wish != states.WISH_DELETED,
        clusters.c.source != states.POOL,
    )
)


def _existing(reader: Reader, caller: Caller, cluster_id: str) -> str:
    here = {"cluster_id": cluster_id, "workspace_id": caller.workspace_id}
    if len(cluster_id) > LONGEST_ID or "\0" in cluster_id or reader.execute(_BY_ID, here).first() is None:
        raise no_such_cluster(cluster_id)
    return cluster_id


CLUSTERS = permissions.declare(permissions.ObjectType("clusters", "cluster", LEVELS, _existing))

#: By `admin` and `lock`: an admin's level need not be looked up.
_MINE = _BY_ID.add_columns(permissions.rank_in(CLUSTERS, clusters.c.cluster_id).label("rank"))
_FIND = {
    (True, False): _BY_ID, (True, True): _BY_ID.with_for_update(),
    (False, False): _MINE, (False, True): _MINE.with_for_update(of=clusters),
}  # fmt: skip


def find(reader: Reader, caller: Caller, cluster_id: str, need: Need, *, now: int = 0, lock: bool = False) -> Row[Any]:
    """The row of a cluster that `caller` may use as `need` says; `spec`, `facts` and the reasons are JSON text.

    `now` (epoch ms) also asks whether the cluster is not gone too long; `lock` holds the row until the transaction ends.
    Raises ApiError: 400 when there is no such cluster in the caller's workspace, 403 when it is somebody else's.
    """
    if len(cluster_id) > LONGEST_ID or "\0" in cluster_id:
        raise no_such_cluster(cluster_id)
    here: dict[str, Any] = {"cluster_id": cluster_id, "workspace_id": caller.workspace_id}
    if not caller.admin:
        here |= permissions.ids_values(caller)
    found = reader.execute(_FIND[caller.admin, lock], here).first()
    if found is None:
        raise no_such_cluster(cluster_id)
    if not caller.admin and (found.rank or 0) < CLUSTERS.levels[_LEAST[need]].rank:
        raise denied(
            f"{caller.name} does not have {_WORDS[need]} permissions on {cluster_id}. "
            "Please contact the owner or an administrator for access."
        )
    if need == "attach":
        _admit(caller, cluster_id, found.spec, found.creator)
    if now and found.state == states.TERMINATED and found.pinned_at is None:
        ended = max(found.terminated_time or found.start_time, found.unpinned_at or 0)
        if now - ended > (SEEN_MS if need == "see" else KEPT_MS):
            raise invalid_state(f"Cannot access cluster {cluster_id} that was terminated or unpinned more than 30 days ago.")
    return found


def no_such_cluster(cluster_id: str) -> ApiError:
    """The platform's answer: 400, which the SDK turns into ResourceDoesNotExist."""
    return invalid(f"Cluster {cluster_id[:LONGEST_ID]} does not exist")


def may_manage(reader: Reader, caller: Caller, cluster_id: str) -> bool:
    """Whether `caller` manages a cluster of the workspace."""
    return permissions.allows(reader, caller, CLUSTERS.name, cluster_id, "CAN_MANAGE")


_THERE = and_(
    clusters.c.workspace_id == bindparam("of_workspace"),
    clusters.c.wish != states.WISH_DELETED,
    clusters.c.source != states.POOL,
)

#: What lists show, for statements that are built once; `shown_values` has the values of a call.
#: `VISIBLE`, by `admin`: all, or those on which the caller has any level. `NOT_GONE`: pinned, not ended, or ended (or unpinned)
#: less than 30 days ago.
VISIBLE: dict[bool, ColumnElement[bool]] = {
    True: _THERE, False: and_(_THERE, clusters.c.cluster_id.in_(permissions.ids_of(CLUSTERS.name))),
}  # fmt: skip
NOT_GONE = or_(
    clusters.c.state != states.TERMINATED,
    clusters.c.pinned_at.is_not(None),
    clusters.c.terminated_time >= bindparam("kept_since"),
    clusters.c.unpinned_at >= bindparam("kept_since"),
)


def shown_values(caller: Caller, now: int) -> dict[str, Any]:
    """The values of `VISIBLE` and `NOT_GONE`."""
    mine = {} if caller.admin else permissions.ids_values(caller)
    return {"of_workspace": caller.workspace_id, "kept_since": now - KEPT_MS, **mine}


def _admit(caller: Caller, cluster_id: str, spec: str, creator: str) -> None:
    single = cluster_spec.single_user(cluster_spec.load(spec), creator)
    if single is not None and single.casefold() != caller.name.casefold():
        raise denied(
            f"Single-user check failed: user '{caller.name}' attempted to run a command on single-user cluster {cluster_id}, "
            f"but the single user of this cluster is '{single}'"
        )
