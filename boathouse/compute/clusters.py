"""`/api/2.x/clusters/*`: the verbs that make, change and end clusters.

Each records a wish: the row, its event and the wake-up of the reconciler in one transaction, and answers. Nothing here starts or
stops anything. What a verb does in each state stands in `states`, what a wish must satisfy in `rules`, who may ask in `access`.
"""

import hashlib
import secrets
import string
import time
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from boathouse.compute import (
    access,
    cluster_spec,
    cluster_view,
    events,
    log_delivery,
    registry_password,
    rules,
    states,
    surroundings,
)
from boathouse.compute.surroundings import ZONES, Surroundings
from boathouse.compute.tables import clusters
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid, invalid_state, limit_exceeded, not_found
from boathouse.reconcile import wake
from boathouse.store import Tx
from boathouse.wire.compute import (
    ClusterAttributes,
    ClusterDetails,
    ClusterId,
    ClusterSpec,
    CreateCluster,
    CreateClusterResponse,
    EditCluster,
    LogSyncStatus,
    RestartCluster,
)
from boathouse.workspace.sealing import Sealer

KIND = "cluster"
PENDING_MESSAGE = "Finding instances for new nodes, acquiring more instances if necessary"
ENDED_MESSAGE = "Terminated by user"
LONGEST_TOKEN = 64
MOST_PINNED = 100

_LETTERS = string.ascii_lowercase + string.digits
_INSERT = insert(clusters)
_BY_TOKEN = select(clusters.c.cluster_id, clusters.c.state, clusters.c.wish).where(
    and_(clusters.c.workspace_id == bindparam("workspace_id"), clusters.c.idempotency_token == bindparam("token"))
)
_ATTRIBUTES = frozenset(f.encode_name for f in msgspec.structs.fields(ClusterAttributes))


def _paths(name: str) -> dict[str, Any]:
    return {"path": f"/api/2.1/clusters/{name}", "also": [f"/api/2.0/clusters/{name}"]}


@endpoint("POST", **_paths("create"))
def create(ctx: Ctx, body: CreateCluster) -> CreateClusterResponse:
    """Record the wish for a cluster; it is PENDING when this returns, and the reconciler starts it."""
    token = body.idempotency_token or None
    if token is not None and len(token) > LONGEST_TOKEN:
        raise invalid(f"idempotency_token: {len(token)} characters are too many; at most {LONGEST_TOKEN} are allowed")
    _refuse(ctx, body)
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


def _insert(tx: Tx, ctx: Ctx, body: ClusterSpec, token: str | None) -> str:
    now = tx.store.clock()
    cluster_id = new_id(now)
    if registry_password.needs_sealing(body):
        registry_password.seal(ctx.service(Sealer), body, ctx.workspace_id, cluster_id)
    document = cluster_spec.document(body)
    tx.execute(
        _INSERT,
        {
            "cluster_id": cluster_id, "workspace_id": ctx.workspace_id, "name": body.cluster_name or "",
            "creator_id": ctx.caller.principal_id, "creator": ctx.caller.name, "editor": ctx.caller.name, "source": "API",
            "created_at": now, "spec": document, "wish": states.WISH_RUNNING, "wished_launch": 1, "wish_reason": None,
            "state": states.PENDING, "state_message": PENDING_MESSAGE, "launch": 0, "start_time": now,
            "idempotency_token": token, "facts": {}, "version": 0,
        },
    )  # fmt: skip
    events.record(tx, cluster_id, "CREATING", {**_described(document), "user": ctx.caller.name}, now)
    wake(tx, KIND, cluster_id)
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


def _refuse(ctx: Ctx, spec: ClusterSpec) -> None:
    """Raise the ApiError of the first rule that the wish breaks."""
    first = next(rules.violations(spec, _world(ctx, spec)), None)
    if first is not None:
        raise invalid(first)
    if spec.policy_id:
        raise no_such_policy(spec.policy_id)


def _world(ctx: Ctx, spec: ClusterSpec) -> rules.World:
    """What the rules need to know for this wish: the store is asked only for what it brings up."""
    around = ctx.service(Surroundings)
    dedicated = spec.data_security_mode in cluster_spec.DEDICATED
    somebody = spec.single_user_name if dedicated and spec.single_user_name != ctx.caller.name else None
    world = rules.World(
        cloud=around.known_cloud(ctx.workspace_id) or "",
        spark_versions=surroundings.spark_versions(),
        dcs_enabled=False,
        max_workers=around.max_workers,
    )
    if world.cloud and spec.docker_image is None and not somebody:
        return world
    with ctx.read() as reader:
        return replace(
            world,
            cloud=around.cloud(reader, ctx.workspace_id),
            dcs_enabled=surroundings.dcs_enabled(reader, ctx.workspace_id),
            single_user_known=not somebody or surroundings.is_principal(reader, ctx.workspace_id, somebody),
        )


def no_such_policy(policy_id: str) -> ApiError:
    """404 with the platform's text."""
    return not_found(f"Can't find a cluster policy with id: {policy_id[:100]}.")


