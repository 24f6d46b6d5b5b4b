"""`boathouse rollout create|get|list|approve|cancel|trigger|...`: new images for who follows a track, by the API.

Exit codes: 0 done, 1 refused or failed (with --wait: also a roll-out that did not succeed), 2 wrong usage.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from boathouse.cli import Failed, connection
from boathouse.cli.output import moment, plain, print_json, seconds, table

ROOT, TRIGGERS = "/api/2.0/boathouse/rollouts", "/api/2.0/boathouse/rollout-triggers"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "ROLLED_BACK")
LEVELS = ("critical", "high", "medium", "unknown", "low", "negligible")
#: Seconds between two looks at a roll-out that is waited for.
PAUSE = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    connection.arguments(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    made = verbs.add_parser("create", help="start a roll-out")
    made.add_argument("track", metavar="TRACK", help="such as track://etl/python:stable")
    _asked(made)
    made.add_argument("--wait", action="store_true", help="stay until it has ended, or waits for an approval")
    for name, line in (("get", "a roll-out: its steps, its clusters"), ("wait", "stay until a roll-out has ended")):
        verbs.add_parser(name, help=line).add_argument("id", metavar="ID")
    listed = verbs.add_parser("list", help="the latest roll-outs, the newest first")
    listed.add_argument("track", metavar="TRACK", nargs="?", help="of this track only")
    for name, line in (("approve", "let it be promoted"), ("cancel", "end it; after its promotion everything goes back")):
        decided = verbs.add_parser(name, help=line)
        decided.add_argument("id", metavar="ID")
        decided.add_argument("--comment", default="")
    trigger = verbs.add_parser("trigger", help="start roll-outs of a track by themselves")
    trigger.add_argument("track", metavar="TRACK")
    when = trigger.add_mutually_exclusive_group(required=True)
    when.add_argument("--schedule", metavar="CRON", help="such as '0 3 * * MON-FRI'")
    when.add_argument("--base", metavar="REF", help="whenever this reference has another digest")
    when.add_argument("--advisories", choices=LEVELS, help="whenever such a vulnerability of its image becomes known")
    trigger.add_argument("--timezone", help="of the schedule; default: UTC")
    _asked(trigger)
    triggers = verbs.add_parser("triggers", help="what starts roll-outs by itself")
    triggers.add_argument("track", metavar="TRACK", nargs="?")
    for name, line in (("fire", "have a trigger's roll-out begin"), ("untrigger", "remove a trigger")):
        verbs.add_parser(name, help=line).add_argument("id", metavar="ID")


#: What options of a request mean that are not given; beside --file none of them may be.
DEFAULTS: dict[str, Any] = {
    "target": None, "push_username": None, "push_password": None, "runtime": "17.3.x-scala2.13", "node_type": None,
    "workspace": None, "tried": None, "language": "python", "scan": None, "sign": None, "sign_passphrase": None,
    "approval": "NONE", "waves": "10,50,100", "idle_minutes": 10, "soak_minutes": 0, "max_failed_percent": 0,
    "patience_minutes": 1440, "window": None, "window_days": None, "window_timezone": None, "canary_minutes": 60,
    "dockerfile": None, "build_arg": None, "allow_uncovered": None,
}  # fmt: skip


def _asked(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="REF", help="the new image")
    what.add_argument("--source", metavar="PATH", help="build it: a folder or an archive in the platform's files")
    what.add_argument("--file", metavar="FILE", help="the whole request (JSON); - for standard input")
    parser.add_argument("--target", metavar="REF", help="with --source: where the image is pushed")
    parser.add_argument("--dockerfile", metavar="PATH", help="with --source: in the folder; default: Dockerfile")
    parser.add_argument(
        "--build-arg", action="append", metavar="NAME=VALUE", help="with --source: repeatable; {{secrets/SCOPE/KEY}} for a secret"
    )
    parser.add_argument("--push-username", help="of who may push there, and its signatures")
    parser.add_argument("--push-password", metavar="REFERENCE", help="a secret: {{secrets/SCOPE/KEY}}")
    parser.add_argument("--runtime", help="of the canary; default: 17.3.x-scala2.13")
    parser.add_argument("--node-type", help="of the canary, such as m5.large")
    parser.add_argument("--workspace", type=int, metavar="ID", help="of the canary; default: that of the track")
    parser.add_argument(
        "--command", dest="tried", metavar="TEXT", help="what has to succeed on the canary; @FILE reads it from a file"
    )
    parser.add_argument("--canary-minutes", type=int, help="how long the canary may take; default: 60")
    parser.add_argument("--language", choices=("python", "sql", "scala", "r"), help="of the command; default: python")
    parser.add_argument("--scan", choices=LEVELS, metavar="LEVEL", help="end it for such a known vulnerability, or a worse one")
    parser.add_argument(
        "--allow-uncovered",
        action="append",
        metavar="ECOSYSTEM",
        help="with --scan: nothing need be known of it, such as npm; repeatable",
    )
    parser.add_argument("--sign", metavar="REFERENCE", help="sign the digest with this key, a secret: {{secrets/SCOPE/KEY}}")
    parser.add_argument("--sign-passphrase", metavar="REFERENCE", help="of the key, a secret")
    parser.add_argument("--approval", choices=("NONE", "ADMIN", "OTHER_ADMIN"), help="default: NONE")
    parser.add_argument("--waves", metavar="PERCENTS", help="default: 10,50,100")
    parser.add_argument("--idle-minutes", type=int, help="how long a cluster must have been idle; default: 10")
    parser.add_argument("--soak-minutes", type=int, help="how long a wave is watched; default: 0")
    parser.add_argument("--patience-minutes", type=int, help="who had no moment in so long keeps its image; default: 1440")
    parser.add_argument("--window", metavar="HH:MM-HH:MM", help="restart only then, such as 22:00-06:00; default: at any time")
    parser.add_argument("--window-days", metavar="DAYS", help="of --window, such as MON,TUE; default: all")
    parser.add_argument("--window-timezone", metavar="ZONE", help="of --window, such as Europe/Vienna; default: UTC")
    parser.add_argument("--max-failed-percent", type=int, help="with more failures everything goes back; default: 0")


def spec(options: argparse.Namespace) -> dict[str, Any]:
    """The request that the options mean. Raises Failed."""
    _fit(options)
    if options.file:
        try:
            return json.loads(sys.stdin.read() if options.file == "-" else Path(options.file).read_text())
        except (OSError, ValueError) as error:
            raise Failed(f"--file {options.file}: {error}") from None
    meant = {name: value for name, value in DEFAULTS.items() if getattr(options, name) is None}
    options = argparse.Namespace(**{**vars(options), **meant})
    if not options.node_type:
        raise Failed("--node-type: the canary needs one, such as m5.large")
    cluster = {"spark_version": options.runtime, "node_type_id": options.node_type, "num_workers": 0}
    canary: dict[str, Any] = {"cluster": cluster, "language": options.language, "timeout_minutes": options.canary_minutes}
    if options.tried:
        canary["command"] = _command(options.tried)
    if options.workspace:
        canary["workspace_id"] = options.workspace
    login = {"username": options.push_username, "password": options.push_password} if options.push_username else None
    made: dict[str, Any] = {"canary": canary, "approval": options.approval, "restart": _restart(options)}
    if options.image:
        made["image"] = options.image
    else:
        if not options.target:
            raise Failed("--target: where the image that is built of --source is pushed, a reference with a tag")
        beside = {"login": login, "dockerfile": options.dockerfile, "build_args": _build_args(options.build_arg)}
        source = {"path": options.source, "target": options.target}
        made["source"] = source | {name: value for name, value in beside.items() if value}
    if options.scan:
        made["scan"] = {"fail_on": options.scan} | (
            {"allow_uncovered": options.allow_uncovered} if options.allow_uncovered else {}
        )
    if options.sign:
        passphrase = {"passphrase": options.sign_passphrase} if options.sign_passphrase else {}
        made["sign"] = {"key": options.sign} | passphrase | ({"login": login} if login else {})
    return made


def _fit(options: argparse.Namespace) -> None:
    """Refuse options that mean nothing beside the others. Raises Failed."""
    for name in DEFAULTS if options.file else ():
        if getattr(options, name) is not None:
            option = "command" if name == "tried" else name.replace("_", "-")
            raise Failed(f"--{option}: the request in --file says it; leave it out")
    if options.image and options.target:
        raise Failed("--target: nothing is built of --image; leave it out, or give --source")
    for name in ("dockerfile", "build_arg"):
        if options.image and getattr(options, name):
            raise Failed(f"--{name.replace('_', '-')}: nothing is built of --image; leave it out, or give --source")
    if options.allow_uncovered and not options.scan:
        raise Failed("--allow-uncovered: nothing is scanned; give --scan, or leave it out")
    for name in ("window_days", "window_timezone"):
        if getattr(options, name) and not options.window:
            raise Failed(f"--{name.replace('_', '-')}: it is of --window; give that too, or leave it out")
    if bool(options.push_username) != bool(options.push_password):
        raise Failed("--push-username, --push-password: give both, or none")
    if options.push_username and not (options.source or options.sign):
        raise Failed("--push-username: nothing is pushed; give --source or --sign, or leave it out")
    if options.sign_passphrase and not options.sign:
        raise Failed("--sign-passphrase: nothing is signed; give --sign, or leave it out")


def _command(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"--command {text}: {error}") from None


def _build_args(given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    wrong = next((name for name, equals, _ in pairs if not name or not equals), None)
    if wrong is not None:
        raise Failed(f"--build-arg {wrong}: give NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _window(options: argparse.Namespace) -> dict[str, Any]:
    start, dash, end = options.window.partition("-")
    if not dash:
        raise Failed(f"--window {options.window}: give two times of the day, such as 22:00-06:00")
    days = {"days": options.window_days.upper().split(",")} if options.window_days else {}
    return {"start": start, "end": end} | days | ({"timezone": options.window_timezone} if options.window_timezone else {})


def _restart(options: argparse.Namespace) -> dict[str, Any]:
    try:
        percents = [int(part) for part in options.waves.split(",")]
    except ValueError:
        raise Failed(f"--waves {options.waves}: give percents that grow to 100, such as 10,50,100") from None
    return {
        "waves": percents, "idle_minutes": options.idle_minutes, "soak_minutes": options.soak_minutes,
        "max_failed_percent": options.max_failed_percent, "patience_minutes": options.patience_minutes,
    } | ({"window": _window(options)} if options.window else {})  # fmt: skip


def run(options: argparse.Namespace) -> int:
    server = connection.connect(options)
    match options.verb:
        case "create":
            found = server.ask("POST", f"{ROOT}/create", {**spec(options), "track": options.track})
            return _waited(server, options, found) if options.wait else _printed(options, found)
        case "wait":
            return _waited(server, options, _get(server, options.id))
        case "get":
            return _printed(options, _get(server, options.id))
        case "approve" | "cancel":
            body = {"rollout_id": options.id, "comment": options.comment}
            return _printed(options, server.ask("POST", f"{ROOT}/{options.verb}", body))
        case "list":
            return _listed(options, server.get(f"{ROOT}/list{_of(options.track)}"), "rollouts", _line)
        case "trigger":
            if options.timezone and not options.schedule:
                raise Failed("--timezone: it is of --schedule; leave it out")
            when: dict[str, Any] = {"timezone": options.timezone} if options.timezone else {}
            named = {"schedule": options.schedule, "base": options.base, "advisories": options.advisories}
            when |= {name: value for name, value in named.items() if value is not None}
            made = server.ask("POST", f"{TRIGGERS}/create", {"track": options.track, "when": when, "rollout": spec(options)})
            return _listed(options, {"triggers": [made]}, "triggers", _trigger)
        case "triggers":
            return _listed(options, server.get(f"{TRIGGERS}/list{_of(options.track)}"), "triggers", _trigger)
        case "fire":
            made = server.ask("POST", f"{TRIGGERS}/fire", {"trigger_id": options.id})
            return _listed(options, {"triggers": [made]}, "triggers", _trigger)
        case _:
            server.ask("POST", f"{TRIGGERS}/delete", {"trigger_id": options.id})
            print_json({"removed": options.id}) if options.output == "json" else print(f"{options.id} is removed")
            return 0


def _get(server: connection.Connection, rollout_id: str) -> Any:
    return server.get(f"{ROOT}/get?rollout_id={quote(rollout_id, safe='')}")


def _of(track: str | None) -> str:
    return f"?track={quote(track, safe='')}" if track else ""


def _waited(server: connection.Connection, options: argparse.Namespace, found: dict[str, Any]) -> int:
    """Tell each new state until the end, or until somebody has to approve."""
    told = ""
    while True:
        if found["state"] != told and options.output != "json":
            print(plain(f"{found['rollout_id']} is {found['state']}" + (f": {found['message']}" if found.get("message") else "")))
        told = found["state"]
        if told in ENDED or told == "APPROVAL":
            _printed(options, found)
            return 1 if told in ENDED[1:] else 0
        time.sleep(PAUSE)
        found = _get(server, found["rollout_id"])


def _printed(options: argparse.Namespace, found: dict[str, Any]) -> int:
    if options.output == "json":
        print_json(found)
    else:
        print(plain(text(found)))
    return 0


def text(found: dict[str, Any]) -> str:
    """A roll-out as a person reads it."""
    message = f": {found['message']}" if found.get("message") else ""
    lines = [f"{found['rollout_id']} of {found['track']} is {found['state']}{message}"]
    lines.append(f"  {found.get('image', 'its image is not built yet')}, by {found['owner']} at {moment(found['created_at'])}")
    for what in ("approved", "cancelled"):
        if what in found:
            said = f": {found[what]['comment']}" if found[what].get("comment") else ""
            lines.append(f"  {what} by {found[what]['by']} at {moment(found[what]['at'])}{said}")
    rows = []
    for step in found.get("steps", ()):
        mark = {"failed": "✗", "ok": "✓", "skipped": "-"}.get(step["outcome"], "…")
        lasted = seconds(step["duration_ms"]) if "duration_ms" in step else ""
        details = step["details"]
        told = next((str(details[name]) for name in ("message", "waiting", "digest", "reference") if details.get(name)), "")
        rows.append((moment(step["started"]), lasted, mark, step["step"], told))
    clusters = [
        (one["cluster_id"], f"wave {one['wave']}", one["state"], one.get("message", "")) for one in found.get("clusters", ())
    ]
    return "\n".join([*lines, *([table(rows)] if rows else []), *([table(clusters)] if clusters else [])])


def _listed(options: argparse.Namespace, found: dict[str, Any], name: str, line: Any) -> int:
    if options.output == "json":
        print_json(found)
    else:
        print(table([line(one) for one in found[name]], indent="") or f"there are no {name}")
    return 0


def _line(one: dict[str, Any]) -> tuple[str, ...]:
    return one["rollout_id"], one["track"], one["state"], one.get("image", ""), moment(one["created_at"]), one["owner"]


def _trigger(one: dict[str, Any]) -> tuple[str, ...]:
    when = one["when"]
    what = next(f"{name} {when[name]}" for name in ("schedule", "base", "advisories") if name in when)
    told = one.get("waiting") or one.get("message", "")
    following = f"next {moment(one['next_at'])}" if "next_at" in one else ""
    return one["trigger_id"], one["track"], what, following, one.get("last_rollout_id", ""), told
