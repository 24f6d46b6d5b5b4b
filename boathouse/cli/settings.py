"""`boathouse settings`: every setting, its value and its source."""

import argparse
import re

from boathouse.cli.output import print_json, table
from boathouse.settings import FIELDS, load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory")


def run(options: argparse.Namespace) -> int:
    settings = load({"data": options.data})
    rows = [
        {"name": name, "value": _shown(name, getattr(settings, name)), "source": settings.sources[name], "help": field.help}
        for name, field in FIELDS.items()
    ]
    if options.output == "json":
        print_json(rows)
    else:
        print(table([(row["name"], row["value"] or "(empty)", row["source"], row["help"]) for row in rows], indent=""))
    return 0


#: Where a database's URL may hold a password: `//user:password@host`, and a parameter of the driver.
_PASSWORD, _PARAMETER = re.compile(r"(://[^:/@]*):.*@"), re.compile(r"(?i)([?&](?:ssl)?pass(?:word)?=)[^&]*")


def _shown(name: str, value: object) -> str:
    """A value as it may be printed: without the password of a database."""
    if name == "database_url":
        return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", str(value)))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
