"""`boathouse compatibility`: docs/compatibility.md, printed from the routing table and the platform's list of endpoints."""

import argparse
import re
from collections import defaultdict

from boathouse.cli.output import print_json
from boathouse.edge import Routes
from boathouse.edge.unserved import Catalogue, Platform

#: A parameter that is a type of objects, one that is a whole segment, and one that is the rest of a path.
_TYPE, _WHOLE, _REST = re.compile(r"\{\w+_object_type\}"), re.compile(r"/\{[^/}]+\}(?=/|$)"), re.compile(r"(?<=\w)\{\w+_path\}$")


def arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(options: argparse.Namespace) -> int:
    from boathouse import server

    table = server.routes()
    catalogue = Catalogue()
    served = [known for known in catalogue.endpoints if is_served(table, known)]
    if options.output == "json":
        print_json({"served": [[k.method, k.path] for k in served], "endpoints": len(catalogue.endpoints)})
    else:
        print(page(table, catalogue, served), end="")
    return 0


def is_served(table: Routes, known: Platform) -> bool:
    """Whether an endpoint of the platform has a function of ours; for one that serves objects of any type, for some type."""
    types = object_types(table, known)
    paths = [_TYPE.sub(each, known.path) for each in types] or [known.path]
    probes = [_WHOLE.sub("/0", _REST.sub("/0", path)) for path in paths]
    return any("{" not in probe and table.find(known.method, probe) is not None for probe in probes)


def object_types(table: Routes, known: Platform) -> list[str]:
    """The types of objects that are served where a path of the platform has one: each has a path of its own here."""
    before = _TYPE.split(known.path)[0]
    if before == known.path:
        return []
    return sorted({made.path.removeprefix(before).split("/")[0] for made in table.endpoints if made.path.startswith(before)})


def page(table: Routes, catalogue: Catalogue, served: list[Platform]) -> str:
    """The document: a count, the served endpoints by service, then what is ours alone."""
    methods = sum(len(known.names) for known in served)
    lines = [
        "# Compatibility",
        "",
        f"{len(served)} of {len(catalogue.endpoints)} endpoints served "
        f"({methods} of {catalogue.methods} methods of the Databricks SDK call one of them).",
        "",
        "All others answer 501 and name themselves. Printed by `make docs` from the routing table.",
        "",
    ]
    by_service: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for known in served:
        for name in known.names:
            service, _, method = name.rpartition(".")
            types = object_types(table, known)
            by_service[service].append((method, known.method, f"{known.path}`" + (f" for {', '.join(types)}" if types else "")))
    for service in sorted(by_service):
        lines += [f"## {service}", "", "| method | endpoint |", "|---|---|"]
        lines += [f"| `{method}` | `{verb} {path} |" for method, verb, path in sorted(by_service[service])]
        lines.append("")
    ours = sorted(
        f"`{made.method} {path}`"
        for made in table.endpoints
        for path in (made.path, *made.also)
        if catalogue.find(made.method, path) is None
    )
    lines += ["## Beside the SDK's endpoints", "", "Other versions of the same paths, log-in, and what is Boathouse's own:", ""]
    lines += [f"- {path}" for path in ours]
    return "\n".join(lines) + "\n"
