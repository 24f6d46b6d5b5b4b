"""`boathouse settings`: every setting, its value and its source."""

import argparse

from boathouse.cli.output import print_json, table
from boathouse.settings import FIELDS, load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory")


def run(options: argparse.Namespace) -> int:
    settings = load({"data": options.data})
    rows = [
        {"name": name, "value": _shown(getattr(settings, name)), "source": settings.sources[name], "help": field.help}
        for name, field in FIELDS.items()
    ]
    if options.output == "json":
        print_json(rows)
    else:
        print(table([(row["name"], row["value"] or "(empty)", row["source"], row["help"]) for row in rows], indent=""))
    return 0


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
