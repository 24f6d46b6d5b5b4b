"""What the control plane asks of a driver's JVM: how it is, and that an executor leave. Through the node's tunnel.

The calls are those of `ControlServer` in jvm/. Called by `look.py` and `launch.py`.
"""

import logging
from collections.abc import Mapping
from typing import Any

from boathouse.compute.world import Health
from boathouse.dataplane.contract import Link, NodeGone
from boathouse.dataplane.driver_http import DriverHttp, count

log = logging.getLogger("boathouse.compute.driver_calls")

#: How long the driver may take to answer, in seconds.
TIMEOUT = 3.0

#: What can go wrong between here and a driver that answers as it should.
_BAD = (NodeGone, ValueError, KeyError, TypeError)


def read_health(link: Link, node_id: str, port: int, token: str) -> Health | None:
    """What the driver says on /health; None when it does not answer in time."""
    try:
        document = _call(link, node_id, port, token, "GET", "/health")
        living = {int(each["id"]): each for each in document["executors"] if each["alive"] and str(each["id"]).isdigit()}
        return Health(
            state=str(document["state"]),
            alive=frozenset(living),
            pending=count(document.get("pending_tasks", 0)),
            running=count(document.get("running_tasks", 0)),
            busy=bool(document.get("busy", False)),
            idle_ms={number: _idle(each) for number, each in living.items()},
        )
    except _BAD as error:
        log.info("%s: the driver does not answer as it should: %s", node_id, error)
        return None


def decommission(link: Link, node_id: str, port: int, token: str, executor_id: int) -> bool:
    """Have an executor end its tasks, hand over its blocks and exit; whether the driver heard it. Again: nothing happens."""
    try:
        _call(link, node_id, port, token, "POST", f"/executors/{executor_id}/decommission")
    except _BAD as error:
        log.info("%s: executor %d could not be asked to leave: %s", node_id, executor_id, error)
        return False
    return True


def take(link: Link, node_id: str, port: int, token: str, late: Mapping[str, Any]) -> str:
    """Have a driver in standby serve a cluster, with what comes late; why it does not, or an empty string. Again: nothing."""
    try:
        status, document = DriverHttp(link, node_id, port, token).call("POST", "/take", late, timeout=TIMEOUT)
        return "" if status == 200 else str(document.get("error", status))[:300]
    except _BAD as error:
        log.info("%s: the driver in standby does not answer as it should: %s", node_id, error)
        return "it does not answer"


def _idle(executor: Mapping[str, Any]) -> int:
    return 0 if executor.get("running", 0) else count(executor.get("idle_ms", 0))


def _call(link: Link, node_id: str, port: int, token: str, method: str, path: str) -> dict[str, Any]:
    status, document = DriverHttp(link, node_id, port, token).call(method, path, timeout=TIMEOUT)
    if status != 200:
        raise ValueError(f"the driver answers {status}: {str(document)[:200]}")
    return document
