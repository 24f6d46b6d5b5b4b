"""What the verbs on clusters share: refusing a wish, recording it, and describing it in events.

A verb records the row, its event and the wake-up of the reconciler in one transaction. Called by `clusters` and
`cluster_changes` alone.
"""

from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import update

from boathouse.compute import (
    cluster_spec,
    events,
    gpu_rules,
    image_policies,
    instance_profiles,
    node_types,
    pool_stock,
    rules,
    states,
    surroundings,
    tracks,
)
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import clusters
from boathouse.edge import Ctx
from boathouse.edge.errors import invalid, invalid_state
from boathouse.reconcile import wake
from boathouse.store import Reader, Tx
from boathouse.wire.compute import ClusterAttributes, ClusterSpec

_ATTRIBUTES = frozenset(f.encode_name for f in msgspec.structs.fields(ClusterAttributes))


def paths(name: str) -> dict[str, Any]:
    """Where a verb is served."""
    return {"path": f"/api/2.1/clusters/{name}", "also": [f"/api/2.0/clusters/{name}"]}


def refuse(ctx: Ctx, spec: ClusterSpec) -> None:
    """Raise the ApiError of the first rule that the wish breaks."""
    first = next(rules.violations(spec, _world(ctx, spec)), None)
    if first is not None:
        raise invalid(first)


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
        built=around.built,
        gpus=around.gpus() if _wants_gpus(spec.node_type_id, spec.driver_node_type_id) else gpu_rules.GpusThere(),
    )
    pools = spec.instance_pool_id
    profile = spec.aws_attributes.instance_profile_arn if spec.aws_attributes else None
    if world.cloud and spec.docker_image is None and not somebody and not pools and not profile:
        return world
    with ctx.read() as reader:
        pool, driver_pool = pool_stock.seen(reader, ctx.caller, spec) if pools else (None, None)
        name = tracks.named(spec)
        track = None if name is None else tracks.find(reader, ctx.workspace_id, name)
        found = replace(
            world,
            cloud=around.cloud(reader, ctx.workspace_id),
            dcs_enabled=surroundings.dcs_enabled(reader, ctx.workspace_id),
            pool=pool,
            driver_pool=driver_pool,
            profile_usable=not profile or instance_profiles.usable(reader, ctx.caller, profile),
            image_refusal=_image_refusal(ctx, reader, track.image if track else spec.docker_image and spec.docker_image.url),
            track_refused="" if name is None else tracks.why_not(track, name),
            single_user_known=not somebody or surroundings.is_principal(reader, ctx.workspace_id, somebody),
        )
    if _wants_gpus(*(one.node_type_id for one in (pool, driver_pool) if one is not None)):
        return replace(found, gpus=around.gpus())  # outside of the read: the engine may be asked
    return found


def _image_refusal(ctx: Ctx, reader: Reader, image: str | None) -> str:
    """Why the workspace's policy refuses what a wish names; of a track: what that names now."""
    if not image:
        return ""
    return image_policies.refusal(image_policies.in_force(reader, ctx.workspace_id), image, ctx.store.clock())


def _wants_gpus(*names: str | None) -> bool:
    return any(node_types.gpus(name) for name in names if name)


def described(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Size and attributes of a stored wish as events show them, without a password."""
    attributes = {name: value for name, value in document.items() if name in _ATTRIBUTES}
    image = document.get("docker_image")
    if image is not None and "basic_auth" in image:
        shown = cluster_spec.load(document)
        if cluster_spec.redact(shown):
            attributes["docker_image"] = msgspec.to_builtins(shown.docker_image)
    size = {"autoscale": document["autoscale"]} if document.get("autoscale") else {"num_workers": document.get("num_workers", 0)}
    return {
        f"{prefix}cluster_size": size,
        f"{prefix}attributes": attributes,
    }


def move(tx: Tx, row: Any, answer: states.Answer, event: str = "", user: str = "", **changes: Any) -> None:
    """Write what a verb came to: the new state, with a new launch where one is wished, and `changes`."""
    if answer.refused is not None:
        raise invalid_state(answer.refused)
    if answer.state is None:
        return
    if answer.new_launch:
        changes |= {
            "wish": states.WISH_RUNNING, "wish_reason": None, "wished_launch": row.wished_launch + 1,
            "state": answer.state, "state_message": states.ACQUIRING,
        }  # fmt: skip
    if event:
        events.record(tx, row.cluster_id, event, {"user": user})
    write(tx, row, changes)


def write(tx: Tx, row: Any, changes: dict[str, Any]) -> None:
    """Write a row and have it looked at."""
    tx.execute(update(clusters).where(clusters.c.cluster_id == row.cluster_id).values(**changes, version=clusters.c.version + 1))
    wake(tx, states.KIND, row.cluster_id)
