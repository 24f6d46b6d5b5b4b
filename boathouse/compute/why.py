"""Why a cluster is as it is: its launch as steps with durations, and for an end the reason, the lines that explain it
and the fix.

`explain` is pure: from the row, the timeline and the events to one document, which the CLI prints and the console
draws. Endpoint: GET /api/2.0/boathouse/clusters/{id}/why.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from boathouse.compute import access, timeline
from boathouse.compute.logs import LogReader
from boathouse.compute.tables import events
from boathouse.compute.terminations import CATALOGUE
from boathouse.compute.world import CONTAINER_LOG
from boathouse.edge import Ctx, endpoint
from boathouse.wire.base import Wire

#: Events that are told beside the timeline.
EVENTS = 50

#: Bytes of what a container said that are shown.
CONTAINER_SHOWN = 8000

_PHRASES = {
    "wish": "the wish was written",
    "limits": "the nodes' sizes were fitted to this machine",
    "runtime": "the runtime was chosen",
    "trust": "who shares what",
    "secrets": "secrets were resolved",
    "instance": "an idle instance of the pool was taken",
    "nodes": "the node's daemon was started",
    "tunnel": "the daemon dialled in",
    "image.resolve": "the image was resolved to a digest",
    "image.policy": "the workspace's image policy was asked",
    "image.scan": "what is installed in the image was scanned for the image policy",
    "image.pull": "the image was pulled",
    "image.check": "the image was checked",
    "container": "the container was started",
    "init_scripts": "the init scripts ran",
    "init_script": "one init script ran",
    "spark.driver": "Spark's driver was started",
    "spark.executors": "the executors registered",
    "healthy": "the driver became healthy",
    "total": "the whole launch",
    "launch": "the launch was given up",
    "resize": "the number of workers changed",
    "lost": "something that ran was lost",
    "repair": "what was lost could not be replaced",
    "teardown": "everything was removed",
}


def phrase(step: str) -> str:
    """A step of the timeline in words; those that are numbered (`resize.2`) go by what is before the number."""
    return _PHRASES.get(step) or _PHRASES.get(step.rpartition(".")[0], step)


def explain(
    cluster: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    told: Sequence[Mapping[str, Any]],
    now: int,
    container_stderr: str = "",
) -> dict[str, Any]:
    """The story of a cluster's latest launch.

    `cluster`: cluster_id, state, state_message, launch, termination_reason or None; `steps`: rows of the timeline;
    `told`: events, oldest first; `container_stderr`: what the container of the node that failed said when it ended.
    """
    launch = cluster["launch"]
    mine = [step for step in steps if step["launch"] == launch]
    total = next((step for step in mine if step["step"] == "total"), None)
    began = min((step["started"] for step in mine), default=now)
    document: dict[str, Any] = {
        "cluster_id": cluster["cluster_id"],
        "state": cluster["state"],
        "state_message": cluster["state_message"],
        "launch": launch,
        "data_plane": ((total or {}).get("details") or {}).get("data_plane", ""),
        "started": began,
        "duration_ms": None if total is None else (total["ended"] or now) - total["started"],
        "steps": [
            {
                "step": step["step"],
                "node": step["node"],
                "what": phrase(step["step"]),
                "at_ms": step["started"] - began,
                "duration_ms": (step["ended"] or now) - step["started"],
                "outcome": "running" if step["ended"] is None else step["outcome"],
                "details": step["details"],
            }
            for step in mine
        ],
        "events": [{"at": event["at"], "type": event["type"], "details": event["details"]} for event in told],
    }
    reason = cluster.get("termination_reason")
    if reason:
        document["reason"] = _reason(reason, mine) | ({"container_stderr": container_stderr} if container_stderr else {})
    return document


def _reason(reason: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    code = reason["code"]
    parameters = reason.get("parameters") or {}
    failed = next((step for step in steps if step["outcome"] == "failed" and step["step"] != "total"), None)
    details = (failed or {}).get("details") or {}
    known = CATALOGUE.get(code)
    words = str(details.get("message") or parameters.get("databricks_error_message", "")).strip()
    return {
        "code": code,
        "type": reason.get("type", ""),
        "meaning": known.meaning if known else "",
        "message": words,
        "step": failed["step"] if failed else "",
        "node": failed["node"] if failed else str(parameters.get("instance_id", "")),
        "lines": [line for line in str(details.get("evidence", "")).splitlines() if line.strip()],
        "fix": known.fix if known else "",
        "parameters": dict(parameters),
    }


class AskWhy(Wire):
    """`launch`: an earlier one, where its timeline is kept; 0: the latest."""

    launch: int = 0


@endpoint("GET", "/api/2.0/boathouse/clusters/{cluster_id}/why", action="clusters.why")
def why(ctx: Ctx, cluster_id: str, query: AskWhy) -> dict[str, Any]:
    """The explanation of a cluster, for those who may see it."""
    with ctx.read() as reader:
        row = access.find(reader, ctx.caller, cluster_id, "see")
        manages = access.may_manage(reader, ctx.caller, cluster_id)
        steps = timeline.rows(reader, cluster_id)
        newest = reader.execute(
            select(events.c.at, events.c.type, events.c.details)
            .where(events.c.cluster_id == cluster_id)
            .order_by(events.c.at.desc(), events.c.id.desc())
            .limit(EVENTS)
        ).all()
    reasons = (json.loads(text) for text in (row.termination_reason, row.wish_reason) if text)  # JSON's null is among them
    cluster = {
        "cluster_id": cluster_id,
        "state": row.state,
        "state_message": row.state_message,
        "launch": query.launch or row.launch,
        "termination_reason": next((reason for reason in reasons if reason), None),
    }
    node = str(((cluster["termination_reason"] or {}).get("parameters") or {}).get("instance_id", ""))
    told_to_them = manages and node.startswith(cluster_id)
    said = ctx.service(LogReader).tail(cluster_id, node, CONTAINER_LOG, CONTAINER_SHOWN) if told_to_them else ""
    told = [{"at": event.at, "type": event.type, "details": event.details} for event in reversed(newest)]
    return explain(cluster, steps, told, ctx.store.clock(), said)
