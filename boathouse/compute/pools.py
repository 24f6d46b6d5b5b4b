"""`/api/2.0/instance-pools/*`: machines kept ready for clusters.

Each verb records a wish and wakes the pool's reconciler (`pool_reconciler`); nothing is made or removed here. Creating one needs
the entitlement `allow-instance-pool-create`; who made a pool manages it, others as their level on it says (`pool_stock.POOLS`).
"""

import secrets
import string
import time
from typing import Any, Literal

import msgspec
from sqlalchemy import and_, insert, select, update

from boathouse.auth import permissions
from boathouse.compute import (
    cluster_spec,
    gpu_rules,
    image_policies,
    instance_profiles,
    node_types,
    pool_rules,
    pool_stock,
    registry_password,
    rules,
    surroundings,
)
from boathouse.compute.pool_stock import ACTIVE, DELETED, KIND, POOLS
from boathouse.compute.surroundings import ZONES, Surroundings
from boathouse.compute.tables import instance_pools as table
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import already_exists, denied, invalid
from boathouse.identity import principals
from boathouse.reconcile import wake
from boathouse.store import Reader, Tx
from boathouse.wire.pools import (
    CreateInstancePoolResponse,
    EditInstancePool,
    InstancePoolAndStats,
    InstancePoolAwsAttributes,
    InstancePoolId,
    InstancePoolSpec,
    InstancePoolStats,
    InstancePoolStatus,
    ListInstancePools,
    PendingInstanceError,
)
from boathouse.workspace.sealing import Sealer

ROOT = "/api/2.0/instance-pools"

#: The entitlement of who may create pools.
ENTITLEMENT = "allow-instance-pool-create"

#: The words of an id, as on the platform: `0915-190044-fen12-pool-xxxxxxxx`.
_WORDS = ("bay", "cove", "dock", "fen", "keel", "mast", "oar", "pier", "quay", "reed")
_LETTERS = string.ascii_lowercase + string.digits

_CHANGEABLE = tuple(
    field.encode_name for field in msgspec.structs.fields(EditInstancePool) if field.encode_name != "instance_pool_id"
)


@endpoint("POST", f"{ROOT}/create", action="instancePools.create")
def create(ctx: Ctx, body: InstancePoolSpec) -> CreateInstancePoolResponse:
    """Record the wish for a pool; its images are pulled and its idle instances made from then on."""
    with ctx.read() as reader:
        mine = principals.entitlements_of(reader, ctx.caller.principal_id, ctx.workspace_id)
        if not ctx.caller.admin and ENTITLEMENT not in mine:
            raise denied("You are not authorized to create instance pools. Please contact your administrator.")
        cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
        dcs = surroundings.dcs_enabled(reader, ctx.workspace_id)
        profile = body.aws_attributes.instance_profile_arn if body.aws_attributes else None
        if profile and not instance_profiles.usable(reader, ctx.caller, profile):
            raise invalid(rules.unusable_profile(profile))
        policy = image_policies.in_force(reader, ctx.workspace_id) if body.preloaded_docker_images else None
    gpus = ctx.service(Surroundings).gpus() if node_types.gpus(body.node_type_id) else gpu_rules.GpusThere()
    _refuse(next(pool_rules.violations(body, cloud, surroundings.spark_versions(), dcs, gpus), None))
    built = ctx.service(Surroundings).built
    missing = (version for version in body.preloaded_spark_versions or () if not built(version))
    _refuse(next((rules.not_built("preloaded_spark_versions", version) for version in missing), None))
    now = ctx.store.clock()
    refusals = (image_policies.refusal(policy, image.url, now) for image in body.preloaded_docker_images or ())
    _refuse(next((refusal for refusal in refusals if refusal), None))
    pool_id = new_id(now)
    for image in body.preloaded_docker_images or []:
        registry_password.seal_image(ctx.service(Sealer), image, ctx.workspace_id, pool_id)
    with ctx.transaction() as tx:
        _unused(tx, ctx.workspace_id, body.instance_pool_name)
        tx.execute(
            insert(table).values(
                pool_id=pool_id, workspace_id=ctx.workspace_id, live_name=body.instance_pool_name,
                creator_id=ctx.caller.principal_id, creator=ctx.caller.name, created_at=now, spec=msgspec.to_builtins(body),
                state=ACTIVE, facts={}, version=0,
            )
        )  # fmt: skip
        permissions.created(tx, ctx.caller, POOLS.name, pool_id)
        wake(tx, KIND, pool_id)
    return CreateInstancePoolResponse(instance_pool_id=pool_id)


def new_id(now: int) -> str:
    """An id in the platform's shape."""
    at = time.strftime("%m%d-%H%M%S", time.gmtime(now / 1000))
    word = f"{secrets.choice(_WORDS)}{secrets.randbelow(90) + 10}"
    return f"{at}-{word}-pool-{''.join(secrets.choice(_LETTERS) for _ in range(8))}"


