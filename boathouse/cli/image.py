"""`boathouse image init|build|list|remove`: the platform's own images and those of users. What is in an image: `image_look`."""

import argparse
import os
from pathlib import Path
from typing import Any

from boathouse.cli import Failed, image_look, image_policy, image_scan, image_trust, progress
from boathouse.cli.engine_at_hand import engine_client
from boathouse.cli.image_sources import key_for
from boathouse.cli.output import print_json, table
from boathouse.images import build, recipe, references
from boathouse.images.rootfs import BuildError
from boathouse.settings import Settings, load


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("list", help="the base images, and what the engine has of them")
    made = verbs.add_parser("build", help="build a base image by name, or a folder with a Dockerfile")
    made.add_argument("what", metavar="NAME|DIR", help=f"{', '.join(recipe.names())}, or a folder with a Dockerfile")
    made.add_argument("-t", "--tag", metavar="REF", help="the reference of a folder's image")
    made.add_argument("--push", action="store_true", help="push it to its registry")
    made.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    begun = verbs.add_parser("init", help="a folder to begin with: Dockerfile, requirements, a check for CI, how to push")
    begun.add_argument("directory", metavar="DIR")
    begun.add_argument("--base", default="python", metavar="NAME", help="a base image of ours, python:15.4-LTS, or a reference")
    begun.add_argument("--runtime", default="17.3.x-scala2.13", help="the runtime it is checked for")
    image_look.arguments(verbs)
    image_scan.arguments(verbs, image_look.SOURCE)
    image_trust.arguments(verbs)
    image_policy.arguments(verbs)
    removed = verbs.add_parser("remove", help="remove references from the engine")
    removed.add_argument("references", nargs="+", metavar="REF")
    parser.add_argument("--cache", help="the machine's cache")
    parser.add_argument("--engine", help="a Docker-compatible engine's URL")
    for name in ("private", "plain-http"):
        parser.add_argument(f"--registry-{name}-hosts", dest=f"registry_{name.replace('-', '_')}_hosts", metavar="HOST:PORT,...")


def run(options: argparse.Namespace) -> int:
    settings = load(vars(options))
    try:
        return _VERBS[options.verb](options, settings)
    except (BuildError, recipe.RecipeError, references.InvalidReference) as error:
        log = getattr(error, "log", "")
        raise Failed(f"{error}" + (f"\n{log}" if log else "")) from None


def _list(options: argparse.Namespace, settings: Settings) -> int:
    with engine_client(settings) as client:
        rows = []
        for name in recipe.names():
            reference = build.reference(name)
            try:
                size = f"{client.api.inspect_image(reference)['Size'] / 1e6:.0f} MB"
            except Exception:  # the library's error for a missing image, whatever the engine calls it
                size = f"not built: boathouse image build {name}"
            rows.append((name, reference, size))
    if options.output == "json":
        print_json([dict(zip(("name", "reference", "size"), row, strict=True)) for row in rows])
    else:
        print(table(rows, indent=""))
    return 0


def _build(options: argparse.Namespace, settings: Settings) -> int:
    with engine_client(settings) as client:
        if options.what in recipe.names():
            result: dict[str, Any] = {"reference": build_base(client, settings, options.what)}
        else:
            result = _build_folder(client, options, settings)
    print_json(result) if options.output == "json" else print("\n".join(f"{k}: {v}" for k, v in result.items() if v))
    return 0


def _init(options: argparse.Namespace, settings: Settings) -> int:
    from boathouse.images import starter_kit
    from boathouse.releases.runtimes import RUNTIMES

    directory, keys = Path(options.directory), [runtime.key for runtime in RUNTIMES]
    try:
        written = [str(path) for path in starter_kit.begin(directory, options.base, options.runtime, keys)]
    except starter_kit.CannotBegin as error:
        raise Failed(str(error)) from None
    if options.output == "json":
        print_json({"written": written})
    else:
        print("\n".join([*written, f"Next: boathouse image build {directory} -t localhost/{directory.name}:1"]))
    return 0


def _remove(options: argparse.Namespace, settings: Settings) -> int:
    """Take references away; what no other reference names goes with them. Not there already: fine."""
    import docker.errors

    with engine_client(settings) as client:
        for text in options.references:
            try:
                client.api.remove_image(str(references.parse(text)), noprune=True)
            except docker.errors.ImageNotFound:
                continue
            except docker.errors.APIError as error:
                raise Failed(f"{text}: {error.explanation or error}") from None
    return 0


def build_base(client: Any, settings: Settings, name: str) -> str:
    """Have a base image in the engine under its content's tag, and as `latest` for Dockerfiles."""
    reference = build.load(client, name, settings.cache, progress.lines())
    client.api.tag(reference, reference.rsplit(":", 1)[0], "latest")
    return reference


def _build_folder(client: Any, options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    from boathouse.dataplane.contract import NodeFailure, opened
    from boathouse.images import user_builds
    from boathouse.images.registry_auth import Login
    from boathouse.server.registries import registry_settings

    directory = Path(options.what)
    if not directory.is_dir():
        raise Failed(f"'{options.what}' is neither a base image ({', '.join(recipe.names())}) nor a folder with a Dockerfile")
    if not options.tag:
        raise Failed("-t REF: the reference of the image, such as registry.example/team/image:1.0")
    target = references.parse(options.tag)
    say = progress.lines()
    pairs = dict(item.split("=", 1) if "=" in item else (item, os.environ.get(item, "")) for item in options.build_arg)
    identifier = user_builds.build_image(client, directory, str(target), say, arguments=pairs)
    if options.push:
        here = target.api_host.startswith(("127.0.0.1:", "localhost:"))
        plain = here or registry_settings(settings).plain_http(target.api_host)
        try:
            credentials = opened(key_for(target, settings))
        except NodeFailure as failure:
            raise Failed(f"{target}: {failure}") from None
        who = Login(credentials.username, credentials.password) if credentials else None
        user_builds.push_image(client, identifier, target, who, say, plain_http=plain)
    return {"reference": str(target), "id": identifier, "pushed": options.push}


_VERBS = {
    "list": _list, "init": _init, "build": _build, "remove": _remove,
    "check": image_look.run_check, "sbom": image_look.run_sbom, "diff": image_look.run_diff,
    "scan": image_scan.run, "keys": image_trust.run_keys, "sign": image_trust.run_sign,
    "verify": image_trust.run_verify, "policy": image_policy.run,
}  # fmt: skip
