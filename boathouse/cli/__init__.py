"""The command line. A command is a module with `arguments(parser)` and `run(options) -> int`, imported when it is called.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Every command takes `--output json`.
"""

import argparse
import sys
from importlib import import_module

from boathouse.settings import SettingError

#: command -> (module, one line of help)
COMMANDS = {
    "up": ("up", "run everything in one process, in the foreground"),
    "down": ("down", "remove what a data directory launched"),
    "doctor": ("doctor", "look for what would keep clusters from starting, with the fix for each"),
    "why": ("why", "the launch of a cluster as a timeline, and why it failed"),
    "logs": ("logs", "the logs of a cluster, also as they grow"),
    "top": ("top", "a live picture of clusters, nodes, Spark's tasks and commands"),
    "explain": ("explain", "what a termination code means, and what to do"),
    "policies": ("policies", "what a cluster policy makes of a wish for a cluster, rule by rule"),
    "image": ("image", "build and check container images"),
    "advisories": ("advisories", "known vulnerabilities that `image scan` compares with: refresh, status"),
    "track": ("track", "names for images that have passed, which clusters follow"),
    "rollout": ("rollout", "try a new image on a canary, and bring it to the clusters that follow a track"),
    "provision": ("provision", "people, schemas, grants, clusters and permissions from one file"),
    "release": ("release", "list, build and patch runtime releases"),
    "engine": ("engine", "the embedded container engine by hand"),
    "settings": ("settings", "every setting, its value and where it comes from"),
    "token": ("token", "the bootstrap admin's token"),
    "unlock": ("unlock", "switch IP access lists off, when they shut out everybody"),
    "password": ("password", "set a user's password for the log-in page, or make a link by which the user does"),
    "setup": ("setup", "build images and releases that are missing (what `make setup` calls)"),
    "compatibility": ("compatibility", "print docs/compatibility.md from the routing table"),
}


class Failed(Exception):
    """A command was refused or failed; the message is all the user sees (exit code 1)."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="boathouse", description="Bring a container image, get a governed Spark cluster, by the Databricks API."
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = argv[0] if argv else ""
    for name, (module, help_line) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=help_line, description=help_line)
        sub.add_argument("--output", choices=("text", "json"), default="text", help="how to print the result")
        if name == named:  # the others are not imported: a command starts in tens of milliseconds
            import_module(f"boathouse.cli.{module}").arguments(sub)
    options = parser.parse_args(argv)
    try:
        return import_module(f"boathouse.cli.{COMMANDS[options.command][0]}").run(options)
    except (Failed, SettingError) as error:
        from boathouse.cli.output import plain

        print(f"boathouse: {plain(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130
