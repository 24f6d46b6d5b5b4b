"""`boathouse image scan`: the known vulnerabilities of what is installed in an image, by the advisories of this machine.

Exit codes: 0 fine, 1 it could not be done, 3 `--fail-on` refuses (also an image of which not everything can be read, or of whose
packages nothing is known).
"""

import argparse
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from boathouse.cli import Failed, image_sources, scan_report
from boathouse.cli.advisories import age, document
from boathouse.cli.output import print_json
from boathouse.images import packages
from boathouse.images.advisories import database, ignores, origin, scan
from boathouse.images.advisories.model import Level
from boathouse.images.archive_view import UnreadableArchive
from boathouse.images.trust import decisions as asked
from boathouse.settings import Settings

REFUSED = 3
LEVELS = [level.word for level in Level if level is not Level.NONE]


def arguments(verbs: Any, source: str) -> None:
    """The verb of this module."""
    made = verbs.add_parser("scan", help="known vulnerabilities, what mends them, whether they are the base's or yours")
    made.add_argument("what", metavar="REF|TAR|DIR", help=source)
    made.add_argument("--fail-on", choices=LEVELS, help=f"exit {REFUSED} when something is as bad, or cannot be read")
    made.add_argument("--base", metavar="REF|TAR|DIR", help="the image that this one was made from")
    made.add_argument("--ignore", action="append", default=[], metavar="FILE", help="decisions in YAML or TOML; repeatable")
    made.add_argument("--vex", action="append", default=[], metavar="FILE", help="an OpenVEX or CycloneDX VEX document")
    made.add_argument(
        "--allow-uncovered", action="append", default=[], metavar="ECOSYSTEM",
        help="with --fail-on: pass though no advisories of it are here, such as npm or Debian:12; repeatable",
    )  # fmt: skip
    made.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0, for code scanning")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image scan`."""
    if options.allow_uncovered and not options.fail_on:
        raise Failed("--allow-uncovered: nothing fails without --fail-on; give that too, or leave it out")
    for problem in asked.problems((), options.allow_uncovered, date.min):
        raise Failed(f"--{problem.replace('_', '-')}")
    try:
        decisions = [each for name in (*options.ignore, *options.vex) for each in ignores.read(Path(name))]
        with database.Database(database.path(settings.cache)) as known:
            with image_sources.listed(options.what, settings, packages.READ) as (view, _):
                found, config = packages.inventory(view), view.config
            layers = None
            if options.base:
                with image_sources.opened(options.base, settings) as base:
                    layers = origin.base_layers(config, base.config)
                if layers is None:
                    raise Failed(f"{options.what} is not made of {options.base}: their lowest layers differ")
            today = datetime.now(UTC).date()
            unread = [f"{path}: {reason}" for path, reason in found.reasons]
            result = scan.scan(found.packages, known, decisions, today, layers, unread)
            status = known.status()
    except (database.NoAdvisories, ignores.BadDecisions) as error:
        raise Failed(str(error)) from None
    except UnreadableArchive as error:
        raise Failed(f"{options.what}: {error}") from None
    days = status.age_days(today)
    if options.sarif:
        print_json(scan_report.sarif(options.what, result))
    elif options.output == "json":
        print_json(scan_report.document(options.what, result, document(status, today)))
    else:
        print(scan_report.text(options.what, result, age(days)))
    if options.sarif or options.output == "json":
        print(age(days), file=sys.stderr)
    if layers is None and (named := origin.named(config)):
        print(f"its base is {named}: --base {named} tells what is the base's", file=sys.stderr)
    if not options.fail_on:
        return 0
    beyond = result.uncovered_beyond(options.allow_uncovered)
    if beyond:
        print(
            f"--fail-on refuses: nothing is known of {', '.join(beyond)}; import their advisories (boathouse advisories refresh "
            "--from FILE|DIR|URL), or let each pass by --allow-uncovered",
            file=sys.stderr,
        )
    return REFUSED if beyond or result.at_least(scan.level_of(options.fail_on)) or not result.complete else 0
