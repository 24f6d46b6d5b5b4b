"""One round for one pool: its images are had, its idle instances are counted, made and ended. Level-triggered; kind `pool`.

Instances are made by the reconciler of clusters: here only their rows begin and end. Every write is guarded by versions, of the
pool's row and of each instance's: an instance that was taken meanwhile is no longer the pool's.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, select, update

from boathouse.compute import cluster_spec, launch_inputs, plan_pool, pool_stock, quotas, states, surroundings
from boathouse.compute import clusters as cluster_verbs
from boathouse.compute.images_step import ImageSteps, Preload
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.plan_pool import Image, Instance, View
from boathouse.compute.quotas import Quotas
from boathouse.compute.secrets_step import Refused
from boathouse.compute.tables import clusters, instance_pools
from boathouse.compute.world import ImageStep
from boathouse.dataplane.contract import DriverUnavailable
from boathouse.reconcile import SETTLED, Outcome, again, wake
from boathouse.releases.release import Release
from boathouse.store import Reader, Store, Tx
from boathouse.wire.compute import AwsAttributes, ClusterSpec, DockerImage
from boathouse.wire.pools import InstancePoolSpec

log = logging.getLogger("boathouse.compute.pools")

#: How long an image that could not be had rests before it is asked for again, in ms; seconds between looks while one is pulled.
RETRY_MS, PULL_POLL = 60_000, 1.0

#: Errors that are told at most where a pool wants no idle instances.
FEW = 5


class PoolReconciler:
    """`closing`: no pool keeps idle instances any more (`down`). `limits`: of every workspace."""

    def __init__(self, store: Store, images: ImageSteps, sources: Sources, limits: Quotas | None = None) -> None:
        self._store, self._images, self._sources, self.limits = store, images, sources, limits or Quotas()
        self.closing = False

    def __call__(self, pool_id: str) -> Outcome:
        with self._store.read() as reader:
            row = reader.execute(select(instance_pools).where(instance_pools.c.pool_id == pool_id)).first()
            if row is None:
                return SETTLED
            instances = _instances(reader, pool_id)
            claimed = pool_stock.counts(reader, pool_id).claimed
            starting, begun = pool_stock.starting(reader, pool_id)
            idle = quotas.of_idle(reader, self.limits, row.workspace_id)
        spec = msgspec.convert(row.spec, InstancePoolSpec)
        facts = dict(row.facts or {})
        active = row.state == pool_stock.ACTIVE
        try:
            looks = self._preload(row, spec, facts) if active else []
        except DriverUnavailable as error:
            log.info("%s: the data plane does not answer: %s", pool_id, error)
            return again(PULL_POLL)
        view = View(
            now=self._store.clock(), active=active, least=0 if self.closing else spec.min_idle_instances or 0,
            most=spec.max_capacity, minutes=0 if self.closing else spec.idle_instance_autotermination_minutes, claimed=claimed,
            instances=instances, images=_images(spec, looks), retry_at=int(facts.get("retry_at") or 0), starting=starting,
            begun=begun, spare=idle.spare, yields=idle.yields,
        )  # fmt: skip
        decision = plan_pool.decide(view)
        pause = None if decision.again is None else decision.again / 1000
        if any(look.local is None and look.failure is None for look in looks):
            pause = PULL_POLL if pause is None else min(pause, PULL_POLL)
        elif any(look.failure is not None for look in looks):
            wait = max(0, int(facts["image_retry_at"]) - view.now) / 1000
            pause = wait if pause is None else min(pause, wait)
        with self._store.transaction() as tx:
            if not _unchanged(tx, row):
                return again(0.0)
            begun, wait = quotas.grant(tx, self.limits, row.workspace_id, len(decision.make))
            if wait:
                pause = wait if pause is None else min(pause, wait)
            held = _held_back(self.limits, decision.waits, len(decision.make) - begun)
            _tell(facts, spec, looks, decision, view, held)
            self._write(tx, row, facts, decision.gone)
            for instance in (*decision.drop, *decision.failed):
                _end(tx, instance)
            for image in decision.make[:begun]:
                self._make(tx, row, spec, image)
        for instance in decision.failed:
            log.warning("%s: the idle instance %s ended: %s", pool_id, instance.cluster_id, instance.reason)
        return SETTLED if pause is None or decision.gone else again(pause)

    # ---- images

    def _preload(self, row: Any, spec: InstancePoolSpec, facts: dict[str, Any]) -> list[ImageStep]:
        """Where each of the pool's images stands, with the next piece of work begun. `facts` gets what has to outlive us."""
        images = spec.preloaded_docker_images or []
        now = self._store.clock()
        if facts.get("image_retry_at") and now >= facts["image_retry_at"]:
            facts["attempt"] = int(facts.get("attempt", 1)) + 1
            facts["image_retry_at"] = None
        attempt = int(facts.get("attempt", 1))
        known: dict[str, Any] = dict(facts.get("images") or {}) if attempt == facts.get("images_attempt", attempt) else {}
        release = self._release(spec)
        looks = []
        for number, image in enumerate(images):
            key = f"{row.pool_id}/{number}"
            found = known.get(str(number)) or {}
            look = self._images.look(key, attempt, found)
            if look.local is None and look.failure is None:
                preload = self._wish(row, key, attempt, image, release, spec)
                if isinstance(preload, Refused):
                    look = ImageStep(failure=preload.failure)
                else:
                    self._images.want(preload, found, self._hint(row.pool_id))
                    look = self._images.look(key, attempt, found)
            # Not `local`: whether the bytes are still there is asked again by whoever comes after us.
            durable = ("reference", "digest", "index_digest", "pinned", "plain_http")
            keep = {name: look.found[name] for name in durable if name in look.found}
            known[str(number)] = keep
            looks.append(look)
        if images:
            facts["images"], facts["images_attempt"] = known, attempt
        if any(look.failure is not None for look in looks) and not facts.get("image_retry_at"):
            facts["image_retry_at"] = now + RETRY_MS
        return looks

    def _wish(
        self, row: Any, key: str, attempt: int, image: DockerImage, release: Release | None, spec: InstancePoolSpec
    ) -> Preload | Refused:
        wanted = ClusterSpec(spark_version=self._version(spec) or "", docker_image=image, aws_attributes=_profile(spec))
        try:
            values = launch_inputs.opened(self._sources, wanted, row.workspace_id, row.creator, row.pool_id)
        except Refused as refused:
            return refused
        strict = self._sources.strict(row.workspace_id)
        return Preload(key, attempt, wanted, values, row.workspace_id, row.creator, release, strict)

    def _release(self, spec: InstancePoolSpec) -> Release | None:
        version = self._version(spec)
        return None if version is None else self._sources.releases.get(version)

    def _version(self, spec: InstancePoolSpec) -> str | None:
        """The runtime of idle instances: the preloaded one, or the newest with long-term support that is on the machine."""
        if spec.preloaded_spark_versions:
            return spec.preloaded_spark_versions[0]
        listed = surroundings.spark_versions()
        lasting = [key for key, version in listed.items() if "LTS" in version.name and "-ml-" not in key]
        return next((key for key in lasting if self._sources.releases.get(key) is not None), next(iter(lasting), None))

    def _hint(self, pool_id: str) -> Callable[[], None]:
        def wake_up() -> None:
            with self._store.transaction() as tx:
                wake(tx, pool_stock.KIND, pool_id)

        return wake_up

    # ---- writing

    def _write(self, tx: Tx, row: Any, facts: Mapping[str, Any], gone: bool) -> None:
        """Write what is news of the pool."""
        mine = instance_pools.c.pool_id == row.pool_id
        if gone:
            tx.execute(delete(instance_pools).where(mine))
        elif facts != (row.facts or {}):
            tx.execute(update(instance_pools).where(mine).values(facts=dict(facts), version=row.version + 1))

    def _make(self, tx: Tx, row: Any, spec: InstancePoolSpec, image: str) -> None:
        """The row of a new instance: a cluster of one node that is nobody's."""
        now = self._store.clock()
        cluster_id = cluster_verbs.new_id(now)
        wanted = ClusterSpec(
            spark_version=self._version(spec) or "", node_type_id=spec.node_type_id, num_workers=0,
            docker_image=next((one for one in spec.preloaded_docker_images or [] if one.url == image), None),
            aws_attributes=_profile(spec),
        )  # fmt: skip
        tx.execute(
            insert(clusters).values(
                cluster_id=cluster_id, workspace_id=row.workspace_id, name="", creator_id=row.creator_id, creator=row.creator,
                editor=row.creator, source=states.POOL, created_at=now, spec=cluster_spec.document(wanted),
                wish=states.WISH_RUNNING, wished_launch=0, wish_reason=None, state=states.PENDING, state_message="", launch=0,
                start_time=now, driver_pool_id=row.pool_id, driver_pool_node_type=spec.node_type_id, facts={}, version=0,
            )
        )  # fmt: skip
        wake(tx, states.KIND, cluster_id)


