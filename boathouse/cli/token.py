"""`boathouse token show|rotate`: the bootstrap admin's token. Works on the data directory, with or without a running server."""

import argparse

from boathouse.cli.output import print_json
from boathouse.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "rotate"))
    parser.add_argument("--data", help="the data directory")


def run(options: argparse.Namespace) -> int:
    from boathouse import server

    with server.opened(load({"data": options.data})) as parts:
        token = parts.rotate_token() if options.action == "rotate" else parts.ready.token
    print_json({"token": token}) if options.output == "json" else print(token)
    return 0
