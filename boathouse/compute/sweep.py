"""Finding what no row explains, and removing it: containers, networks, volumes, node directories, rows of nodes
without a cluster.

Runs once when a control plane starts and then every few minutes, as the reconciler of kind `sweep`. It touches only
what carries this data directory's instance id (the driver sees to that) and only clusters that are unknown or at
their end.
"""

import logging

from sqlalchemy import delete, select

from boathouse.compute.nodes import NodeDirectories, place_of
from boathouse.compute.states import TERMINATED
from boathouse.compute.tables import clusters, nodes
from boathouse.dataplane.contract import Driver, DriverUnavailable, Link
from boathouse.reconcile import Outcome, again
from boathouse.store import Store

log = logging.getLogger("boathouse.compute.sweep")

KIND = "sweep"

#: Seconds between sweeps, and after one that the driver could not do.
EVERY, SOON = 300.0, 10.0


class Sweep:
    """The reconciler of kind `sweep`."""

    def __init__(self, store: Store, driver: Driver, link: Link, directories: NodeDirectories) -> None:
        self._store, self._driver, self._link, self._directories = store, driver, link, directories

    def __call__(self, key: str) -> Outcome:
        """One sweep."""
        try:
            removed = self._driver.sweep(self.known)
        except DriverUnavailable as error:
            log.info("the data plane does not answer; its sweep waits: %s", error)
            return again(SOON)
        for name in removed:
            log.warning("removed %s: no cluster explains it", name)
        self._rows()
        self._directories_of_nobody()
        return again(EVERY)

    def known(self) -> frozenset[str]:
        """Clusters, and places of clusters, that may have something on the machine: all that are not at their end, and all that
        still have nodes."""
        with self._store.read() as reader:
            place = clusters.c.facts["place"].as_string().label("place")
            alive = reader.execute(select(clusters.c.cluster_id, place).where(clusters.c.state != TERMINATED)).all()
            found = {row.cluster_id for row in alive} | {row.place for row in alive if row.place}
            for row in reader.execute(select(nodes.c.cluster_id, nodes.c.node_id)):
                found |= {row.cluster_id, place_of(row.node_id)}
        return frozenset(found)

    def _rows(self) -> None:
        """Rows of nodes whose cluster is gone from the records."""
        with self._store.transaction() as tx:
            orphans = delete(nodes).where(nodes.c.cluster_id.not_in(select(clusters.c.cluster_id)))
            count = tx.execute(orphans).rowcount
        if count:
            log.warning("removed %d rows of nodes: their cluster does not exist", count)

    def _directories_of_nobody(self) -> None:
        """Directories of nodes that have no row and no living cluster; their logs are kept."""
        present = self._directories.present()
        with self._store.read() as reader:  # after the listing: a node that was born meanwhile is not taken for an orphan
            rows = {row.node_id for row in reader.execute(select(nodes.c.node_id))}
        known = self.known()
        for node in present:
            if node not in rows and place_of(node) not in known:
                self._link.forget(node)
                self._directories.archive(place_of(node), node)
                self._directories.remove(node)
                log.warning("removed the directory of node %s: no cluster explains it", node)
