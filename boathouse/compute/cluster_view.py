"""A row of clusters as the API shows it.

The stored wish is decoded straight into the answer and then filled with the server's defaults and with what is known: no copies,
because a list shows a hundred at once. Pure but for the tables of node types.
"""

from typing import Any

import msgspec

from boathouse.compute import cluster_spec, node_types, states
from boathouse.wire.base import Wire
from boathouse.wire.compute import ClusterDetails, SparkNode, TerminationReason


class Facts(Wire, forbid_unknown_fields=False):
    """The part of a row's facts that anybody may see; the rest holds secrets of the cluster and is never shown."""

    spark_context_id: int | None = None
    driver: SparkNode | None = None
    executors: list[SparkNode] | None = None


#: What a row must have to be shown; see `access.columns`.
NEEDED = (
    "cluster_id", "name", "creator", "source", "state", "state_message", "spec", "facts", "termination_reason", "start_time",
    "terminated_time", "last_restarted_time", "last_state_loss_time", "pool_node_type", "driver_pool_node_type",
)  # fmt: skip

_DETAILS = msgspec.json.Decoder(ClusterDetails)
_FACTS = msgspec.json.Decoder(Facts)
_REASON = msgspec.json.Decoder(TerminationReason | None)
_FEW_FACTS = len('{"driver":{}}')

JDBC_PORT = 10000


def details(row: Any, cloud: str, zone: str) -> ClusterDetails:
    """A row with the `NEEDED` columns as list shows it."""
    shown = _DETAILS.decode(row.spec)
    cluster_spec.redact(shown)
    cluster_spec.fill(shown, row.creator, cloud, zone, cluster_spec.pooled(row))
    shown.cluster_id = row.cluster_id
    shown.cluster_name = row.name
    shown.creator_user_name = row.creator
    shown.cluster_source = row.source
    shown.state = row.state
    shown.state_message = row.state_message
    shown.start_time = row.start_time
    shown.last_state_loss_time = row.last_state_loss_time or 0
    shown.last_restarted_time = row.last_restarted_time
    shown.default_tags = {
        "Vendor": "Databricks", "Creator": row.creator, "ClusterName": row.name, "ClusterId": row.cluster_id,
    }  # fmt: skip
    if row.state == states.TERMINATED:
        shown.terminated_time = row.terminated_time
    if row.termination_reason is not None and row.state in (states.TERMINATING, states.TERMINATED):
        shown.termination_reason = _REASON.decode(row.termination_reason)
    if len(row.facts) >= _FEW_FACTS:
        _fill_facts(shown, row)
    return shown


def _fill_facts(shown: ClusterDetails, row: Any) -> None:
    facts = _FACTS.decode(row.facts)
    shown.spark_context_id = facts.spark_context_id
    if row.state == states.TERMINATED:
        return
    shown.driver, shown.executors = facts.driver, facts.executors
    if facts.driver is None:
        return
    shown.jdbc_port = JDBC_PORT
    driver = node_types.size(shown.driver_node_type_id or "")
    worker = node_types.size(shown.node_type_id or "")
    workers = len(facts.executors or ())
    if driver is not None and worker is not None:
        shown.cluster_cores = driver.cores + workers * worker.cores
        shown.cluster_memory_mb = driver.memory_mb + workers * worker.memory_mb


def with_spec(row: Any, cloud: str, zone: str) -> ClusterDetails:
    """A row as get shows it: with the wish as it was sent, secrets redacted."""
    shown = details(row, cloud, zone)
    wish = cluster_spec.load(row.spec)
    shown.spec = wish if cluster_spec.redact(wish) else msgspec.Raw(row.spec.encode())
    return shown
