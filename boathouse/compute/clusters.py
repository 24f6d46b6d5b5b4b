"""`/api/2.x/clusters/*`: the verbs that make, change and end clusters.

Each records a wish: the row, its event and the wake-up of the reconciler in one transaction, and answers. Nothing here starts or
stops anything. What a verb does in each state stands in `states`, what a wish must satisfy in `rules`, who may ask in `access`.
"""

import hashlib
import secrets
import string
import time
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from boathouse.auth import permissions
from boathouse.compute import (
    access,
    cluster_spec,
    cluster_view,
    events,
    log_delivery,
    pool_stock,
    quotas,
    registry_password,
    states,
    tracks,
    usage_records,
)
from boathouse.compute.cluster_wishes import described, move, paths, refuse, write
from boathouse.compute.libraries import rows as library_rows
from boathouse.compute.policies import admission, enforcement
from boathouse.compute.surroundings import ZONES, Surroundings
from boathouse.compute.tables import clusters
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid, invalid_state, limit_exceeded
from boathouse.reconcile import wake
from boathouse.store import Tx
from boathouse.wire.compute import (
    ClusterDetails,
    ClusterId,
    ClusterSpec,
    CreateCluster,
    CreateClusterResponse,
    LogSyncStatus,
    RestartCluster,
)
from boathouse.workspace.sealing import Sealer

ENDED_MESSAGE = "Terminated by user"
LONGEST_TOKEN = 64
MOST_PINNED = 100

_LETTERS = string.ascii_lowercase + string.digits
_INSERT = insert(clusters)
_BY_TOKEN = select(clusters.c.cluster_id, clusters.c.state, clusters.c.wish).where(
    and_(clusters.c.workspace_id == bindparam("workspace_id"), clusters.c.idempotency_token == bindparam("token"))
)


@endpoint("POST", **paths("create"))
def create(ctx: Ctx, body: CreateCluster) -> CreateClusterResponse:
    """Record the wish for a cluster; it is PENDING when this returns, and the reconciler starts it."""
    token = body.idempotency_token or None
    if token is not None and len(token) > LONGEST_TOKEN:
        raise invalid(f"idempotency_token: {len(token)} characters are too many; at most {LONGEST_TOKEN} are allowed")
    body = _admit(ctx, body)
    refuse(ctx, body)
    mine = None if token is None else _own_token(ctx, token)
    try:
        with ctx.transaction() as tx:
            existing = None if mine is None else _with_token(tx, ctx.workspace_id, mine)
            return CreateClusterResponse(existing or _insert(tx, ctx, body, mine))
    except IntegrityError:
        # On PostgreSQL two transactions may see no row with the token; the index lets one of them write it.
        with ctx.transaction() as tx:
            existing = None if mine is None else _with_token(tx, ctx.workspace_id, mine)
            return CreateClusterResponse(existing or _insert(tx, ctx, body, mine))


def _admit(ctx: Ctx, body: CreateCluster) -> CreateCluster:
    """The wish as its policy makes it. Raises the ApiError of somebody who may not create this cluster."""
    wish = admission.governed(ctx, body)
    if body.clone_from is not None:  # what is cloned are the libraries of a cluster
        with ctx.read() as reader:
            access.find(reader, ctx.caller, body.clone_from.source_cluster_id, "see", now=ctx.store.clock())
    return wish


