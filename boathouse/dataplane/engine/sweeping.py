"""Removal of what nobody explains: containers, networks, volumes and fences of this instance whose cluster is not known any more.

It also puts back what it finds missing from the firewall around clusters that live. Called by `driver.sweep`, at start-up,
from time to time, and by `down` (which knows no cluster). Only what carries the instance's label is listed, so another data
directory's things are never seen.
"""

from collections.abc import Callable

from boathouse.dataplane.contract import NodeFailure
from boathouse.dataplane.engine import naming
from boathouse.dataplane.engine.client import EngineClient, log
from boathouse.dataplane.engine.network import Networks
from boathouse.dataplane.engine.stacks import Stacks
from boathouse.dataplane.engine.volumes import Volumes


def sweep(
    client: EngineClient,
    instance: str,
    networks: Networks,
    kept: Volumes,
    stacks: Stacks,
    open_views: Callable[[], frozenset[str]],
    known: Callable[[], frozenset[str]],
) -> list[str]:
    """Remove orphans; the names of what is gone. `known` and `open_views` are asked after the listing, so that what was made
    in between is not taken for an orphan. What cannot be removed now is found again by the next sweep."""
    label = f"{naming.INSTANCE}={instance}"
    containers = client.containers(label)
    forgotten, volumes = kept.forgotten(), kept.listed()
    made, fenced, scratch = networks.listed(), networks.fenced_clusters(), stacks.clusters()
    alive, viewed = known(), open_views()
    removed: list[str] = []
    # Customers' containers first: they live in the network namespaces of the daemons'.
    for container in sorted(containers, key=lambda one: (one.get("Labels") or {}).get(naming.ROLE) == naming.DAEMON):
        labels = container.get("Labels") or {}
        name = (container.get("Names") or [container["Id"]])[0].lstrip("/")
        wanted = name in viewed if labels.get(naming.ROLE) == naming.VIEW else naming.cluster_of(labels) in alive
        if not wanted and client.remove(container["Id"]):
            removed.append(name)
    orphans = [name for name, cluster_id in volumes.items() if cluster_id not in alive]
    # What the engine has forgotten has no label any more; the cluster is in its name.
    orphans += [name for name in forgotten if name not in volumes and not any(cluster_id in name for cluster_id in alive)]
    removed.extend(name for name in orphans if kept.remove(name))
    mounted = {cluster_id for name, cluster_id in volumes.items() if name not in removed}
    for cluster_id in sorted(scratch - alive - mounted):
        stacks.forget(cluster_id)
        removed.append(f"scratch of {cluster_id}")
    if networks.fenced:
        for cluster_id in sorted((frozenset(made.values()) & alive) - fenced):
            log.warning("the firewall lost the network of cluster %s: fencing it again", cluster_id)
            try:
                networks.mend(cluster_id)
            except NodeFailure as failure:
                log.error("cluster %s has no firewall around it: %s", cluster_id, failure.evidence or failure)
    released = [one for one in sorted((frozenset(made.values()) | fenced) - alive) if networks.release(one)]
    return removed + [naming.network(instance, one) for one in released]
