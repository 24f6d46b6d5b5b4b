"""`python -m boathouse.images build NAME...`: build the platform's own images into the cache, as set-up does.

With `--load URL` they are also loaded into the engine at that URL (`unix:///path.sock`). The real command line is
`boathouse image`.
"""

import argparse
import sys
import time
from pathlib import Path

import docker

from boathouse.images import build, recipe
from boathouse.images.rootfs import BuildError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m boathouse.images")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="build recipes into the cache")
    verb.add_argument("names", nargs="+", choices=recipe.names(), metavar="NAME")
    verb.add_argument("--cache", type=Path, default=build.default_cache())
    verb.add_argument("--mirror", default="", help="Debian mirror in place of deb.debian.org")
    verb.add_argument("--load", metavar="URL", help="also load into the engine at this URL")
    options = parser.parse_args(argv)
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", file=sys.stderr, flush=True)

    try:
        build.prepare(options.names, options.cache, say, options.mirror)
        for name in options.names:
            if options.load:
                client = docker.DockerClient(base_url=options.load, timeout=600)
                print(build.load(client, name, options.cache, say, options.mirror))
            else:
                print(build.reference(name))
    except (BuildError, recipe.RecipeError) as error:
        print(f"{error}\n{getattr(error, 'log', '')}".rstrip(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
