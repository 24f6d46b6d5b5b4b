"""`python -m boathouse.releases build KEY...`: builds releases from the command line, with a line for each step."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from boathouse.releases import archive, build, java, release, runtimes, sources


def default_root() -> Path:
    """The machine's shared releases: `$BOATHOUSE_CACHE/releases`, else root's or the user's own cache."""
    configured = os.environ.get("BOATHOUSE_CACHE")
    if configured:
        return Path(configured) / "releases"
    home = Path("/var/lib/boathouse") if os.geteuid() == 0 else Path.home() / ".cache" / "boathouse"
    return home / "releases"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m boathouse.releases", description=__doc__)
    parser.add_argument("--root", type=Path, default=default_root())
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="build releases of these runtime keys")
    make.add_argument("keys", nargs="+", metavar="KEY")
    make.add_argument("--root", type=Path, default=argparse.SUPPRESS)
    make.add_argument("--launcher", type=Path)
    make.add_argument("--programs", type=Path)
    make.add_argument("--without-archive", action="store_true")
    check = commands.add_parser("verify", help="compare the files of a release with what was built")
    check.add_argument("keys", nargs="+", metavar="KEY")
    check.add_argument("--root", type=Path, default=argparse.SUPPRESS)
    commands.add_parser("list", help="list the releases that are built").add_argument(
        "--root", type=Path, default=argparse.SUPPRESS
    )
    options = parser.parse_args(argv)
    releases = release.Releases(options.root)
    if options.command == "list":
        for key in releases.keys():  # noqa: SIM118
            found = releases.get(key)
            if found is not None:
                print(f"{key}  Spark {found.spark}  {' > '.join(found.layer_names)}")
        return 0
    for key in options.keys:
        runtime = runtimes.runtime(key)
        if runtime is None:
            print(f"{key}: no such runtime; there are {', '.join(r.key for r in runtimes.RUNTIMES)}", file=sys.stderr)
            return 2
        try:
            if options.command == "build":
                _build(runtime, options, releases)
            else:
                found = releases.get(key)
                if found is None:
                    print(f"{key}: not built", file=sys.stderr)
                    return 1
                release.verify(found.directory)
                print(f"{key}: {found.digest} is as it was built")
        except (
            java.NoJdk,
            java.JavaFailed,
            build.LauncherFailed,
            sources.SourceUnavailable,
            archive.StageFailed,
            release.ReleaseDamaged,
        ) as error:
            print(f"{key}: {error}", file=sys.stderr)
            return 1
    return 0


def _build(runtime: runtimes.Runtime, options: argparse.Namespace, releases: release.Releases) -> None:
    started = time.monotonic()

    def progress(line: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {runtime.key}: {line}", flush=True)

    inputs = build.inputs_for(
        runtime,
        java_home=os.environ.get("JAVA_HOME"),
        launcher=options.launcher or build.launcher(releases.root),
        programs=options.programs or build.node_programs(),
        with_archive=not options.without_archive,
    )
    built = build.build(inputs, releases, progress)
    note = f" ({built.archive_note})" if built.archive_note else ""
    progress(f"ready: {built.directory}{note}")


if __name__ == "__main__":
    raise SystemExit(main())
