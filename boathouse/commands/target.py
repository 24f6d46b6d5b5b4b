"""A cluster as commands see it: is it alive, which launch is this, and where is its driver.

Read from compute's rows; nothing here writes them, and nothing here asks for rights (`access.py` does).
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from boathouse.compute.states import SERVING
from boathouse.compute.tables import clusters
from boathouse.store import Reader


class Target(msgspec.Struct, frozen=True):
    """`launch`: which launch of the cluster runs (a context of another one is dead). `node_id`: the driver's node, empty when
    there is none. `facts`: what the launch left there (image, Spark's ports)."""

    cluster_id: str
    workspace_id: int
    state: str
    state_message: str
    launch: int
    facts: Mapping[str, Any]

    @property
    def serving(self) -> bool:
        return self.state in SERVING and bool(self.node_id)

    @property
    def node_id(self) -> str:
        return self.facts.get("driver_node") or ""

    @property
    def simulated(self) -> bool:
        """Launched by the driver that has no containers: nothing can run there."""
        return self.facts.get("data_plane") == "simulated"

    @property
    def spark(self) -> Mapping[str, Any]:
        """The ports of the driver's JVM."""
        return self.facts.get("spark") or {}

    @property
    def python(self) -> str:
        """The path of the image's Python, empty when it has none."""
        found = (self.facts.get("image") or {}).get("python") or {}
        return found if isinstance(found, str) else found.get("path") or ""

    @property
    def why_no_python(self) -> str:
        return (self.facts.get("image") or {}).get("python_reason") or "the image has no Python"

    @property
    def r(self) -> str:
        """The path of the image's Rscript, empty when it has no R."""
        return (self.facts.get("image") or {}).get("r") or ""

    def lives(self, context: Any) -> bool:
        """Is the launch that `context` belongs to still there?"""
        return self.serving and self.launch == context.launch and self.node_id == context.node_id


def read_target(reader: Reader, cluster_id: str) -> Target | None:
    """The cluster, whoever asks; None when there is no such row."""
    row = reader.execute(
        select(
            clusters.c.cluster_id, clusters.c.workspace_id, clusters.c.state, clusters.c.state_message,
            clusters.c.launch, clusters.c.facts,
        ).where(clusters.c.cluster_id == cluster_id)
    ).first()  # fmt: skip
    if row is None:
        return None
    return Target(row.cluster_id, row.workspace_id, row.state, row.state_message, row.launch, row.facts or {})
