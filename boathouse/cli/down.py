"""`boathouse down`: remove what a data directory launched: its clusters end, then nothing of its instance is left."""

import argparse

from boathouse.cli import Failed, progress
from boathouse.cli.output import print_json
from boathouse.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory")
    parser.add_argument("--driver", choices=("engine", "simulated"), help="what its nodes are made of")
    parser.add_argument("--engine", help="a Docker-compatible engine's URL")
    parser.add_argument("--cache", help="the machine's cache")


def run(options: argparse.Namespace) -> int:
    from boathouse import server
    from boathouse.server.down import down

    settings = load(vars(options))
    if not settings.data.exists():
        raise Failed(f"the data directory {settings.data} does not exist; choose another with --data")
    try:
        ended, removed = down(settings, progress.lines())
    except server.StartError as error:
        raise Failed(str(error)) from None
    if options.output == "json":
        print_json({"clusters": ended, "removed": removed})
    else:
        print(f"{len(ended)} clusters ended, {len(removed)} leftovers removed; nothing of {settings.data} runs any more")
    return 0
