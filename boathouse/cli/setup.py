"""`boathouse setup`: the images and releases that clusters need, built where they are missing."""

import argparse

from boathouse.cli import Failed, progress
from boathouse.cli.engine_at_hand import engine_client
from boathouse.cli.image import build_base
from boathouse.cli.release import build_release
from boathouse.images import build, recipe
from boathouse.images.rootfs import BuildError
from boathouse.settings import load

#: What every machine gets.
IMAGES = ("daemon", "standard", "python", "nobash")
#: The runtimes that clients select by default for each Scala version, and an older one, which the tests start too. Others:
#: `boathouse release build KEY`.
RELEASES = ("17.3.x-scala2.13", "16.4.x-scala2.12", "15.4.x-scala2.12")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", help="the machine's cache")
    parser.add_argument("--engine", help="a Docker-compatible engine's URL")


def run(options: argparse.Namespace) -> int:
    settings = load(vars(options))
    try:
        build.prepare(IMAGES, settings.cache, progress.lines())
        with engine_client(settings) as client:
            for name in IMAGES:
                build_base(client, settings, name)
    except (BuildError, recipe.RecipeError) as error:
        raise Failed(f"{error}\n{getattr(error, 'log', '')}".rstrip()) from None
    for key in RELEASES:
        build_release(settings, key)
    return 0
