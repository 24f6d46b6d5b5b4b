"""`boathouse up`: everything in one process, in the foreground."""

import argparse
import gc
from pathlib import Path

from boathouse.cli import Failed
from boathouse.settings import FIELDS, load

_FLAGS = {"host": "HOST", "port": "PORT", "data": "DIR", "driver": "NAME", "cache": "DIR"}


def arguments(parser: argparse.ArgumentParser) -> None:
    for name, field in FIELDS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=name, metavar=_FLAGS.get(name, "VALUE"), choices=field.allowed or None, help=field.help)
    parser.add_argument("--ready-file", metavar="FILE", help="written, 0600 and whole, when calls are answered")


def run(options: argparse.Namespace) -> int:
    # What is imported and built until calls are answered stays for good: the collector would walk it dozens of times, an eighth
    # of the whole start. `server.up` switches it on again, and has it leave alone what is there by then.
    gc.disable()
    from boathouse import server

    settings = load(vars(options))
    try:
        return server.up(settings, Path(options.ready_file) if options.ready_file else None, quiet=options.output == "json")
    except server.StartError as error:
        raise Failed(str(error)) from None
