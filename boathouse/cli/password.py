"""`boathouse password USER [--link]`: local passwords for the log-in page. Works on the data directory, with or without a running
server; the new password is read from the terminal or, by a program, from standard input."""

import argparse
import getpass
import json
import sys

from boathouse.cli.output import print_json
from boathouse.settings import Settings, load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="the user's name")
    parser.add_argument("--link", action="store_true", help="print a one-time link by which the user sets the password")
    parser.add_argument("--host", help="with --link: the server's URL; without it, that of the running server")
    parser.add_argument("--data", help="the data directory")


def run(options: argparse.Namespace) -> int:
    from boathouse import server
    from boathouse.cli import Failed
    from boathouse.edge.errors import ApiError

    settings = load({"data": options.data})
    host = (options.host or _running(settings)) if options.link else ""
    password = "" if options.link else _asked(options.user)
    try:
        with server.opened(settings) as parts:
            if options.link:
                url = f"{host.rstrip('/')}/login/link/{parts.make_login_link(options.user)}"
                print_json({"url": url}) if options.output == "json" else print(url)
            else:
                parts.set_password(options.user, password)
                print_json({}) if options.output == "json" else print(f"The password of {options.user} is set.")
    except (server.StartError, ApiError) as error:
        raise Failed(str(error)) from None
    return 0


def _running(settings: Settings) -> str:
    try:
        return json.loads((settings.data / "ready.json").read_text())["host"]
    except (OSError, ValueError, KeyError):
        return f"http://{settings.host}:{settings.port}"


def _asked(user: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    from boathouse.cli import Failed

    first = getpass.getpass(f"New password of {user}: ")
    if getpass.getpass("The same again: ") != first:
        raise Failed("the two passwords differ")
    return first
