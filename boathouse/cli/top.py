"""`boathouse top`: clusters, their nodes, Spark's tasks and commands, in the terminal, drawn again every few seconds."""

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

from boathouse.cli import Failed, connection
from boathouse.cli.output import plain, print_json

#: Between the two looks that the use of processors needs, in seconds: a look is kept by the server for one.
FIRST_PAUSE = 1.1

STYLES = {"RUNNING": "green", "PENDING": "yellow", "RESIZING": "yellow", "RESTARTING": "yellow", "TERMINATING": "red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print one picture and end")
    parser.add_argument("-n", "--interval", type=float, default=2.0, metavar="SECONDS", help="between two pictures (default 2)")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="clusters at most (default 50)")
    connection.arguments(parser)


def run(options: argparse.Namespace) -> int:
    server = connection.connect(options)
    path = f"/api/2.0/boathouse/top?limit={options.limit}"
    if options.interval < 0.2:
        raise Failed(f"--interval: {options.interval:g} is not allowed; give 0.2 or more seconds")
    first = server.get(path)
    if options.once or options.output == "json" or not sys.stdout.isatty():
        if any(cluster["nodes"] for cluster in first["clusters"]):
            time.sleep(FIRST_PAUSE)
            first = server.get(path)
        print_json(first) if options.output == "json" else _print(first, server.host)
        return 0
    return _live(server, path, first, options.interval)


def _print(document: Mapping[str, Any], host: str) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() else 130
    Console(width=width, highlight=False).print(picture(document, host))


def _live(server: connection.Connection, path: str, document: dict[str, Any], interval: float) -> int:
    """Draw in place until Ctrl-C. A server that is gone is said, and asked again: it may come back."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    trouble = ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(document, server.host, trouble), refresh=True)
            time.sleep(interval if not trouble else max(interval, 1.0))
            try:
                document, trouble = server.get(path), ""
            except Failed as error:
                trouble = str(error)


def picture(document: Mapping[str, Any], host: str, trouble: str = "") -> Any:
    """What is drawn."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    clusters = document["clusters"]
    at = time.strftime("%H:%M:%S", time.localtime(document["at"] / 1000))
    counts = ", ".join(f"{sum(c['state'] == s for c in clusters)} {s}" for s in STYLES if any(c["state"] == s for c in clusters))
    head = Text(f"boathouse top  {at}  {host}  {counts or 'no cluster runs'}", style="bold")
    if document["total"] > len(clusters):
        head.append(f"  ({len(clusters)} of {document['total']} shown)")
    parts: list[Any] = [head]
    if trouble:
        parts.append(Text(f"{plain(trouble)} (the picture is old; asking again)", style="bold red"))
    if not clusters:
        parts.append(Text("No clusters. Create one: docs/getting-started.md", style="dim"))
        return Group(*parts)
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    for name, side in (
        ("CLUSTER / NODE", "left"), ("NAME", "left"), ("STATE", "left"), ("UP", "right"), ("CORES", "right"), ("MEMORY", "right"),
        ("TASKS", "right"), ("WAIT", "right"), ("EXEC", "right"), ("CMDS", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for cluster in clusters:
        _rows(table, cluster)
    return Group(*parts, table)


def _rows(table: Any, cluster: Mapping[str, Any]) -> None:
    from rich.text import Text

    spark, commands = cluster["spark"] or {}, cluster["commands"]
    nodes = cluster["nodes"]
    waiting = commands["running"] + commands["queued"]
    used = [node["cores"] for node in nodes if node["cores"] is not None]
    table.add_row(
        Text(cluster["cluster_id"], style="bold"),
        Text(plain(cluster["cluster_name"][:28]).replace("\n", " ")),
        Text(cluster["state"], style=STYLES.get(cluster["state"], "")),
        duration(cluster["up_ms"]),
        f"{sum(used):.2f}" if used else "-",
        memory(sum(n["memory_bytes"] or 0 for n in nodes), sum(n["memory_limit_bytes"] or 0 for n in nodes)),
        str(spark.get("running_tasks", "-")), str(spark.get("pending_tasks", "-")), str(spark.get("executors", "-")),
        f"{commands['running']}+{commands['queued']}" if waiting else "0",
    )  # fmt: skip
    for node in nodes:
        name = "driver" if node["number"] == 0 else f"worker {node['number']}"
        state = Text("" if node["connected"] else "not connected", style="" if node["connected"] else "red")
        kills = node["out_of_memory_kills"] or 0
        note = Text(f"{kills} killed for memory" if kills else "", style="red")
        table.add_row(
            Text(f"  {name}", style="dim"), note, state, "",
            "-" if node["cores"] is None else f"{node['cores']:.2f}" + (f" / {node['cpus']:g}" if node["cpus"] else ""),
            memory(node["memory_bytes"], node["memory_limit_bytes"]), "", "", "", "",
        )  # fmt: skip


def duration(milliseconds: int) -> str:
    """
    >>> duration(3_720_000), duration(65_000), duration(90_000_000)
    ('1h02m', '1m05s', '1d01h')
    """
    seconds = milliseconds // 1000
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02}h"


def memory(used: int | None, limit: int | None) -> str:
    """
    >>> memory(3 << 29, 4 << 30), memory(None, None), memory(5 << 20, 0)
    ('1.5 / 4.0 GiB', '-', '5 MiB')
    """
    if not used:
        return "-"
    if limit:
        return f"{used / 2**30:.1f} / {limit / 2**30:.1f} GiB"
    return f"{used / 2**20:.0f} MiB"
