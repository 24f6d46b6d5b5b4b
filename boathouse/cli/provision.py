"""`boathouse provision plan|apply|status|undo FILE`: people and what they need, from one file, by the public API.

Works against this server and against Databricks: without `--host` and `--token` it looks where every command looks, and then
lets the SDK find its credentials (profiles, OAuth, Azure service principals).
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boathouse.cli import Failed, connection
from boathouse.cli.output import plain, print_json, table

if TYPE_CHECKING:
    from boathouse.provision.api import Place
    from boathouse.provision.diff import Action
    from boathouse.provision.runner import Outcome
    from boathouse.provision.session import Session

#: Lines of a plan, and of failures, that are shown unless all are asked for.
SHOWN = 40

#: Kinds whose line says all of them.
_SAID = frozenset({"member", "grant", "permission", "launch", "stop"})

_MARK = {"create": "+", "change": "~", "nothing": "="}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("plan", "apply", "status", "undo"))
    parser.add_argument("file", type=Path, help="the fleet file (YAML)")
    connection.arguments(parser)
    parser.add_argument("--threads", type=_count, default=8, help="calls at once (default 8)")
    parser.add_argument("--start", choices=("none", "stagger", "all"), help="what becomes of new clusters; default: the file's")
    parser.add_argument("--wave", type=_count, help="clusters that may be starting at once with --start stagger")
    parser.add_argument("--then", choices=("leave", "stop"), help="started clusters: left to idleness, or stopped")
    parser.add_argument("--refresh", action="store_true", help="ask for each grant and permission; do not believe the journal")
    parser.add_argument("--all", action="store_true", help=f"show every line of a plan, not the first {SHOWN} of a kind")
    parser.add_argument("--report", type=Path, help="where to write the report (default: beside the file)")
    parser.add_argument("--person", action="append", default=[], metavar="USER", help="undo: only what was made for this person")
    parser.add_argument("--force", action="store_true", help="undo: schemas and catalogs with what is in them")
    parser.add_argument("--yes", action="store_true", help="undo: do not ask")


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to 256")
    return number


def run(options: argparse.Namespace) -> int:
    from boathouse.provision.api import Refused
    from boathouse.provision.problems import FleetError
    from boathouse.provision.session import Session

    try:
        session = Session.read(options.file, options.threads, clusters=options.start, wave=options.wave, then=options.then)
        place = _place(session, options)
        return {"plan": _plan, "apply": _apply, "status": _status, "undo": _undo}[options.action](session, place, options)
    except FleetError as error:
        if options.output == "json":
            print_json({"problems": [{"where": each.where, "what": each.what} for each in error.problems]})
            return 1
        named = "\n".join(f"  {each}" for each in error.problems)
        raise Failed(f"{options.file} cannot be used; nothing was started:\n{named}") from None
    except Refused as error:
        raise Failed(str(error)) from None


def _place(session: "Session", options: argparse.Namespace) -> "Place":
    from boathouse.provision import connect

    host = token = None
    try:
        found = connection.connect(options)
        host, token = found.host, found.token
    except Failed:
        if options.host or options.token:
            raise  # otherwise the SDK may know more ways: a profile, OAuth, Azure
    return connect.place(session.fleet, host, token, options.threads, session.pace)


def _plan(session: "Session", place: "Place", options: argparse.Namespace) -> int:
    with session.journal(place, writing=False) as journal:
        planned = session.plan(session.look(place, journal, options.refresh), journal)
        gone, unwanted = session.gone(journal), session.unwanted(journal)
    if options.output == "json":
        print_json(_plan_document(session, planned, gone, unwanted))
    else:
        print(plan_text(session, planned, gone, unwanted, everything=options.all))
    return 0


def _plan_document(session: "Session", planned: "list[Action]", gone: list[str], unwanted: list[str]) -> dict[str, Any]:
    from boathouse.provision.diff import CREATE, NOTHING, counts

    changes = [
        {
            "what": action.what, "kind": action.wish.kind, "key": action.wish.key, "person": action.wish.person or None,
            "changes": {name: {"is": a, "shall_be": b} for name, (a, b) in action.changes.items()},
            **({"fields": action.wish.fields} if action.what == CREATE else {}),
        }
        for action in planned
        if action.what != NOTHING
    ]  # fmt: skip
    return {
        "fleet": session.fleet.fleet, "people": len(session.people), "counts": counts(planned), "actions": changes,
        "no_longer_in_the_file": gone, "no_longer_wanted": unwanted,
    }  # fmt: skip


def plan_text(session: "Session", planned: "list[Action]", gone: list[str], unwanted: list[str], everything: bool = False) -> str:
    """A plan as a person reads it: what is new and how it will be, what changes and how, and a count of the rest."""
    from boathouse.provision.diff import CHANGE, CREATE, NOTHING, counts

    lines: list[str] = []
    shown: Counter[tuple[str, str]] = Counter()
    for action in planned:
        if action.what == NOTHING:
            continue
        shown[action.what, action.wish.kind] += 1
        if shown[action.what, action.wish.kind] > SHOWN and not everything:
            continue
        lines.append(f"  {_MARK[action.what]} {_line(action)}")
        if action.what == CREATE and action.wish.kind not in _SAID:
            lines += [f"      {name}: {_short(value)}" for name, value in action.wish.fields.items() if value not in ("", [], {})]
        for name, (is_now, shall_be) in action.changes.items():
            lines.append(f"      {name}: {_short(is_now)} -> {_short(shall_be)}")
    for (what, kind), number in shown.items():
        if number > SHOWN and not everything:
            lines.append(f"  {_MARK[what]} ... and {number - SHOWN} more: {kind} (--all shows them)")
    numbers = counts(planned)
    total = {what: sum(row[what] for row in numbers.values()) for what in (CREATE, CHANGE, NOTHING)}
    rows = [("", "new", "changed", "as wanted"), *((kind, *row.values()) for kind, row in numbers.items())]
    lines += ["", table(rows), ""]
    if gone:
        names = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        lines.append(f"No longer in the file: {names}. What was made for them stays; `undo --person USER` takes it back.")
    lines += _no_longer_wanted(unwanted, everything)
    people = f"{len(session.people)} {'person' if len(session.people) == 1 else 'people'}"
    lines.append(f"Plan for {people}: {total[CREATE]} to make, {total[CHANGE]} to change, {total[NOTHING]} as wanted.")
    return plain("\n".join(lines))


def _no_longer_wanted(unwanted: list[str], everything: bool = False) -> list[str]:
    """What the journal knows of and the file has no more, as lines."""
    shown = unwanted if everything else unwanted[:SHOWN]
    more = [f"  ... and {len(unwanted) - len(shown)} more (--output json has all)"] if len(unwanted) > len(shown) else []
    return ["No longer wanted; `undo` takes them back with the rest:", *(f"  {id}" for id in shown), *more] if unwanted else []


def _line(action: "Action") -> str:
    wish = action.wish
    match wish.kind:
        case "grant":
            return f"grant {', '.join(wish.fields['privileges'])} on {wish.key}"
        case "permission":
            return f"permission {wish.fields['level']} on {wish.key}"
        case "launch":
            return f"start cluster {wish.key}"
        case "stop":
            return f"stop cluster {wish.key}"
    return wish.id


def _short(value: Any) -> str:
    text = "nothing" if value in (None, "", [], {}) else str(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _apply(session: "Session", place: "Place", options: argparse.Namespace) -> int:
    from boathouse.cli.provision_progress import Progress
    from boathouse.provision import report
    from boathouse.provision.diff import NOTHING
    from boathouse.provision.runner import DONE

    if options.report and not options.report.parent.is_dir():  # before the first call: afterwards the report would be lost
        raise Failed(f"--report {options.report}: {options.report.parent} is not a directory; nothing was started")
    started = time.monotonic()
    with session.journal(place, writing=True) as journal:
        things = session.look(place, journal, options.refresh)
        planned = session.plan(things, journal)
        todo = sum(action.what != NOTHING for action in planned)
        with Progress(todo, quiet=options.output == "json") as progress:
            outcomes = session.apply(place, journal, things, planned, progress.say)
        rows = report.rows(session.people, session.wanted, journal.records, outcomes)
        gone = session.gone(journal)
    took = time.monotonic() - started
    base = options.report or session.file.with_suffix(".report")
    files = [base.with_suffix(base.suffix + end) for end in (".csv", ".html")] if todo or options.report else []
    for file, text in zip(files, (report.as_csv(rows), report.as_html(session.fleet.fleet, place.host, rows)), strict=False):
        file.write_text(text, encoding="utf-8", newline="")
        file.chmod(0o600)
    failed = [outcome for outcome in outcomes if outcome.end != DONE]
    ready = sum(row.state == "ready" for row in rows)
    if options.output == "json":
        print_json({
            "fleet": session.fleet.fleet, "people": len(rows), "ready": ready, "done": len(outcomes) - len(failed),
            "as_wanted": len(planned) - todo, "seconds": round(took, 3), "throttled": session.pace.waits,
            "failed": [{"id": each.action.id, "person": each.action.wish.person or None, "end": each.end, "message": each.message}
                       for each in failed],
            "no_longer_in_the_file": gone, "report": [str(file) for file in files],
        })  # fmt: skip
        return 1 if failed else 0
    done = len(outcomes) - len(failed)
    took_text = f"in {took:.1f} s ({done / took:.0f}/s)"
    print(f"{ready} of {len(rows)} people are ready: {done} done, {len(planned) - todo} were as wanted, {took_text}")
    if session.pace.waits:
        print(f"the server asked to wait {session.pace.waits} times")
    _failures(failed)
    for file in files:
        print(f"report: {file}")
    return 1 if failed else 0


def _failures(failed: "list[Outcome]") -> None:
    if not failed:
        return
    first = [each for each in failed if each.end == "failed"]
    print(f"\n{len(first)} failed, and {len(failed) - len(first)} that need them were not begun:")
    print(table([(each.action.wish.person or "-", each.action.id, each.message[:200]) for each in first[:SHOWN]]))
    if len(first) > SHOWN:
        print(f"  ... and {len(first) - SHOWN} more (--output json has all)")
    print("Run it again when the cause is mended: it goes on where it is.")


def _status(session: "Session", place: "Place", options: argparse.Namespace) -> int:
    from boathouse.provision.diff import counts

    with session.journal(place, writing=False) as journal:
        things = session.look(place, journal, options.refresh)
        planned = session.plan(things, journal)
        made = Counter(id.split(" ", 1)[0] for id, record in journal.records.items() if record.made)
        unfinished = sorted(id for id, record in journal.records.items() if record.open)
        gone, unwanted = session.gone(journal), session.unwanted(journal)
    wanted = {f"cluster {wish.key}" for wish in session.wanted if wish.kind == "cluster"}
    states = Counter(str(thing.shown.get("state")) for id, thing in things.items() if id in wanted)
    numbers = counts(planned)
    if options.output == "json":
        print_json({
            "fleet": session.fleet.fleet, "people": len(session.people), "counts": numbers, "made_here": dict(made),
            "cluster_states": dict(states), "unfinished": unfinished, "no_longer_in_the_file": gone,
            "no_longer_wanted": unwanted,
        })  # fmt: skip
        return 0
    rows: list[tuple[Any, ...]] = [("", "wanted", "as wanted", "missing", "different", "made here")]
    for kind, row in numbers.items():
        rows.append((kind, sum(row.values()), row["nothing"], row["create"], row["change"], made.get(kind, 0)))
    print(table(rows))
    if states:
        print("clusters: " + ", ".join(f"{number} {state}" for state, number in sorted(states.items())))
    if unfinished:
        print(f"{len(unfinished)} were under way when the last run ended: `apply` finishes them")
    if gone:
        print(f"{len(gone)} people are no longer in the file")
    for line in _no_longer_wanted(unwanted):
        print(plain(line))
    return 0


def _undo(session: "Session", place: "Place", options: argparse.Namespace) -> int:
    from boathouse.cli.provision_progress import Progress
    from boathouse.provision import undo

    persons = frozenset(name.lower() for name in options.person)
    with session.journal(place, writing=True) as journal:
        nobody = sorted(persons - {journal.whose.get(id, "") for id in journal.records})
        if nobody:
            raise Failed(f"--person {nobody[0]}: {journal.path} knows of nothing that was made for them; nothing was taken back")
        todo = session.undo_steps(place, journal, persons)
        effects = [step for step in todo if step.what != undo.FORGET]
        numbers = Counter((step.what, step.kind) for step in effects)
        if not options.yes and effects and options.output != "json":
            for (what, kind), number in sorted(numbers.items()):
                print(f"  - {what} {number} x {kind}")
            if not sys.stdin.isatty():
                raise Failed("say --yes to take this back")
            if input("Take all this back? Only `yes` does it: ").strip() != "yes":
                return 1
        with Progress(len(todo), quiet=options.output == "json") as progress:
            say = lambda step, message: progress.step(bool(message), step.kind)  # noqa: E731
            ended = undo.run(place, journal, todo, threads=options.threads, force=options.force, say=say)
    failed = [(step, message) for step, message in ended if message]
    if options.output == "json":
        taken = Counter(f"{step.what} {step.kind}" for step, message in ended if not message and step.what != undo.FORGET)
        print_json({"taken_back": dict(taken), "failed": [{"id": step.id, "message": message} for step, message in failed]})
        return 1 if failed else 0
    print(f"taken back: {len(effects) - len(failed)} of {len(effects)}")
    if failed:
        print(table([(step.id, message[:200]) for step, message in failed[:SHOWN]]))
    return 1 if failed else 0