@endpoint("POST", f"{ROOT}/edit", action="instancePools.edit")
def edit(ctx: Ctx, body: EditInstancePool) -> None:
    """Change a pool. Clusters and idle instances that are there stay as far as the new numbers allow."""
    with ctx.transaction() as tx:
        row = _find(tx, ctx, body.instance_pool_id, "CAN_MANAGE", lock=True)
        _refuse(next(pool_rules.changeable(body), None))
        if body.node_type_id != row.spec["node_type_id"]:
            raise invalid(
                f"node_type_id: {body.node_type_id[:100]!r} is not allowed; the node type of a pool cannot be changed, and this "
                f"one's is {row.spec['node_type_id']}"
            )
        if body.instance_pool_name != row.live_name:
            _unused(tx, ctx.workspace_id, body.instance_pool_name)
        given = msgspec.to_builtins(body)
        kept = {name: value for name, value in row.spec.items() if name not in _CHANGEABLE}
        spec = kept | {name: given[name] for name in _CHANGEABLE if name in given}
        _write(tx, row, spec=spec, live_name=body.instance_pool_name)


@endpoint("POST", f"{ROOT}/delete", action="instancePools.delete")
def delete(ctx: Ctx, body: InstancePoolId) -> None:
    """Delete a pool for good. Its idle instances end; clusters that run on it go on, and cannot be started again with it."""
    with ctx.transaction() as tx:
        row = _find(tx, ctx, body.instance_pool_id, "CAN_MANAGE", lock=True)
        _write(tx, row, state=DELETED, live_name=None)
        permissions.removed(tx, ctx.workspace_id, POOLS.name, row.pool_id)


@endpoint("GET", f"{ROOT}/get", action="instancePools.get")
def get(ctx: Ctx, query: InstancePoolId) -> InstancePoolAndStats:
    """A pool with what it has now."""
    with ctx.read() as reader:
        row = _find(reader, ctx, query.instance_pool_id, "CAN_ATTACH_TO")
        return _shown(ctx, reader, row)


@endpoint("GET", f"{ROOT}/list", action="instancePools.list")
def list_pools(ctx: Ctx) -> ListInstancePools:
    """The pools that the caller may use, with what each has now, by name."""
    with ctx.read() as reader:
        mine = and_(table.c.workspace_id == ctx.workspace_id, table.c.state == ACTIVE)
        if not ctx.caller.admin:
            mine = and_(mine, table.c.pool_id.in_(permissions.ids_of(POOLS.name)))
        rows = reader.execute(select(table).where(mine).order_by(table.c.live_name), permissions.ids_values(ctx.caller)).all()
        return ListInstancePools(instance_pools=[_shown(ctx, reader, row) for row in rows])


def _find(reader: Reader, ctx: Ctx, pool_id: str, least: Literal["CAN_ATTACH_TO", "CAN_MANAGE"], lock: bool = False) -> Any:
    row = pool_stock.pool_of(reader, ctx.workspace_id, pool_id)
    if row is None:
        raise pool_stock.no_such_pool(pool_id)
    pool_stock.refuse_without(reader, ctx.caller, pool_id, least)
    if lock:  # now that it is known to be there: on PostgreSQL two edits wait for each other
        row = reader.execute(select(table).where(table.c.pool_id == pool_id).with_for_update()).one()
    return row


def _unused(tx: Tx, workspace_id: int, name: str) -> None:
    same = and_(table.c.workspace_id == workspace_id, table.c.live_name == name)
    if tx.execute(select(table.c.pool_id).where(same)).first() is not None:
        raise already_exists(f"instance_pool_name: Instance pool name {name!r} already exists; choose another name.")


def _refuse(violation: str | None) -> None:
    if violation is not None:
        raise invalid(violation)


def _write(tx: Tx, row: Any, **changes: Any) -> None:
    tx.execute(update(table).where(table.c.pool_id == row.pool_id).values(**changes, version=table.c.version + 1))
    wake(tx, KIND, row.pool_id)


def _shown(ctx: Ctx, reader: Reader, row: Any) -> InstancePoolAndStats:
    shown = msgspec.convert(row.spec, InstancePoolAndStats)
    for image in shown.preloaded_docker_images or []:
        cluster_spec.redact_image(image)
    cloud = ctx.service(Surroundings).cloud(reader, ctx.workspace_id)
    if cloud == "aws" and shown.aws_attributes is None:
        shown.aws_attributes = InstancePoolAwsAttributes(availability="SPOT", zone_id=ZONES[cloud][0], spot_bid_price_percent=100)
    if shown.enable_elastic_disk is None:
        shown.enable_elastic_disk = False
    shown.instance_pool_id, shown.state = row.pool_id, row.state
    shown.default_tags = {
        "Vendor": "Databricks", "InstancePoolCreator": str(row.creator_id), "InstancePoolName": shown.instance_pool_name,
        "InstancePoolId": row.pool_id,
    }  # fmt: skip
    has = pool_stock.counts(reader, row.pool_id)
    shown.stats = InstancePoolStats(
        idle_count=has.idle, pending_idle_count=has.pending_idle, pending_used_count=has.pending_used, used_count=has.used
    )
    errors = (row.facts or {}).get("errors") or []
    shown.status = InstancePoolStatus(
        pending_instance_errors=[PendingInstanceError(instance_id=one["instance_id"], message=one["message"]) for one in errors]
    )
    return shown
