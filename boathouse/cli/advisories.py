"""`boathouse advisories refresh|status`: the local copy of known vulnerabilities that `image scan` compares with."""

import argparse
import sys
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from boathouse.cli import Failed
from boathouse.cli.output import plain, print_json, table
from boathouse.images.advisories import database, dumps
from boathouse.settings import Settings, load


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    made = verbs.add_parser("refresh", help="make the copy anew; without --from of the same sources as last time")
    made.add_argument(
        "--from", dest="sources", action="append", default=[], metavar="FILE|DIR|URL",
        help="OSV documents (JSON, or the zip of an ecosystem), or Debian's tracker; repeat it for each source",
    )  # fmt: skip
    verbs.add_parser("status", help="sources, their age, and how much is known of each ecosystem")
    parser.add_argument("--cache", help="the machine's cache")


def run(options: argparse.Namespace) -> int:
    settings = load(vars(options))
    try:
        if options.verb == "refresh":
            status = _refresh(options.sources, settings)
        else:
            with database.Database(database.path(settings.cache)) as found:
                status = found.status()
    except (database.NoAdvisories, dumps.BadDump) as error:
        raise Failed(str(error)) from None
    today = datetime.now(UTC).date()
    if options.output == "json":
        print_json(document(status, today))
        return 0
    rows = [
        (each.place, f"as of {each.as_of}", f"newest {each.newest[:10]}" if each.newest else "", str(each.advisories))
        for each in status.sources
    ]
    rows += [("", name, "", str(count)) for name, count in status.ecosystems]
    print("\n".join(plain(line) for line in table(rows, indent="").splitlines()))
    print(age(status.age_days(today)))
    return 0


def _refresh(sources: list[str], settings: Settings) -> database.Status:
    target = database.path(settings.cache)
    if not sources:
        with database.Database(target) as found:
            sources = [each.place for each in found.status().sources]
    with dumps.opened(sources) as opened:
        return database.refresh(target, opened, lambda line: print(plain(line), file=sys.stderr))


def document(status: database.Status, today: date) -> dict[str, Any]:
    """The state of the copy, for programs."""
    sources = msgspec.to_builtins(status.sources)
    return {
        "made": status.made.isoformat(),
        "age_days": status.age_days(today),
        "stale": status.age_days(today) > database.STALE_DAYS,
        "sources": sources,
        "ecosystems": dict(status.ecosystems),
    }


def age(days: int) -> str:
    """How old the advisories are, and that they are too old."""
    said = f"advisories as of {days} days ago" if days else "advisories as of today"
    if days <= database.STALE_DAYS:
        return said
    return f"warning: {said}, older than {database.STALE_DAYS} days: boathouse advisories refresh"
