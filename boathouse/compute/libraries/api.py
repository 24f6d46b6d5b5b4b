"""`/api/2.0/libraries/*`: which libraries a cluster is to have, and how far that is. They write wishes; `reconciler` installs.

Whoever may manage a cluster changes its libraries; whoever may attach to it sees them.
"""

import json
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update

from boathouse.compute import access
from boathouse.compute.libraries import rows, rules
from boathouse.compute.states import SERVING
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import cluster_libraries as table
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.reconcile import wake
from boathouse.wire.libraries import (
    AllClusterLibraryStatuses,
    ChangeLibraries,
    ClusterIdQuery,
    ClusterLibraryStatuses,
    Library,
    LibraryStatus,
)

ROOT = "/api/2.0/libraries"


@endpoint("POST", f"{ROOT}/install", action="libraries.install")
def install(ctx: Ctx, body: ChangeLibraries) -> None:
    """Have libraries installed now, or when the cluster starts. One that failed is tried again; one that is there stays."""
    wanted = _checked(body)
    _refuse_out_of_reach(body, ctx.services.get(Surroundings))
    now = ctx.store.clock()
    with ctx.transaction() as tx:
        row = access.find(tx, ctx.caller, body.cluster_id, "manage", now=now, lock=True)
        known = {each.key: each for each in rows.of_cluster(tx, row.cluster_id)}
        if len(known.keys() | wanted.keys()) > rules.MOST:
            raise invalid(f"libraries: cluster {row.cluster_id} would have more than {rules.MOST}, the most that are allowed")
        for key, library in wanted.items():
            there = known.get(key)
            if there is None:
                tx.execute(insert(table).values(**rows.new(row.cluster_id, library, ctx.caller.name, now)))
                continue
            values: dict[str, Any] = {"uninstall": False} if there.uninstall else {}
            if there.status in (rows.FAILED, rows.SKIPPED):
                values |= {
                    "uninstall": False, "attempt": there.attempt + 1, "status": rows.PENDING, "messages": [], "nodes": {},
                    "installer": ctx.caller.name, "requested_at": now,
                }  # fmt: skip
            if values:
                tx.execute(update(table).where(table.c.number == there.number).values(**values))
        wake(tx, rows.KIND, row.cluster_id)


@endpoint("POST", f"{ROOT}/uninstall", action="libraries.uninstall")
def uninstall(ctx: Ctx, body: ChangeLibraries) -> None:
    """Have libraries no more: at once where nothing of them is in a node, else from the next restart on. Others are ignored."""
    wanted = _checked(body)
    with ctx.transaction() as tx:
        cluster = access.find(tx, ctx.caller, body.cluster_id, "manage", now=ctx.store.clock(), lock=True)
        for row in rows.of_cluster(tx, cluster.cluster_id):
            if row.key not in wanted or row.uninstall:
                continue
            here = table.c.number == row.number
            if cluster.state in SERVING and row.launch == cluster.launch and row.nodes:
                tx.execute(update(table).where(here).values(uninstall=True))
            else:
                tx.execute(delete(table).where(here))
        wake(tx, rows.KIND, cluster.cluster_id)


@endpoint("GET", f"{ROOT}/cluster-status", action="libraries.clusterStatus")
def cluster_status(ctx: Ctx, query: ClusterIdQuery) -> ClusterLibraryStatuses:
    """The libraries of one cluster: those that are wished in their order, then those that go at the next restart."""
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, query.cluster_id, "see", now=ctx.store.clock())
        return ClusterLibraryStatuses(
            cluster_id=row.cluster_id, library_statuses=_shown(row, rows.of_cluster(reader, row.cluster_id))
        )


@endpoint("GET", f"{ROOT}/all-cluster-statuses", action="libraries.allClusterStatuses")
def all_cluster_statuses(ctx: Ctx) -> AllClusterLibraryStatuses:
    """The same for every cluster that the caller sees and that has libraries."""
    with ctx.read() as reader:
        clusters = access.clusters
        chosen = (
            select(clusters.c.cluster_id, clusters.c.state, clusters.c.launch)
            .where(access.VISIBLE[ctx.caller.admin], access.NOT_GONE)
            .where(clusters.c.cluster_id.in_(select(table.c.cluster_id)))
            .order_by(clusters.c.start_time.desc(), clusters.c.cluster_id)
        )
        found = reader.execute(chosen, access.shown_values(ctx.caller, ctx.store.clock())).all()
        listed: dict[str, list[Any]] = {row.cluster_id: [] for row in found}
        for row in reader.execute(select(table).order_by(table.c.number)):
            if row.cluster_id in listed:
                listed[row.cluster_id].append(row)
    return AllClusterLibraryStatuses(
        statuses=[
            ClusterLibraryStatuses(cluster_id=row.cluster_id, library_statuses=_shown(row, listed[row.cluster_id]))
            for row in found
        ]
    )


def _checked(body: ChangeLibraries) -> dict[str, dict[str, Any]]:
    """The libraries of a request by their keys. Raises the ApiError of the first that cannot be."""
    if len(body.libraries) > rules.MOST:
        raise invalid(f"libraries: {len(body.libraries)} are too many; at most {rules.MOST} are allowed")
    wanted = {}
    for at, library in enumerate(body.libraries):
        for violation in rules.violations(library, f"libraries[{at}]"):
            raise invalid(violation)
        stored = rules.document(library)
        wanted[rules.key(stored)] = stored
    return wanted


def _refuse_out_of_reach(body: ChangeLibraries, around: Surroundings) -> None:
    """Raises the ApiError of the first library that names a repository which no node can reach."""
    for at, library in enumerate(body.libraries):
        reason = rules.out_of_reach(rules.document(library))
        if reason and not around.egress():
            raise invalid(f"libraries[{at}].{reason}")


def _shown(cluster: Any, found: list[Any] | Any) -> list[LibraryStatus]:
    """As the API tells it. Outside of the launch that a row is about nothing is installed."""
    serving = cluster.state in SERVING
    shown, leaving = [], []
    for row in found:
        present = serving and row.launch == cluster.launch
        document = json.loads(row.library) if isinstance(row.library, str) else row.library
        status = LibraryStatus(
            library=msgspec.convert(document, Library),
            status=row.status if present else rows.PENDING,
            messages=list(row.messages or []) if present else [],
            is_library_for_all_clusters=False,
        )
        if not row.uninstall:
            shown.append(status)
        elif present:
            status.status = rows.UNINSTALL_ON_RESTART
            leaving.append(status)
    return [*shown, *leaving]
