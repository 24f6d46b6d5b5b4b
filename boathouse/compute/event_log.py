"""Spark's event log of a cluster: on only where somebody asked for it, and bounded everywhere; pure.

Spark writes it in the driver's node, in pieces of `PIECE`, to the tmpfs that the node's two containers share; a small program
beside the driver copies each piece to the node's log `eventlog.stdout` and removes it when the next one has begun. So at
most two pieces take memory, the log is kept and delivered like every other log of a node, in whole lines alone, and it outlives
the node.
"""

from collections.abc import Mapping

from boathouse.wire.compute import ClusterSpec

#: The process, where Spark writes, and the program.
NAME = "eventlog"
DIRECTORY = "/run/boathouse/eventlog"
SCRIPT = "/run/boathouse/eventlog.sh"

#: The smallest piece that Spark allows.
PIECE = "10m"

PROGRAM = """\
# Copies the pieces of Spark's event log to standard output, in order; ends with its container.
n=1
here() { set -- "$1"/eventlog_v2_*/events_"$2"_*; [ -e "$1" ] && printf %s "$1"; }
while :; do
    file=$(here "$1" "$n") || { sleep 1; continue; }
    tail -n +1 -f "$file" &
    copy=$!
    until here "$1" "$((n + 1))" >/dev/null; do sleep 1; done
    sleep 1
    kill "$copy"
    rm -f "$file"
    n=$((n + 1))
done
"""


def wanted(spec: ClusterSpec, spark_conf: Mapping[str, str]) -> bool:
    """Whether we keep an event log: it is switched on, or logs are delivered and it is not switched off. A customer who names a
    directory keeps it themselves."""
    if "spark.eventLog.dir" in spark_conf:
        return False
    switched = spark_conf.get("spark.eventLog.enabled", "").strip().lower()
    return switched == "true" or (switched != "false" and spec.cluster_log_conf is not None)


def properties() -> dict[str, str]:
    """What Spark is told."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file:{DIRECTORY}",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": PIECE,
        "spark.eventLog.compress": "false",
    }


def files() -> dict[str, str]:
    """What the node is given, by path below `/run/boathouse`: the folder has to be there before Spark starts."""
    return {"eventlog/.made": "", "eventlog.sh": PROGRAM}


def argv() -> list[str]:
    return ["bash", SCRIPT, DIRECTORY]