def _profile(spec: InstancePoolSpec) -> AwsAttributes | None:
    """The instance profile of a pool, as its instances have it."""
    profile = spec.aws_attributes.instance_profile_arn if spec.aws_attributes else None
    return AwsAttributes(instance_profile_arn=profile) if profile else None


def _images(spec: InstancePoolSpec, looks: list[ImageStep]) -> tuple[Image, ...]:
    """Of what idle instances are made: the pool's images, or the platform's own."""
    urls = [image.url or "" for image in spec.preloaded_docker_images or []]
    found = zip(urls, looks, strict=False)
    return tuple(Image(url, look.local is not None, look.failure is not None) for url, look in found) or (Image(),)


def _unchanged(tx: Tx, row: Any) -> bool:
    """Whether the pool is as it was seen; nobody else changes it in this transaction then."""
    mine = and_(instance_pools.c.pool_id == row.pool_id, instance_pools.c.version == row.version)
    return tx.execute(select(instance_pools.c.pool_id).where(mine).with_for_update()).first() is not None


def _held_back(limits: Quotas, by_nodes: int, by_minute: int) -> list[str]:
    """Why instances wait, in words."""
    told = []
    if by_nodes:
        told.append(
            f"Idle instances that wait: {by_nodes}. The active clusters and idle instances of this workspace come to the "
            f"{limits.nodes} nodes that are allowed (max_nodes); end a cluster, or lower min_idle_instances."
        )
    if by_minute:
        told.append(
            f"Idle instances that wait: {by_minute}. At most {limits.nodes_per_minute} nodes a minute are started in this "
            "workspace (nodes_per_minute)."
        )
    return told