def _insert(tx: Tx, ctx: Ctx, body: ClusterSpec, token: str | None) -> str:
    now = tx.store.clock()
    attached = pool_stock.attached(tx, ctx.caller, body) if body.instance_pool_id else {}
    instance = pool_stock.take(tx, body, attached.get("driver_pool_id"))
    cluster_id = new_id(now) if instance is None else instance.cluster_id
    starts = quotas.started(body) - (instance is not None)  # that one has been started by its pool
    quotas.admit(tx, ctx.service(Surroundings).quotas, ctx.workspace_id, cluster_id, quotas.nodes_of(body), starts)
    if registry_password.needs_sealing(body):
        registry_password.seal(ctx.service(Sealer), body, ctx.workspace_id, cluster_id)
    document = cluster_spec.document(body)
    row = {
        "cluster_id": cluster_id, "workspace_id": ctx.workspace_id, "name": body.cluster_name or "",
        "creator_id": ctx.caller.principal_id, "creator": ctx.caller.name, "editor": ctx.caller.name, "source": "API",
        "created_at": now, "spec": document, "wish": states.WISH_RUNNING, "wished_launch": 1, "wish_reason": None,
        "state": states.PENDING, "state_message": states.ACQUIRING, "launch": 0, "start_time": now,
        "idempotency_token": token, "policy_id": body.policy_id or None, "track": tracks.named(body), "facts": {},
        "version": 0, **attached,
    }  # fmt: skip
    if instance is None:
        tx.execute(_INSERT, row)
    else:  # in one transaction: nobody else can take it
        mine = clusters.c.cluster_id == cluster_id
        handed_over = {"facts": pool_stock.handed_over(instance, now), "version": instance.version + 1}
        tx.execute(update(clusters).where(mine).values({**row, **handed_over}))
        usage_records.taken(tx, tx.execute(select(clusters).where(mine)).one(), now)
    admission.begin(tx, ctx.workspace_id, cluster_id, body.policy_id, ctx.caller.principal_id, ctx.caller.name)
    permissions.created(tx, ctx.caller, access.CLUSTERS.name, cluster_id)
    for pool_id in {attached["pool_id"], attached["driver_pool_id"]} if attached else ():
        wake(tx, pool_stock.KIND, pool_id)
    if isinstance(body, CreateCluster) and body.clone_from is not None:
        library_rows.clone(tx, body.clone_from.source_cluster_id, cluster_id, ctx.caller.name, now)
    events.record(tx, cluster_id, "CREATING", {**described(document), "user": ctx.caller.name}, now)
    wake(tx, states.KIND, cluster_id)
    return cluster_id


def new_id(now: int) -> str:
    """An id in the platform's shape, `MMDD-HHMMSS-xxxxxxxx`."""
    at = time.strftime("%m%d-%H%M%S", time.gmtime(now / 1000))
    return f"{at}-{''.join(secrets.choice(_LETTERS) for _ in range(8))}"


def _own_token(ctx: Ctx, token: str) -> str:
    """A token belongs to who sent it: nobody learns of another's cluster by guessing one."""
    return hashlib.sha256(f"{ctx.caller.principal_id}\0{token}".encode()).hexdigest()


def _with_token(tx: Tx, workspace_id: int, token: str) -> str | None:
    """The cluster made with this token; the platform forgets the token of one that has ended, or is deleted for good."""
    row = tx.execute(_BY_TOKEN, {"workspace_id": workspace_id, "token": token}).first()
    if row is None:
        return None
    if row.state != states.TERMINATED and row.wish != states.WISH_DELETED:
        return row.cluster_id
    tx.execute(update(clusters).where(clusters.c.cluster_id == row.cluster_id).values(idempotency_token=None))
    return None


@endpoint("GET", **paths("get"))
def get(ctx: Ctx, query: ClusterId) -> ClusterDetails:
    """A cluster with its `spec`, the wish as it was sent."""
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, query.cluster_id, "see", now=ctx.store.clock())
        cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
        attempted, refused = log_delivery.status(reader, row.cluster_id) if "cluster_log_conf" in row.spec else (None, None)
    shown = cluster_view.with_spec(row, cloud, ZONES[cloud][0])
    if attempted is not None:
        shown.cluster_log_status = LogSyncStatus(attempted, refused)
    return shown


@endpoint("POST", **paths("start"))
def start(ctx: Ctx, body: ClusterId) -> None:
    """Start a terminated cluster again, with the same id and wish."""
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock(), lock=True)
        answer = states.start(body.cluster_id, row.state)
        if answer.new_launch:
            _charge(ctx, tx, row)
        move(tx, row, answer, event="STARTING", user=ctx.caller.name, terminated_time=None, termination_reason=None)


