"""`/api/2.x/clusters/{edit,update,resize,change-owner}`: the verbs that give a cluster that is there another wish.

Edit and update restart a cluster that runs; resize changes the number of workers of one that runs, without a restart. As in
`clusters`, each records a wish and answers.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from boathouse.auth import permissions
from boathouse.compute import (
    access,
    cluster_spec,
    events,
    field_mask,
    pool_stock,
    quotas,
    registry_password,
    rules,
    states,
    tracks,
)
from boathouse.compute.cluster_wishes import described, move, paths, refuse, write
from boathouse.compute.policies import admission, enforcement
from boathouse.compute.surroundings import Surroundings, principal
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.decoding import field_error
from boathouse.edge.errors import denied, invalid, invalid_state
from boathouse.wire.compute import AutoScale, ChangeClusterOwner, ClusterSpec, EditCluster, ResizeCluster, UpdateCluster
from boathouse.workspace.sealing import Sealer

#: How often an update begins anew because the cluster was changed at the same time.
ATTEMPTS = 4

#: What the cluster says while its size changes by a call of resize, until the reconciler knows more.
RESIZING_MESSAGE = "Resizing the cluster"

_OPTIONAL_SPEC = frozenset(field.encode_name for field in msgspec.structs.fields(ClusterSpec))


@endpoint("POST", **paths("edit"))
def edit(ctx: Ctx, body: EditCluster) -> None:
    """Put a whole new wish in the place of the old one. A running cluster restarts with it, a terminated one stays ended.
    Nothing changes where a running one could not have its image."""
    if not _replace(ctx, body.cluster_id, lambda old: body, alone=False):
        raise _at_once(body.cluster_id)


@endpoint("POST", **paths("update"))
def update(ctx: Ctx, body: UpdateCluster) -> None:
    """Put the parts of the wish that `update_mask` names in the place of the old ones. Otherwise as edit."""
    given = body.cluster or {}
    unknown = sorted(given.keys() - _OPTIONAL_SPEC)
    if unknown:
        raise invalid(f"Unknown field 'cluster.{unknown[0]}'. Allowed here: {', '.join(sorted(_OPTIONAL_SPEC))}.")

    def wanted(old: dict[str, Any]) -> ClusterSpec:
        shown = msgspec.to_builtins(_without_password(old))
        try:
            document = field_mask.merge(shown, given, body.update_mask, ClusterSpec)
        except field_mask.BadMask as error:
            raise invalid(str(error)) from None
        masked = set(body.update_mask.split(","))
        for size, other in (("num_workers", "autoscale"), ("autoscale", "num_workers")):
            if size in masked and given.get(size) is not None and other not in masked:
                document.pop(other, None)  # a cluster has one of the two
        try:
            return msgspec.convert(document, ClusterSpec)
        except msgspec.ValidationError as error:
            raise field_error(str(error), document, ClusterSpec) from None

    change(ctx, body.cluster_id, wanted)


def change(ctx: Ctx, cluster_id: str, wanted: Callable[[dict[str, Any]], ClusterSpec]) -> None:
    """Put a wish that `wanted` makes of the old one (a document) in its place. Raises ApiError, as edit does."""
    for _ in range(ATTEMPTS):
        if _replace(ctx, cluster_id, wanted, alone=True):
            return
    raise _at_once(cluster_id)


def _without_password(document: dict[str, Any]) -> ClusterSpec:
    spec = cluster_spec.load(document)
    cluster_spec.redact(spec)
    return spec


def _at_once(cluster_id: str) -> ApiError:
    return ApiError(409, "ABORTED", f"Cluster {cluster_id} was edited at the same time; read it and try again.")


def _replace(ctx: Ctx, cluster_id: str, wanted: Callable[[dict[str, Any]], ClusterSpec], alone: bool) -> bool:
    """Record a new wish made of the old one. False when the cluster was changed meanwhile and the new wish depends on it:
    always where `alone`, otherwise where it keeps the old password."""
    with ctx.read() as reader:
        old = access.find(reader, ctx.caller, cluster_id, "manage", now=ctx.store.clock())
    new = admission.governed(ctx, wanted(msgspec.json.decode(old.spec)), had=old.policy_id, fresh=False)
    kept = registry_password.kept(new, cluster_spec.load(old.spec))
    if kept is not None and new.docker_image is not None and new.docker_image.basic_auth is not None:
        new.docker_image.basic_auth.password = kept
    refuse(ctx, new)
    if kept is None and registry_password.needs_sealing(new):
        registry_password.seal(ctx.service(Sealer), new, ctx.workspace_id, cluster_id)
    if states.edit(cluster_id, old.state).new_launch:
        ctx.service(Surroundings).ask_image(old, new, ctx.caller.name)
    document = cluster_spec.document(new)
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, cluster_id, "manage", now=ctx.store.clock(), lock=True)
        if (alone or kept is not None) and row.spec != old.spec:
            return False
        if row.source == "JOB":
            raise invalid_state(f"Cluster {cluster_id} was created by a job and cannot be edited; edit the job.")
        answer = states.edit(cluster_id, row.state)
        if answer.new_launch:
            limits = ctx.service(Surroundings).quotas
            quotas.admit(tx, limits, ctx.workspace_id, cluster_id, quotas.nodes_of(new), quotas.started(new))
            admission.begin(tx, ctx.workspace_id, cluster_id, new.policy_id, row.creator_id, row.creator)
        enforcement.forget(tx, cluster_id)
        before = described(msgspec.json.decode(row.spec), "previous_")
        events.record(tx, cluster_id, "EDITED", {**described(document), **before, "user": ctx.caller.name})
        attached = pool_stock.attached(tx, ctx.caller, new)
        named = {"policy_id": new.policy_id or None, "track": tracks.named(new), "name": new.cluster_name or ""}
        move(tx, row, answer, spec=document, editor=ctx.caller.name, **named, **attached)
    return True


@endpoint("POST", **paths("resize"))
def resize(ctx: Ctx, body: ResizeCluster) -> None:
    """Give a running cluster another number of workers, or other bounds for it. Its applications go on."""
    if (body.num_workers is None) == (body.autoscale is None):
        raise invalid("Give either num_workers or autoscale, not both and not none of them.")
    first = next(rules.size_violations(body.num_workers, body.autoscale, ctx.service(Surroundings).max_workers), None)
    if first is not None:
        raise invalid(first)
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock(), lock=True)
        answer = states.resize(body.cluster_id, row.state)
        if answer.refused is not None:
            raise invalid_state(answer.refused)
        document = msgspec.json.decode(row.spec)
        _refuse_one_node(document, body)
        size = _size(body)
        if {name: document.get(name) for name in size} == size:
            return
        document = {name: value for name, value in {**document, **size}.items() if name not in size or value is not None}
        admission.refuse_size(ctx, tx, document)
        current = _present(row)
        target = body.num_workers if body.autoscale is None else _within(current, body.autoscale)
        limits = ctx.service(Surroundings).quotas
        quotas.admit(tx, limits, ctx.workspace_id, body.cluster_id, quotas.nodes_of(body), (target or 0) - current)
        details = {"cause": "USER_REQUEST", "user": ctx.caller.name}
        sizes = {"current_num_workers": current, "target_num_workers": target}
        events.record(tx, body.cluster_id, "RESIZING", {**details, **sizes})
        write(tx, row, {"state": answer.state, "state_message": RESIZING_MESSAGE, "spec": document})


def _size(body: ResizeCluster) -> dict[str, Any]:
    """Both fields of a size, the one that is not given as None."""
    return {"num_workers": body.num_workers, "autoscale": msgspec.to_builtins(body.autoscale) if body.autoscale else None}


def _refuse_one_node(document: dict[str, Any], body: ResizeCluster) -> None:
    """Spark's mode is chosen when its driver starts: a driver that runs tasks itself cannot be given workers, nor the reverse."""
    spec = cluster_spec.load(document)
    if spec.is_single_node or (not spec.num_workers and spec.autoscale is None):
        raise invalid(
            f"num_workers: Cluster {body.cluster_id} is a single node, whose driver runs all tasks, and cannot be resized; "
            "edit it with the workers that you want, which restarts it"
        )
    if body.num_workers == 0:
        raise invalid(
            "num_workers: 0 is not allowed in a resize, because tasks would have nowhere to run; give 1 or more, "
            "or edit the cluster to make it a single node, which restarts it"
        )


