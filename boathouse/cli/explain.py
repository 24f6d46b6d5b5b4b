"""`boathouse explain CODE`: what a termination code means, why it happens, what to do. Needs no server."""

import argparse

import msgspec

from boathouse.cli import Failed
from boathouse.cli.output import print_json, table
from boathouse.compute.terminations import CATALOGUE


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="a code such as DOCKER_IMAGE_PULL_FAILURE; without one, all are listed")


def run(options: argparse.Namespace) -> int:
    if options.code is None:
        entries = list(CATALOGUE.values())
        if options.output == "json":
            print_json([msgspec.structs.asdict(entry) for entry in entries])
        else:
            print(table([(entry.code, entry.type, entry.meaning) for entry in entries], indent=""))
        return 0
    entry = CATALOGUE.get(options.code.upper())
    if entry is None:
        raise Failed(f"'{options.code}' is not a code that Boathouse gives; `boathouse explain` lists them all")
    if options.output == "json":
        print_json(msgspec.structs.asdict(entry))
        return 0
    print(f"{entry.code} ({entry.type})\n{entry.meaning}\n\nIt happens when")
    for cause in entry.causes:
        print(f"  - {cause}")
    print(f"\nWhat to do\n  {entry.fix}")
    return 0
