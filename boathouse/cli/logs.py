"""`boathouse logs CLUSTER [-f]`: the logs of a cluster's nodes, of a launch that runs or of those that ended."""

import argparse
import sys
import time
from typing import Any
from urllib.parse import quote, urlencode

from boathouse.cli import Failed, connection
from boathouse.cli.output import plain, print_json, table

#: What is shown without `--file`: what a driver says of itself.
DEFAULT_FILE = "driver.stderr"
DEFAULT_BYTES, PIECE = 64 << 10, 1 << 20

#: Seconds between two looks while a log is followed.
PAUSE = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cluster", help="a cluster's id, or its name where there is one of that name")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as the log grows, until the node ends")
    parser.add_argument("--file", metavar="NAME", help=f"which log (see --list); default: {DEFAULT_FILE}")
    parser.add_argument("--node", metavar="N", help="a number (0: the driver) or a node id; default: the newest that has the log")
    parser.add_argument("--list", action="store_true", help="which logs there are")
    parser.add_argument("--bytes", type=int, default=DEFAULT_BYTES, metavar="N", help="how much of its end; 0: everything")
    connection.arguments(parser)


def run(options: argparse.Namespace) -> int:
    server = connection.connect(options)
    options.cluster = connection.cluster_id(server, options.cluster)
    base = f"/api/2.0/boathouse/clusters/{quote(options.cluster, safe='')}/logs"
    there = [each for each in server.get(base)["logs"] if _matches(each["node"], options.node, options.cluster)]
    if options.list:
        print_json(there) if options.output == "json" else print(_listed(there))
        return 0
    file = options.file or DEFAULT_FILE
    node = _newest(there, file, options)
    offset = -options.bytes if options.bytes > 0 else 0
    if options.output == "json" and options.follow:
        raise Failed("--follow prints text as it comes; leave --output json out, or --follow")
    if options.output == "json":
        print_json(server.get(f"{base}?{urlencode({'node': node, 'file': file, 'offset': offset, 'limit': PIECE})}"))
        return 0
    while True:
        piece = server.get(f"{base}?{urlencode({'node': node, 'file': file, 'offset': offset, 'limit': PIECE})}")
        if dropped := piece.get("dropped"):
            print(f"[{dropped:,} bytes of this log are no longer kept]", file=sys.stderr)
        sys.stdout.write(plain(piece["text"]) if sys.stdout.isatty() else piece["text"])
        sys.stdout.flush()
        offset = piece["next_offset"]
        if piece["size"] < offset:  # the log began anew
            offset = 0
        if piece["text"] and offset < piece["size"]:
            continue
        if not options.follow or not (piece["running"] or piece["text"]):
            return 0
        time.sleep(PAUSE)


def _newest(there: list[dict[str, Any]], file: str, options: argparse.Namespace) -> str:
    """The node whose log is meant: one that runs before those that ended, then the latest incarnation."""
    found = [each for each in there if each["file"] == file]
    if not found:
        names = sorted({each["file"] for each in there})
        have = f"there are {', '.join(names)}" if names else "there are no logs yet"
        where = f"node {options.node} of cluster {options.cluster}" if options.node else f"cluster {options.cluster}"
        raise Failed(f"{where} has no log '{file}'; {have}")
    return max(found, key=lambda each: (each["running"], *_parts(each["node"])))["node"]


def _parts(node: str) -> tuple[int, int]:
    """For the choice of a node: its incarnation, and the driver's before a worker's."""
    _, number, incarnation = node.rsplit("-", 2)
    return int(incarnation), -int(number)


def _matches(node: str, wanted: str | None, cluster: str) -> bool:
    return wanted is None or node == wanted or node.removeprefix(f"{cluster}-").split("-")[0] == wanted


def _listed(there: list[dict[str, Any]]) -> str:
    rows = [(each["node"], "runs" if each["running"] else "ended", each["file"], f"{each['size']:,} bytes") for each in there]
    return table(rows, indent="") if rows else "no logs yet"
