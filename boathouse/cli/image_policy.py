"""`boathouse image policy show|set|check|base|except|unexcept`: what images a workspace's clusters may be made of.

`check` asks the rules that a launch asks, here: of the registry, with this machine's advisories, by the policy of the server or
of a file. Exit codes: 0 done or allowed, 1 refused or failed, 2 wrong usage.
"""

import argparse
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from boathouse.cli import Failed, connection, image_sources
from boathouse.cli.output import plain, print_json, table
from boathouse.dataplane.contract import NodeFailure
from boathouse.images import references
from boathouse.images.failures import ImageFailure
from boathouse.images.trust import policy as rules
from boathouse.settings import Settings
from boathouse.wire.image_policy import ImageException, ImagePolicy, ImagePolicyInForce

ROOT = "/api/2.0/boathouse/image-policy"


def arguments(verbs: Any) -> None:
    """The verbs of this module."""
    parser = verbs.add_parser("policy", help="what images the clusters of a workspace may be made of")
    connection.arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("show", help="the policy of the workspace, and its exceptions")
    put = actions.add_parser("set", help="put a policy in the place of the one before")
    put.add_argument("file", metavar="FILE", help="the whole policy (JSON); - for standard input; {} demands nothing")
    checked = actions.add_parser("check", help="say of an image what a launch would say")
    checked.add_argument("reference", metavar="REF", help="as a cluster would name it")
    checked.add_argument("--policy", metavar="FILE", help="a policy in a file, in place of the server's")
    base = actions.add_parser("base", help="print the entry of allowed_bases for a base image")
    base.add_argument("what", metavar="REF|TAR|DIR", help="a reference, an archive, or an OCI folder")
    base.add_argument("--name", help="how refusals name it; default: the reference")
    made = actions.add_parser("except", help="let one image pass, until a day, for a reason")
    made.add_argument("image", metavar="REF|DIGEST", help="as a cluster names it, or sha256:...")
    made.add_argument("--reason", required=True)
    made.add_argument("--until", required=True, type=_day, metavar="YYYY-MM-DD", help="the last day on which it holds")
    made.add_argument("--rule", action="append", choices=rules.RULES, help="of this rule only; repeat it; default: all")
    ended = actions.add_parser("unexcept", help="take an exception back")
    ended.add_argument("exception_id", metavar="ID")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image policy`."""
    return _ACTIONS[options.action](options, settings)


def _show(options: argparse.Namespace, settings: Settings) -> int:
    document = connection.connect(options).get(ROOT)
    if options.output == "json":
        print_json(document)
        return 0
    policy = document["policy"]
    print(table([(name, _shown(name, value)) for name, value in policy.items()], indent="") or "nothing is demanded")
    rows = [
        (each["exception_id"], each["image"], ", ".join(each.get("rules") or ["all rules"]), f"until {each['until']}",
         "ended" if each.get("ended") else "", each["created_by"], each["reason"])
        for each in document["exceptions"]
    ]  # fmt: skip
    if rows:
        print("exceptions\n" + table(rows))
    return 0


def _shown(name: str, value: Any) -> str:
    if name in ("signers", "allowed_bases"):
        return ", ".join(each["name"] for each in value)
    if name == "ignored_vulnerabilities":
        return ", ".join(f"{each['vulnerability']} until {each['until']}" for each in value)
    return ", ".join(value) if isinstance(value, list) else str(value)


def _set(options: argparse.Namespace, settings: Settings) -> int:
    policy = _policy(options.file)
    connection.connect(options).ask("PUT", ROOT, msgspec.to_builtins(policy))
    return _done(options, {"set": True})


def _except(options: argparse.Namespace, settings: Settings) -> int:
    wish = {"image": options.image, "reason": options.reason, "until": options.until.isoformat()}
    if options.rule:
        wish["rules"] = options.rule
    return _done(options, connection.connect(options).ask("POST", f"{ROOT}/exceptions", wish))


def _unexcept(options: argparse.Namespace, settings: Settings) -> int:
    connection.connect(options).ask("DELETE", f"{ROOT}/exceptions/{options.exception_id}")
    return _done(options, {"deleted": options.exception_id})


def _done(options: argparse.Namespace, document: Any) -> int:
    print_json(document) if options.output == "json" else print(next(iter(document.values())))
    return 0


def _base(options: argparse.Namespace, settings: Settings) -> int:
    with image_sources.opened(options.what, settings) as view:
        layers = list(view.config.diff_ids)
    if not layers:
        raise Failed(f"{options.what} does not say which layers it has")
    print_json({"name": options.name or options.what, "layers": layers})
    return 0


def _check(options: argparse.Namespace, settings: Settings) -> int:
    if options.policy:
        policy, exceptions = _policy(options.policy), list[ImageException]()
    else:
        there = msgspec.convert(connection.connect(options).get(ROOT), ImagePolicyInForce)
        policy, exceptions = there.policy, there.exceptions
    try:
        facts = _facts(options.reference, policy, settings)
    except (ImageFailure, NodeFailure) as error:
        raise Failed(f"{options.reference}: {error}") from None
    judgement = rules.judge(policy, exceptions, facts, rules.RULES, datetime.now(UTC))
    if options.output == "json":
        print_json(
            {
                "reference": str(facts.reference), "digests": facts.digests, "allowed": not judgement.refusals,
                "refusals": [{"rule": each.rule, "message": each.message, "fix": each.fix} for each in judgement.refusals],
                "exceptions": judgement.excepted, "signed_by": facts.signed_by,
            }
        )  # fmt: skip
    else:
        for each in judgement.refusals:
            print(plain(f"✗ {each.rule}: {each.message}. {each.fix}"))
        for each in judgement.excepted:
            print(f"! let pass by exception {each}")
        print(f"{facts.reference.pinned(facts.digests[0])} is {'refused' if judgement.refusals else 'allowed'}")
    return 1 if judgement.refusals else 0


def _facts(text: str, policy: ImagePolicy, settings: Settings) -> rules.Facts:
    """What a launch would know. Raises ImageFailure, NodeFailure."""
    from boathouse.server import registries

    reference = references.parse(text, "REF")
    key, access = image_sources.key_for(reference, settings), registries.access(settings)
    found, _ = access.resolve(reference, key)
    digests = (found.digest, found.index_digest) if found.index_digest else (found.digest,)
    there = access.signatures(reference, digests, key) if policy.signers else ()
    signed_by, unsigned = rules.signed(policy, there, digests)
    scanned = _scanned(found.pinned, settings) if policy.max_severity else None
    return rules.Facts(reference, digests, found.config.created, found.config.diff_ids, signed_by, unsigned, scanned)


def _scanned(pinned: str, settings: Settings) -> rules.Scanned:
    from boathouse.images import packages
    from boathouse.images.advisories import database, scan
    from boathouse.images.archive_view import UnreadableArchive

    today = datetime.now(UTC).date()
    try:
        with database.Database(database.path(settings.cache)) as known:
            with image_sources.listed(pinned, settings, packages.READ) as (view, _):
                found = packages.inventory(view)
            return rules.Scanned(scan.undecided(found, known, today), known.status().age_days(today))
    except database.NoAdvisories as error:
        return rules.Scanned(problem=str(error))
    except UnreadableArchive as error:
        return rules.Scanned(problem=f"the image cannot be read: {error}")


def _policy(name: str) -> ImagePolicy:
    try:
        policy = msgspec.json.decode(sys.stdin.read() if name == "-" else Path(name).read_bytes(), type=ImagePolicy)
    except OSError as error:
        raise Failed(f"{name}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{name} is no image policy: {error}") from None
    problem = next(rules.problems(policy, datetime.now(UTC).date()), None)
    if problem is not None:
        raise Failed(f"{name}: {problem}")
    return policy


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2027-01-31") from None


_ACTIONS = {"show": _show, "set": _set, "check": _check, "base": _base, "except": _except, "unexcept": _unexcept}