@endpoint("POST", **paths("restart"))
def restart(ctx: Ctx, body: RestartCluster) -> None:
    """Restart a running cluster; nothing happens in any other state, nor where its image cannot be had. `restart_user` names on
    whose behalf, for admins."""
    user = body.restart_user or ctx.caller.name
    if user != ctx.caller.name and not ctx.caller.admin:
        raise denied("Only admins can restart a cluster on behalf of another user; leave restart_user out.")
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock())
    if states.restart(row.state).new_launch:
        ctx.service(Surroundings).ask_image(row, cluster_spec.load(row.spec), row.editor)
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock(), lock=True)
        answer = states.restart(row.state)
        if answer.new_launch:
            enforcement.carry_out(tx, row.cluster_id, ctx.service(Surroundings).built)
            _charge(ctx, tx, row)
        move(tx, row, answer, event="RESTARTING", user=user)


def _charge(ctx: Ctx, tx: Tx, row: Any) -> None:
    """Count the nodes that a start of the cluster in `row` starts. Raises ApiError where the workspace may not have them."""
    admission.begin(tx, ctx.workspace_id, row.cluster_id, row.policy_id, row.creator_id, row.creator)
    spec = cluster_spec.load(row.spec)
    nodes, starts = quotas.nodes_of(spec), quotas.started(spec)
    quotas.admit(tx, ctx.service(Surroundings).quotas, ctx.workspace_id, row.cluster_id, nodes, starts)


@endpoint("POST", **paths("delete"))
def delete(ctx: Ctx, body: ClusterId) -> None:
    """End a cluster; its wish stays, so that it can be started again. Nothing happens when it has ended or is ending."""
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock(), lock=True)
        _end(tx, row, ctx.caller.name, states.WISH_TERMINATED)


@endpoint("POST", **paths("permanent-delete"), action="clusters.permanentDelete")
def permanent_delete(ctx: Ctx, body: ClusterId) -> None:
    """End a cluster and forget it: nobody sees it again, and the reconciler removes what is left."""
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", lock=True)
        if row.pinned_at is not None:
            raise invalid_state(f"Cluster {body.cluster_id} is pinned and cannot be deleted; unpin the cluster first.")
        _end(tx, row, ctx.caller.name, states.WISH_DELETED)
        permissions.removed(tx, ctx.workspace_id, access.CLUSTERS.name, row.cluster_id)


def _end(tx: Tx, row: Any, user: str, wish: str) -> None:
    answer = states.delete(row.state)
    if answer.state is None and wish == states.WISH_TERMINATED:
        return
    changes: dict[str, Any] = {"wish": wish}
    if answer.state is not None:
        reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": user}}
        changes |= {"wish_reason": reason, "state": answer.state, "state_message": ENDED_MESSAGE}
        events.record(tx, row.cluster_id, "TERMINATING", {"reason": reason, "user": user})
    write(tx, row, changes)


@endpoint("POST", **paths("pin"))
def pin(ctx: Ctx, body: ClusterId) -> None:
    """Keep a cluster in lists, and from being forgotten, however long ago it ended. For admins."""
    _pin(ctx, body.cluster_id, pinned=True)


@endpoint("POST", **paths("unpin"))
def unpin(ctx: Ctx, body: ClusterId) -> None:
    """Undo `pin`. For admins."""
    _pin(ctx, body.cluster_id, pinned=False)


def _pin(ctx: Ctx, cluster_id: str, pinned: bool) -> None:
    if not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can pin and unpin clusters.")
    with ctx.transaction() as tx:
        now = ctx.store.clock()
        row = access.find(tx, ctx.caller, cluster_id, "manage", now=now, lock=True)
        if (row.pinned_at is not None) == pinned:
            return
        if pinned:
            pinned_ones = and_(access.VISIBLE[True], clusters.c.pinned_at.is_not(None))
            count = tx.execute(select(func.count()).where(pinned_ones), {"of_workspace": ctx.workspace_id}).scalar_one()
            if count >= MOST_PINNED:
                raise limit_exceeded(f"{count} clusters are pinned, and at most {MOST_PINNED} can be; unpin another one first.")
        events.record(tx, cluster_id, "PINNED" if pinned else "UNPINNED", {"user": ctx.caller.name}, now)
        tx.execute(
            update(clusters)
            .where(clusters.c.cluster_id == cluster_id)
            .values(pinned_at=now if pinned else None, unpinned_at=None if pinned else now, version=clusters.c.version + 1)
        )
