"""`boathouse unlock`: switch all IP access lists off, when they shut out everybody. Works on the data directory, with or without
a running server, which lets calls in again within a second; the lists stay and can be switched on again."""

import argparse

from boathouse.cli.output import print_json
from boathouse.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory")


def run(options: argparse.Namespace) -> int:
    from boathouse import server
    from boathouse.cli import Failed

    try:
        with server.opened(load({"data": options.data})) as parts:
            parts.unlock()
    except server.StartError as error:
        raise Failed(str(error)) from None
    print_json({}) if options.output == "json" else print("IP access lists are switched off.")
    return 0
