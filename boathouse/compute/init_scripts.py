"""Init scripts in words: what may be asked for, how their logs are called, what the events tell (reference api A.2).

Global scripts run first, by position, then the cluster's in the order of its list, on every node before Spark starts.
`plan_scripts` decides when, `script_shelf` has their content, `launch` runs them. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from boathouse.compute.world import InitScript, NodeRow
from boathouse.wire.compute import ClusterSpec, InitScriptInfo
from boathouse.workspace.clouds.places import unreachable

#: How the logs of init scripts begin among the files of a node.
NODE_LOG = "init_scripts."

#: Bytes that one script may have; Databricks has the same limit for both kinds.
LARGEST_SCRIPT = 64 << 10

#: How the destinations of each kind begin.
PREFIXES: dict[str, tuple[str, ...]] = {
    "workspace": ("/",),
    "volumes": ("/Volumes/",),
    "dbfs": ("dbfs:/",),
    "s3": ("s3://",),
    "abfss": ("abfss://",),
    "gcs": ("gs://",),
    "file": ("file:/",),
}

#: What the events say of a script (reference api A.2): that it has not begun, ended well, ended with another status than zero,
#: could not be had, or never began because of one before it.
NOT_EXECUTED, SUCCEEDED, FAILED_EXECUTION, FAILED_FETCH = "NOT_EXECUTED", "SUCCEEDED", "FAILED_EXECUTION", "FAILED_FETCH"
SKIPPED = "SKIPPED"

GLOBAL_FAILURE, CLUSTER_FAILURE = "GLOBAL_INIT_SCRIPT_FAILURE", "INIT_SCRIPT_FAILURE"


def violations(spec: ClusterSpec) -> Iterator[str]:
    """What is wrong with `init_scripts`; pure."""
    for at, info in enumerate(spec.init_scripts or []):
        field = f"init_scripts[{at}]"
        given = [kind for kind in PREFIXES if getattr(info, kind) is not None]
        if len(given) != 1:
            what = f"{', '.join(given)} are given" if given else "no place is given"
            yield f"{field}: {what}; give exactly one of {', '.join(PREFIXES)}"
            continue
        kind = given[0]
        place = getattr(info, kind)
        destination = place.destination
        if not destination.startswith(PREFIXES[kind]) or destination.endswith("/"):
            allowed = " or ".join(PREFIXES[kind])
            shown = repr(destination[:100])
            yield f"{field}.{kind}.destination: {shown} is not allowed; give the path of a file that begins with {allowed}"
        elif kind == "s3" and not (place.region or place.endpoint):
            yield f"{field}.s3: Missing region or endpoint; give one of them"
        elif kind == "s3":
            yield from (f"{field}.s3.{why}" for why in unreachable(place.region, place.endpoint))
        elif kind == "file" and spec.docker_image is None:
            yield f"{field}.file: a file of the image is allowed with docker_image only; give a workspace or volumes path"


def kind_of(info: InitScriptInfo) -> str:
    """Which kind of place is given, of a document that `violations` let pass."""
    return next(kind for kind in PREFIXES if getattr(info, kind) is not None)


def log_name(node: NodeRow, number: int, script: InitScript, stream: str) -> str:
    """`<timestamp>_<log-id>_<script>.stdout.log`, as Databricks names the logs of init scripts; always the same for a node."""
    stamp = datetime.fromtimestamp(node.made_at / 1000, UTC).strftime("%Y%m%d_%H%M%S")
    base = re.sub(r"[^A-Za-z0-9._-]+", "_", script.name.rsplit("/", 1)[-1])[-60:] or "script"
    return f"{stamp}_{number:02d}_{base}.{stream}.log"


class Ran(msgspec.Struct, frozen=True):
    """What became of one script on one node. `seconds`: how long it took, None where it never began; `error`: what its status
    does not say."""

    status: str = NOT_EXECUTED
    seconds: float | None = None
    error: str = ""


def told(scripts: tuple[InitScript, ...], ran: Mapping[int, Ran], address: str = "") -> dict[str, Any]:
    """`details.init_scripts` of the events: what became of each script on the one node that is reported, by its `address`; before
    they have ended none is."""
    document: dict[str, Any] = {"reported_for_node": address} if address else {}
    for scope in ("global", "cluster"):
        entries = []
        for number, script in enumerate(scripts):
            if script.scope != scope:
                continue
            one = ran.get(number, Ran())
            entry: dict[str, Any] = {**script.info, "status": one.status}
            if one.seconds is not None:
                entry["execution_duration_seconds"] = int(one.seconds)
            if one.error:
                entry["error_message"] = one.error
            entries.append(entry)
        if entries:
            document[scope] = entries
    return document
