"""`boathouse image list-bases|bases|dockerfile`: the images to begin with, their locks, and their Dockerfiles for Ubuntu."""

import argparse
from typing import Any

from boathouse.cli import Failed, progress
from boathouse.cli.output import print_json, table
from boathouse.images import build, recipe
from boathouse.settings import Settings

#: Parts of the platform, and images that are broken on purpose: nothing to begin with.
_NOT_OFFERED = ("daemon", "nobash")


def arguments(verbs: Any) -> None:
    """The verbs of this module."""
    listed = verbs.add_parser("list-bases", help="the base images for each runtime: sizes, digests, built or not")
    listed.add_argument("--markdown", action="store_true", help="print the table of docs/base-images.md")
    renewed = verbs.add_parser("bases", help="renew the locks of base images: package, version, SHA-256")
    renewed.add_argument("--relock", nargs="+", required=True, metavar="NAME", help=f"of: {', '.join(_recipes())}")
    printed = verbs.add_parser("dockerfile", help="print the Dockerfile of a base image for Ubuntu or Alpine")
    printed.add_argument("name", metavar="NAME[:LTS]", help="such as python:15.4; without a runtime the newest")


def _recipes() -> list[str]:
    return [recipe.shown(name) for name in recipe.recipes()]


def run_list(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image list-bases`; needs no engine."""
    names = [name for name in recipe.names() if name.partition(":")[0] not in _NOT_OFFERED]
    found = [_described(name, settings) for name in names]
    if options.output == "json":
        print_json(found)
    elif options.markdown:
        print("| image | MB | layers | digest of its configuration | lock |\n|---|---|---|---|---|")
        for each in found:
            if each["built"]:
                lock = "met" if not each["unmet"] else "not met"
                print(f"| `{each['name']}` | {each['mb']:.0f} | {each['layers']} | `{each['digest'][7:19]}` | {lock} |")
    else:
        rows = [
            (each["name"], f"{each['mb']:.0f} MB", each["digest"][7:19], "lock not met" if each["unmet"] else "", each["about"])
            if each["built"]
            else (each["name"], "not built", "", "", each["about"])
            for each in found
        ]
        print(table(rows, indent=""))
        print("Build one: boathouse image build NAME. Begin an image of your own: boathouse image init DIR --base NAME")
    return 0


def _described(name: str, settings: Settings) -> dict[str, Any]:
    built = build.cached(name, settings.cache)
    made = recipe.lineage(name)[-1]
    described: dict[str, Any] = {
        "name": name, "reference": build.friendly(name), "content": build.reference(name), "runtime": made.runtime,
        "about": made.about, "built": built is not None,
    }  # fmt: skip
    if built:
        described |= {
            "mb": built.size / 1e6,
            "digest": built.image.identifier,
            "layers": len(built.image.layers),
            "unmet": list(built.unmet),
        }
    return described


def run_relock(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image bases --relock NAME...`: what is built of them afterwards is another image."""
    from boathouse.images.relock import relock

    say = progress.lines()
    written = [str(relock(name, settings.cache, say)) for name in options.relock]
    print_json({"written": written}) if options.output == "json" else print("\n".join(written))
    return 0


def run_dockerfile(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image dockerfile NAME[:LTS]`."""
    from boathouse.images import dockerfiles

    try:
        text = dockerfiles.text(options.name)
    except dockerfiles.NoDockerfile as error:
        raise Failed(str(error)) from None
    print_json({"name": options.name, "dockerfile": text}) if options.output == "json" else print(text, end="")
    return 0