def _end(tx: Tx, instance: Instance) -> None:
    """End an instance for good, if it is still the pool's as it was seen."""
    mine = and_(
        clusters.c.cluster_id == instance.cluster_id, clusters.c.source == states.POOL, clusters.c.version == instance.version
    )
    if tx.execute(update(clusters).where(mine).values(wish=states.WISH_DELETED, version=instance.version + 1)).rowcount:
        wake(tx, states.KIND, instance.cluster_id)


def _instances(reader: Reader, pool_id: str) -> list[Instance]:
    mine = and_(clusters.c.driver_pool_id == pool_id, clusters.c.source == states.POOL)
    found = []
    for row in reader.execute(select(clusters).where(mine)):
        reason = ((row.termination_reason or {}).get("parameters") or {}).get("databricks_error_message", "")
        ready = (row.facts or {}).get("ready")
        image = (row.spec.get("docker_image") or {}).get("url") or ""
        found.append(Instance(row.cluster_id, row.version, row.wish, row.state, row.created_at, ready, reason, image))
    return found


def _tell(
    facts: dict[str, Any],
    spec: InstancePoolSpec,
    looks: list[ImageStep],
    decision: plan_pool.Decision,
    view: View,
    held: list[str],
) -> None:
    """What `status` tells, `held` (why instances wait) among it, and when instances that fail are tried again."""
    urls = [image.url or "" for image in spec.preloaded_docker_images or []]
    images = [
        {"instance_id": "", "message": f"{url}: {look.failure.message if look.failure else look.waiting}"}
        for url, look in zip(urls, looks, strict=False)
        if look.failure or look.waiting
    ]
    ready = sum(1 for one in view.instances if one.lives and one.ready_at is not None)
    kept = [one for one in facts.get("errors") or [] if one["instance_id"]]
    if ready >= view.least:
        kept = []
        facts["failures"], facts["retry_at"] = 0, 0
    if decision.failed:
        facts["failures"] = int(facts.get("failures") or 0) + 1
        facts["retry_at"] = view.now + plan_pool.pause_ms(facts["failures"])
        kept += [{"instance_id": one.cluster_id, "message": one.reason} for one in decision.failed]
    waiting = [{"instance_id": "", "message": why} for why in held]
    facts["errors"] = images + waiting + kept[-max(view.least, FEW) :]


def pools_with_work(reader: Reader) -> list[str]:
    """All pools: what a starting control plane looks at."""
    return list(reader.execute(select(instance_pools.c.pool_id)).scalars())
