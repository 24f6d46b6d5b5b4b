"""`boathouse release list|build|verify|patch|remove|prune`: runtime releases in the machine's cache."""

import argparse
import os
from pathlib import Path

from boathouse.cli import Failed, progress
from boathouse.cli.output import print_json, table
from boathouse.releases import Releases, archive, build, java, patches, pruning, release, runtimes, sources
from boathouse.settings import Settings, load


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("list", help="what is built, with its layers")
    for verb, what in (("build", "build what is missing"), ("verify", "compare every file with what was built")):
        made = verbs.add_parser(verb, help=what)
        made.add_argument("keys", nargs="+", metavar="KEY", help="a runtime key such as 17.3.x-scala2.13")
    patch = verbs.add_parser("patch", help="put a layer of changed files above a release; running clusters keep theirs")
    patch.add_argument("key", metavar="KEY")
    patch.add_argument("directory", type=Path, help="a folder that mirrors the runtime's tree")
    removed = verbs.add_parser("remove", help="take runtimes away; clusters that run keep theirs")
    removed.add_argument("keys", nargs="+", metavar="KEY", help="a runtime key such as 14.3.x-scala2.12")
    pruned = verbs.add_parser("prune", help="remove what was built and neither a runtime nor a running cluster needs any more")
    pruned.add_argument("--days", type=float, default=1.0, metavar="N", help="keep what was built in the last N days (default 1)")
    pruned.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--cache", help="the machine's cache")


def run(options: argparse.Namespace) -> int:
    settings = load({"cache": options.cache})
    releases = Releases(settings.cache / "releases")
    if options.verb == "list":
        found = [made for key in releases.keys() if (made := releases.get(key)) is not None]  # noqa: SIM118
        if options.output == "json":
            print_json([{"key": r.key, "spark": r.spark, "delta": r.delta, "layers": r.layer_names} for r in found])
        else:
            print(table([(r.key, f"Spark {r.spark}", f"Delta {r.delta}", " > ".join(r.layer_names)) for r in found], indent=""))
        return 0
    if options.verb == "patch":
        return _patch(options, releases)
    if options.verb == "remove":
        for key in options.keys:
            if not pruning.unpoint(releases, key):
                raise Failed(f"release {key} is not built; there are {', '.join(releases.keys())}")
            print(f"{key}: removed; `boathouse release prune` frees its space once no cluster runs with it")
        return 0
    if options.verb == "prune":
        return _prune(options, releases)
    for key in options.keys:
        if options.verb == "build":
            build_release(settings, key)
        else:
            _verify(key, releases)
    return 0


def build_release(settings: Settings, key: str) -> None:
    """Build a release unless it is there. Raises Failed with what is missing."""
    runtime = runtimes.runtime(key)
    if runtime is None:
        raise Failed(f"'{key}' is not a runtime; there are {', '.join(r.key for r in runtimes.RUNTIMES)}")
    releases = Releases(settings.cache / "releases")
    say = progress.lines(f"{key}: ")
    try:
        inputs = build.inputs_for(
            runtime, java_home=os.environ.get("JAVA_HOME"), launcher=build.launcher(releases.root),
            programs=build.node_programs(), with_archive=True,
        )  # fmt: skip
        build.build(inputs, releases, say)
    except (java.NoJdk, java.JavaFailed, build.LauncherFailed, sources.SourceUnavailable, archive.StageFailed) as error:
        raise Failed(f"release {key}: {error}") from None


def _verify(key: str, releases: Releases) -> None:
    found = releases.get(key)
    if found is None:
        raise Failed(f"release {key} is not built; `boathouse release build {key}` builds it")
    try:
        release.verify(found.directory)
    except release.ReleaseDamaged as error:
        raise Failed(f"release {key}: {error}; remove {found.directory} and build it again") from None
    print(f"{key}: {found.digest} is as it was built")


def _prune(options: argparse.Namespace, releases: Releases) -> int:
    layers = pruning.survey(releases, pruning.mounted(releases.root), options.days)
    going = [layer for layer in layers if not layer.why]
    if not options.dry_run:
        for layer in going:
            pruning.remove(layer)
    if options.output == "json":
        print_json([{"digest": x.digest, "bytes": x.size_bytes, "needed_by": x.why, "removed": x in going and not options.dry_run}
                    for x in layers])  # fmt: skip
        return 0
    fate = "would go" if options.dry_run else "removed"
    rows = [(layer.digest[:12], f"{layer.size_bytes / 1e6:.0f} MB", layer.why or fate) for layer in layers]
    print(table(rows, indent=""))
    verb = "would be freed" if options.dry_run else "freed"
    print(f"{sum(layer.size_bytes for layer in going) / 1e6:.0f} MB {verb}")
    return 0


def _patch(options: argparse.Namespace, releases: Releases) -> int:
    try:
        patched = patches.add_patch(releases, options.key, options.directory, progress.lines(f"{options.key}: "))
    except KeyError:
        raise Failed(f"release {options.key} is not built; `boathouse release build {options.key}` builds it") from None
    except (patches.PatchRefused, archive.StageFailed) as error:
        raise Failed(str(error)) from None
    print(f"{options.key}: " + " > ".join(patched.layer_names) + (f" ({patched.archive_note})" if patched.archive_note else ""))
    return 0
