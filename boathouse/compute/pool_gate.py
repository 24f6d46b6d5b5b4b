"""Whether a cluster may take what it wants from its pools, asked when a launch begins and when a cluster grows.

Launches are let in one at a time: those that were let in and have not been written yet are remembered here, so that two that
begin at once do not get the same last place. A restart loses nothing: what was let in is written with the launch's limits.
"""

import threading
from typing import Any

import msgspec
from sqlalchemy import select

from boathouse.compute import pool_stock, states
from boathouse.compute.tables import instance_pools
from boathouse.compute.world import Cluster, Failure
from boathouse.store import Reader, Store


class _Pool(msgspec.Struct, frozen=True):
    pool_id: str
    most: int | None


class PoolGate:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._guard = threading.Lock()
        self._let_in: dict[str, int] = {}

    def refusal(self, row: Any) -> Failure | None:
        """Why the launch that `row` wishes may not begin, as far as its pools are concerned."""
        ids = _ids(row)
        begun = row.launch == row.wished_launch and bool((row.facts or {}).get("limits"))
        if not ids or row.source == states.POOL or begun or self._let_in.get(row.cluster_id) == row.wished_launch:
            return None
        with self._guard, self._store.read() as reader:
            for pool_id in ids:
                pool = _pool(reader, pool_id)
                if pool is None:
                    if "instance" in (row.facts or {}):
                        continue  # what it took is its own
                    return _gone(pool_id)
                full = self._full(reader, pool, row.cluster_id)
                if full is not None:
                    return full
            self._let_in[row.cluster_id] = row.wished_launch
        return None

    def bound(self, row: Any, cluster: Cluster, granted: int | None) -> tuple[int | None, Failure | None]:
        """How many workers a cluster that serves may have (`granted` by the machine; None: as many as wanted), and what says so
        where it is the pool."""
        if row.pool_id is None or cluster.state not in states.SERVING or cluster.launch != cluster.wished_launch:
            return granted, None
        held = int((cluster.facts.get("limits") or {}).get("workers", 0))
        if cluster.workers <= held:
            return granted, None
        with self._guard, self._store.read() as reader:
            pool = _pool(reader, row.pool_id)
            if pool is None:
                return held, _gone(row.pool_id)
            if pool.most is None:
                return granted, None
            others = self._others(reader, pool, row.cluster_id) + int(row.driver_pool_id == row.pool_id)
        room = max(held, pool.most - others)
        if room >= cluster.workers or (granted is not None and granted <= room):
            return granted, None
        return room, _no_room(pool, others, cluster.workers)

    def forget(self, cluster_id: str) -> None:
        self._let_in.pop(cluster_id, None)

    def _full(self, reader: Reader, pool: _Pool, cluster_id: str) -> Failure | None:
        if pool.most is None:
            return None
        wanted = pool_stock.claims(reader, pool.pool_id).get(cluster_id, 0)
        others = self._others(reader, pool, cluster_id)
        return None if others + wanted <= pool.most else _no_room(pool, others, wanted)

    def _others(self, reader: Reader, pool: _Pool, cluster_id: str) -> int:
        """Instances that clusters have which were let in, or begun with limits."""
        claims = pool_stock.claims(reader, pool.pool_id, begun_or=self._let_in)
        return sum(count for other, count in claims.items() if other != cluster_id)


def _ids(row: Any) -> list[str]:
    return sorted({row.pool_id, row.driver_pool_id} - {None})


def _pool(reader: Reader, pool_id: str) -> _Pool | None:
    row = reader.execute(select(instance_pools).where(instance_pools.c.pool_id == pool_id)).first()
    return None if row is None or row.state != pool_stock.ACTIVE else _Pool(pool_id, row.spec.get("max_capacity"))


def _gone(pool_id: str) -> Failure:
    text = f"Can't find an instance pool with id: {pool_id}. It was deleted after the cluster had been given it."
    return Failure("INSTANCE_POOL_NOT_FOUND", text, step="limits", parameters={"instance_pool_id": pool_id})


def _no_room(pool: _Pool, others: int, wanted: int) -> Failure:
    text = (
        f"The instance pool {pool.pool_id} may have {pool.most} instances; other clusters have {others} of them, and "
        f"{wanted} more are wanted. End other clusters, ask for fewer workers, or raise max_capacity."
    )
    return Failure("INSTANCE_POOL_MAX_CAPACITY_REACHED", text, step="limits", parameters={"instance_pool_id": pool.pool_id})
