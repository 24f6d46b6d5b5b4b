"""`boathouse track create|get|list|update|delete`: the image tracks of a workspace, by the API."""

import argparse
from typing import Any
from urllib.parse import quote

from boathouse.cli import Failed, connection
from boathouse.cli.output import moment, plain, print_json, table

ROOT = "/api/2.0/boathouse/tracks"


def arguments(parser: argparse.ArgumentParser) -> None:
    connection.arguments(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("list", help="all tracks of the workspace")
    for name, line in (
        ("create", "make a track; it names no image until a roll-out has passed"),
        ("get", "what a track names, and what it has named"),
        ("update", "change a track's comment, or the login of its registry"),
        ("delete", "remove a track that no cluster follows"),
    ):
        made = verbs.add_parser(name, help=line)
        made.add_argument("track", metavar="TRACK", help="such as track://etl/python:stable")
        if name in ("create", "update"):
            made.add_argument("--comment")
            made.add_argument("--username", help="of the registry of its images")
            made.add_argument("--password", metavar="REFERENCE", help="a secret: {{secrets/SCOPE/KEY}}")
        if name == "update":
            made.add_argument("--no-login", action="store_true", help="take the login of its registry away")


def run(options: argparse.Namespace) -> int:
    server = connection.connect(options)
    if options.verb == "list":
        found = server.get(f"{ROOT}/list")
        if options.output == "json":
            print_json(found)
        else:
            rows = [
                (one["track"], one.get("image", "names no image yet"), f"{one['followers']} clusters") for one in found["tracks"]
            ]
            print(table(rows, indent="") or "there are no tracks")
        return 0
    if options.verb == "get":
        found = server.get(f"{ROOT}/get?track={quote(options.track, safe='')}")
    else:
        found = server.ask("POST", f"{ROOT}/{options.verb}", _body(options))
    if options.output == "json":
        print_json(found)
    elif options.verb != "delete":
        print(plain(text(found)))
    return 0


def _body(options: argparse.Namespace) -> dict[str, Any]:
    body: dict[str, Any] = {"track": options.track}
    if options.verb == "delete":
        return body
    if options.comment is not None:
        body["comment"] = options.comment
    if options.verb == "update" and options.no_login:
        if options.username or options.password:
            raise Failed("--no-login: it takes the login away; leave --username and --password out")
        body["login"] = None
    elif options.username or options.password:
        body["login"] = {"username": options.username or "", "password": options.password or ""}
    return body


def text(track: dict[str, Any]) -> str:
    """A track as a person reads it."""
    lines = [f"{track['track']} names {track.get('image', 'no image yet: no roll-out has passed')}"]
    lines.append(f"  {track['followers']} clusters follow it" + (f"; {track['comment']}" if track.get("comment") else ""))
    rows = [(moment(one["at"]), one["reason"], one["image"], one["rollout_id"], one["by"]) for one in track.get("changes", ())]
    return "\n".join([*lines, *([table(rows)] if rows else [])])