def _present(row: Any) -> int:
    limits = (msgspec.json.decode(row.facts) or {}).get("limits") or {}
    return int(limits.get("workers", 0))


def _within(count: int, bounds: AutoScale) -> int:
    return min(max(count, bounds.min_workers or 0), bounds.max_workers or 0)


@endpoint("POST", **paths("change-owner"), action="clusters.changeOwner")
def change_owner(ctx: Ctx, body: ChangeClusterOwner) -> None:
    """Make a cluster another one's, for admins, while it is ended. Its secrets are resolved with the new owner's rights."""
    if not ctx.caller.admin:
        raise denied(f"{ctx.caller.name} is not a workspace admin: only admins can change the owner of a cluster.")
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock(), lock=True)
        if row.state != states.TERMINATED:
            raise invalid_state(
                f"{states.unexpected(body.cluster_id, row.state)} Its owner can be changed only while it is terminated."
            )
        owner = principal(tx, ctx.workspace_id, body.owner_username)
        if owner is None or not owner.active:
            raise invalid(
                f"owner_username: {body.owner_username[:100]!r} is no user and no service principal of this workspace; "
                "give a user name or an application id"
            )
        document = msgspec.json.decode(row.spec)
        events.record(
            tx, body.cluster_id, "EDITED",
            {**described(document), **described(document, "previous_"), "user": ctx.caller.name},
        )  # fmt: skip
        write(tx, row, {"creator_id": owner.principal_id, "creator": owner.name, "editor": owner.name})
        permissions.passed(tx, ctx.workspace_id, access.CLUSTERS.name, body.cluster_id, row.creator_id, owner.principal_id)
