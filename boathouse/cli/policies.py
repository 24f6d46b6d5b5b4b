"""`boathouse policies check DEFINITION SPEC`: what a cluster policy makes of a wish for a cluster, rule by rule. Needs no server.

The rules are those that the server asks (`compute.policies`), so what is accepted here is accepted there, but for what only a
server knows: who asks, pools, and how many clusters a user has.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from boathouse.cli import Failed
from boathouse.cli.output import print_json, table
from boathouse.compute.policies import families, rules
from boathouse.compute.policies.attributes import CLUSTER_TYPES, text
from boathouse.compute.policies.definition import MalformedDefinition, parse
from boathouse.compute.policies.surroundings import world
from boathouse.wire.compute import CreateCluster

MARKS = {"fixed": "+", "default": "+", "allowed": "✓", "absent": " ", "refused": "✗"}


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    checked = verbs.add_parser("check", help="say, without a server, what a policy makes of a wish for a cluster")
    checked.add_argument("definition", metavar="DEFINITION", help="a file with a policy's definition, or with overrides (JSON)")
    checked.add_argument("spec", metavar="SPEC", help="a file with the body of clusters/create; - for standard input")
    checked.add_argument("--family", help="what DEFINITION overrides: " + ", ".join(families.families("aws")))
    checked.add_argument("--cloud", choices=("aws", "azure", "gcp"), default="aws", help="whose family it is; default: aws")
    checked.add_argument("--defaults", action="store_true", help="fill in what is only suggested (apply_policy_default_values)")
    checked.add_argument("--cluster-type", choices=CLUSTER_TYPES, default="all-purpose", help="default: all-purpose")


def run(options: argparse.Namespace) -> int:
    base = ""
    if options.family is not None:
        known = families.families(options.cloud)
        if options.family not in known:
            raise Failed(f"--family: {options.family!r} is not allowed; give one of {', '.join(known)}")
        base = known[options.family].definition
    source = _read(options.definition)
    try:
        definition = parse(base, source) if base else parse(source)
    except MalformedDefinition as error:
        told = "".join(f"\n  {each}" for each in error.problems)
        raise Failed(f"{options.definition} is no policy definition:{told}") from None
    wish = _wish(options.spec)
    defaults = options.defaults or bool(wish.get("apply_policy_default_values"))
    outcome = rules.apply(definition, wish, world(cluster_type=options.cluster_type), defaults)
    if options.output == "json":
        print_json(
            {
                "accepted": not outcome.refused, "message": outcome.error, "spec": outcome.document,
                "decisions": [msgspec.to_builtins(each) for each in outcome.decisions],
            }
        )  # fmt: skip
    else:
        _print(outcome)
    return 1 if outcome.refused else 0


def _print(outcome: rules.Outcome) -> None:
    rows = []
    for each in outcome.decisions:
        rule = each.type if each.rule == each.path else f"{each.type}, by {each.rule}"
        value = "" if each.value is None else text(each.value) if isinstance(each.value, str | int | float) else "..."
        rows.append((MARKS[each.verdict], each.path, rule, each.verdict, value or ("" if each.value is None else '""')))
    print(table(rows, indent=""))
    if outcome.refused:
        print(f"\nrefused\n{outcome.error}")
    else:
        print(f"\naccepted as\n{json.dumps(outcome.document, indent=2, ensure_ascii=False)}")


def _wish(name: str) -> dict[str, Any]:
    try:
        return msgspec.to_builtins(msgspec.json.decode(_read(name), type=CreateCluster))
    except msgspec.ValidationError as error:
        raise Failed(f"{name} is no body of clusters/create: {error}") from None
    except msgspec.DecodeError as error:
        raise Failed(f"{name} is not valid JSON: {error}") from None


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{name} cannot be read: {error}") from None