def _described(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Size and attributes of a stored wish as events show them, without a password."""
    attributes = {name: value for name, value in document.items() if name in _ATTRIBUTES}
    image = document.get("docker_image")
    if image is not None and "basic_auth" in image:
        shown = cluster_spec.load(document)
        if cluster_spec.redact(shown):
            attributes["docker_image"] = msgspec.to_builtins(shown.docker_image)
    return {
        f"{prefix}cluster_size": {"num_workers": document.get("num_workers", 0)},
        f"{prefix}attributes": attributes,
    }


@endpoint("GET", **_paths("get"))
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


@endpoint("POST", **_paths("edit"))
def edit(ctx: Ctx, body: EditCluster) -> None:
    """Put a whole new wish in the place of the old one. A running cluster restarts with it, a terminated one stays ended."""
    with ctx.read() as reader:
        old = access.find(reader, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock())
    kept = registry_password.kept(body, cluster_spec.load(old.spec))
    if kept is not None and body.docker_image is not None and body.docker_image.basic_auth is not None:
        body.docker_image.basic_auth.password = kept
    _refuse(ctx, body)
    if kept is None and registry_password.needs_sealing(body):
        registry_password.seal(ctx.service(Sealer), body, ctx.workspace_id, body.cluster_id)
    document = cluster_spec.document(body)
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock(), lock=True)
        if kept is not None and row.spec != old.spec:
            raise ApiError(409, "ABORTED", f"Cluster {body.cluster_id} was edited at the same time; read it and try again.")
        if row.source == "JOB":
            raise invalid_state(f"Cluster {body.cluster_id} was created by a job and cannot be edited; edit the job.")
        answer = states.edit(body.cluster_id, row.state)
        before = _described(msgspec.json.decode(row.spec), "previous_")
        details = {**_described(document), **before, "user": ctx.caller.name}
        events.record(tx, body.cluster_id, "EDITED", details)
        _move(tx, row, answer, spec=document, name=body.cluster_name or "", editor=ctx.caller.name)


@endpoint("POST", **_paths("start"))
def start(ctx: Ctx, body: ClusterId) -> None:
    """Start a terminated cluster again, with the same id and wish."""
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock(), lock=True)
        answer = states.start(body.cluster_id, row.state)
        _move(tx, row, answer, event="STARTING", user=ctx.caller.name, terminated_time=None, termination_reason=None)


@endpoint("POST", **_paths("restart"))
def restart(ctx: Ctx, body: RestartCluster) -> None:
    """Restart a running cluster; nothing happens in any other state. `restart_user` names on whose behalf, for admins."""
    user = body.restart_user or ctx.caller.name
    if user != ctx.caller.name and not ctx.caller.admin:
        raise denied("Only admins can restart a cluster on behalf of another user; leave restart_user out.")
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock(), lock=True)
        _move(tx, row, states.restart(row.state), event="RESTARTING", user=user)


@endpoint("POST", **_paths("delete"))
def delete(ctx: Ctx, body: ClusterId) -> None:
    """End a cluster; its wish stays, so that it can be started again. Nothing happens when it has ended or is ending."""
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "restart", now=ctx.store.clock(), lock=True)
        _end(tx, row, ctx.caller.name, states.WISH_TERMINATED)


@endpoint("POST", **_paths("permanent-delete"), action="clusters.permanentDelete")
def permanent_delete(ctx: Ctx, body: ClusterId) -> None:
    """End a cluster and forget it: nobody sees it again, and the reconciler removes what is left."""
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", lock=True)
        if row.pinned_at is not None:
            raise invalid_state(f"Cluster {body.cluster_id} is pinned and cannot be deleted; unpin the cluster first.")
        _end(tx, row, ctx.caller.name, states.WISH_DELETED)


def _end(tx: Tx, row: Any, user: str, wish: str) -> None:
    answer = states.delete(row.state)
    if answer.state is None and wish == states.WISH_TERMINATED:
        return
    changes: dict[str, Any] = {"wish": wish}
    if answer.state is not None:
        reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": user}}
        changes |= {"wish_reason": reason, "state": answer.state, "state_message": ENDED_MESSAGE}
        events.record(tx, row.cluster_id, "TERMINATING", {"reason": reason, "user": user})
    _write(tx, row, changes)


def _move(tx: Tx, row: Any, answer: states.Answer, event: str = "", user: str = "", **changes: Any) -> None:
    """Write what a verb came to: the new state, with a new launch where one is wished, and `changes`."""
    if answer.refused is not None:
        raise invalid_state(answer.refused)
    if answer.state is None:
        return
    if answer.new_launch:
        changes |= {
            "wish": states.WISH_RUNNING, "wish_reason": None, "wished_launch": row.wished_launch + 1,
            "state": answer.state, "state_message": PENDING_MESSAGE,
        }  # fmt: skip
    if event:
        events.record(tx, row.cluster_id, event, {"user": user})
    _write(tx, row, changes)


def _write(tx: Tx, row: Any, changes: dict[str, Any]) -> None:
    tx.execute(update(clusters).where(clusters.c.cluster_id == row.cluster_id).values(**changes, version=clusters.c.version + 1))
    wake(tx, KIND, row.cluster_id)


@endpoint("POST", **_paths("pin"))
def pin(ctx: Ctx, body: ClusterId) -> None:
    """Keep a cluster in lists, and from being forgotten, however long ago it ended. For admins."""
    _pin(ctx, body.cluster_id, pinned=True)


@endpoint("POST", **_paths("unpin"))
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
            count = tx.execute(
                select(func.count()).where(and_(access.visible(ctx.caller), clusters.c.pinned_at.is_not(None)))
            ).scalar_one()
            if count >= MOST_PINNED:
                raise limit_exceeded(f"{count} clusters are pinned, and at most {MOST_PINNED} can be; unpin another one first.")
        events.record(tx, cluster_id, "PINNED" if pinned else "UNPINNED", {"user": ctx.caller.name}, now)
        tx.execute(
            update(clusters)
            .where(clusters.c.cluster_id == cluster_id)
            .values(pinned_at=now if pinned else None, unpinned_at=None if pinned else now, version=clusters.c.version + 1)
        )
