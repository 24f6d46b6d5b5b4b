"""`boathouse why CLUSTER`: the launch as a timeline with durations, and for a failure the reason, the lines of log, the fix."""

import argparse
from typing import Any
from urllib.parse import quote

from boathouse.cli import connection
from boathouse.cli.output import plain, print_json, seconds, table

#: Details that a person wants on the line of a step, in this order; the JSON has all of them.
SHOWN = (
    "track", "reference", "digest", "bytes", "cached", "platform", "layers", "archive", "address", "spark_version", "registered",
    "data_plane", "workers", "python", "warnings", "error",
)  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cluster", help="a cluster's id, or its name where there is one of that name")
    connection.arguments(parser)


def run(options: argparse.Namespace) -> int:
    server = connection.connect(options)
    document = server.get(f"/api/2.0/boathouse/clusters/{quote(connection.cluster_id(server, options.cluster), safe='')}/why")
    print_json(document) if options.output == "json" else print(plain(text(document)))
    return 0


def text(document: dict[str, Any]) -> str:
    """The explanation as a person reads it."""
    message = document["state_message"]
    lines = [f"{document['cluster_id']} is {document['state']}" + (f": {message}" if message else "")]
    rows = []
    for step in document["steps"]:
        mark = {"failed": "✗", "ok": "✓", "skipped": "-"}.get(step["outcome"], " ")
        node = step["node"].removeprefix(document["cluster_id"] + "-")
        lasted = "…" if step["duration_ms"] is None else seconds(step["duration_ms"])
        place = f"node {node}" if node else ""
        rows.append((f"+{seconds(step['at_ms'])}", lasted, mark, step["step"], place, _details(step)))
    lines.append(table(rows))
    reason = document.get("reason")
    if reason:
        lines += ["", f"{reason['code']} ({reason['type']}): {reason.get('meaning', '')}"]
        if reason.get("message"):
            lines.append(f"  {reason['message']}")
        lines += [f"  | {line}" for line in reason.get("lines", ())]
        said = reason.get("container_stderr", "").splitlines()
        if said and said[-1] not in reason.get("lines", ()):
            lines += ["The container said", *(f"  | {line}" for line in said[-20:])]
        if reason.get("fix"):
            lines += ["What to do", f"  {reason['fix']}"]
    return "\n".join(lines)


def _details(step: dict[str, Any]) -> str:
    details = step["details"]
    if step["step"] == "limits":
        return "; ".join(_limits(role, details[role]) for role in ("driver", "worker") if details.get(role))
    shown = [(name, details[name]) for name in SHOWN if details.get(name) not in (None, "", [], {})]
    return ", ".join(f"{name} {_short(value)}" for name, value in shown)


def _limits(role: str, limits: dict[str, Any]) -> str:
    size = f"{limits['cpus']:g} cores {limits['memory_mb']} MiB"
    true = f"{limits['true_cores']:g} cores {limits['true_memory_mb']} MiB"
    return f"{role} {limits['node_type']}: {size}" + (f" (scaled from {true})" if limits.get("scaled") else "")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(str(item) for item in value.values())
    if isinstance(value, list):
        return " > ".join(map(str, value))
    text = str(value)
    return text[:19] + "…" if text.startswith("sha256:") else text
