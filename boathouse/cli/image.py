"""`boathouse image init|build|list|remove`: the platform's own images and those of users. What is in an image: `image_look`;
bases to begin with: `image_bases`."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from boathouse.cli import Failed, image_bases, image_look, image_policy, image_scan, image_trust, progress
from boathouse.cli.engine_at_hand import NoEngine, engine_client
from boathouse.cli.image_sources import key_for
from boathouse.cli.output import print_json, table
from boathouse.images import build, recipe, references
from boathouse.images.failures import ImageFailure
from boathouse.images.rootfs import BuildError
from boathouse.settings import Settings, load

if TYPE_CHECKING:
    from boathouse.images.registry_auth import Login


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("list", help="the base images, and what the engine has of them")
    made = verbs.add_parser("build", help="build a base image by name, or a folder with a Dockerfile")
    made.add_argument("what", metavar="NAME|DIR", help="a base image (list-bases names them), or a folder with a Dockerfile")
    made.add_argument("-t", "--tag", metavar="REF", help="the reference of a folder's image")
    made.add_argument("--push", action="store_true", help="push it to its registry")
    made.add_argument("--locked", action="store_true", help="fail where a base image's lock cannot be met")
    made.add_argument("--builder", choices=("engine", "buildah"), help="the container engine (Podman, Docker), or Buildah")
    made.add_argument("--pull", action="store_true", help="with a folder: ask registries for what its Dockerfile begins with")
    made.add_argument("--no-cache", action="store_true", help="with a folder: run every step again")
    made.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    begun = verbs.add_parser("init", help="a folder to begin with: Dockerfile, requirements, a check for CI, how to push")
    begun.add_argument("directory", metavar="DIR")
    begun.add_argument(
        "--base", default="python", metavar="NAME", help="a base of ours (python:15.4), python:15.4-LTS of Databricks, or REF"
    )
    begun.add_argument("--runtime", help="the runtime it is checked for; by default the base's, or 17.3.x-scala2.13")
    image_bases.arguments(verbs)
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
    except (BuildError, ImageFailure, recipe.RecipeError, references.InvalidReference) as error:
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
                if recipe.parts(name)[1]:
                    continue
                size = f"not built: boathouse image build {name}"
            rows.append((name, reference, size))
    if options.output == "json":
        print_json([dict(zip(("name", "reference", "size"), row, strict=True)) for row in rows])
    else:
        print(table(rows, indent=""))
    return 0


def _build(options: argparse.Namespace, settings: Settings) -> int:
    if options.what in recipe.names():
        for name in ("pull", "no_cache"):
            if getattr(options, name):
                raise Failed(
                    f"--{name.replace('_', '-')}: a base image is made by its recipe and lock; leave it out, or give a folder"
                )
        with engine_client(settings) as client:
            result: dict[str, Any] = {"reference": build_base(client, settings, options.what, options.locked)}
    else:
        result = _build_folder(options, settings)
    print_json(result) if options.output == "json" else print("\n".join(f"{k}: {v}" for k, v in result.items() if v))
    return 0


def _init(options: argparse.Namespace, settings: Settings) -> int:
    from boathouse.images import starter_kit
    from boathouse.releases.runtimes import RUNTIMES, UnknownRuntime, named

    directory, keys = Path(options.directory), [runtime.key for runtime in RUNTIMES]
    try:
        asked = options.runtime and named(options.runtime).key
        runtime = asked or starter_kit.runtime_of(options.base, keys) or "17.3.x-scala2.13"
        written = [str(path) for path in starter_kit.begin(directory, options.base, runtime, keys)]
    except UnknownRuntime as error:
        raise Failed(f"--runtime: {error}") from None
    except starter_kit.CannotBegin as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(f"{error.filename or directory}: {error.strerror}; give a folder that is there or can be made") from None
    if options.output == "json":
        print_json({"written": written})
    else:
        base, own = starter_kit.build_command(options.base), f"boathouse image build {directory} -t localhost/{directory.name}:1"
        print("\n".join([*written, f"Next: {f'{base} && ' if base else ''}{own}"]))
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


def build_base(client: Any, settings: Settings, name: str, locked: bool = False) -> str:
    """Have a base image in the engine under its content's tag, and under the one for Dockerfiles. `locked`: as its locks say, or
    not at all."""
    reference = build.load(client, name, settings.cache, progress.lines(), locked=locked)
    client.api.tag(reference, *build.friendly(name).rsplit(":", 1))
    return reference


def _build_folder(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    from boathouse.server.registries import registry_settings

    directory = Path(options.what)
    if not directory.is_dir():
        raise Failed(
            f"'{options.what}' is neither a base image ({', '.join(recipe.shown(name) for name in recipe.recipes())}; "
            "boathouse image list-bases) nor a folder with a Dockerfile"
        )
    if not options.tag:
        raise Failed("-t REF: the reference of the image, such as registry.example/team/image:1.0")
    target = references.parse(options.tag)
    pairs = dict(item.split("=", 1) if "=" in item else (item, os.environ.get(item, "")) for item in options.build_arg)
    with _builder(options.builder, settings) as (builder, build_image, push_image):
        say = progress.lines(f"{builder}: ")
        made = build_image(directory, str(target), say, arguments=pairs, cache=not options.no_cache, pull=options.pull)
        result: dict[str, Any] = {"reference": str(target), "id": made}
        if options.push:
            here = target.api_host.startswith(("127.0.0.1:", "localhost:"))
            plain = here or registry_settings(settings).plain_http(target.api_host)
            who = _login(target, settings)
            push_image(result["id"], target, who, say, plain_http=plain)
            say("asking the registry for the digest")
            result["digest"] = _digest(target, who, settings, plain)
            result["pinned"] = target.pinned(result["digest"])
    return result | {"pushed": options.push}


@contextmanager
def _builder(wanted: str | None, settings: Settings) -> Iterator[tuple[str, Callable[..., str], Callable[..., None]]]:
    """Who builds, and the two verbs: the engine that launches use, or Buildah where it is asked for or no engine answers."""
    from boathouse.images import buildah, user_builds

    if wanted != "buildah":
        try:
            with engine_client(settings) as client:
                yield "engine", partial(user_builds.build_image, client), partial(user_builds.push_image, client)
                return
        except NoEngine as missing:
            if wanted or not buildah.present():
                raise Failed(f"{missing}; or install buildah, which builds without an engine") from None
    elif not buildah.present():
        raise Failed("--builder buildah: it is not installed; on Debian or Ubuntu: apt-get install buildah")
    yield "buildah", buildah.build_image, buildah.push_image


def _login(target: references.Reference, settings: Settings) -> "Login | None":
    """What opens the registry for who calls."""
    from boathouse.dataplane.contract import NodeFailure, opened
    from boathouse.images.registry_auth import Login

    try:
        credentials = opened(key_for(target, settings))
    except NodeFailure as failure:
        raise Failed(f"{target}: {failure}") from None
    return Login(credentials.username, credentials.password) if credentials else None


def _digest(target: references.Reference, who: "Login | None", settings: Settings, plain: bool) -> str:
    """The digest of what was pushed, as the registry has it: what `docker_image.url` pins."""
    from boathouse.images import registry
    from boathouse.images.failures import ImageFailure
    from boathouse.server.registries import registry_settings

    how = registry_settings(settings)
    if plain:
        here = (target.api_host,)
        how = replace(how, plain_http_hosts=how.plain_http_hosts + here, allowed_private_hosts=how.allowed_private_hosts + here)
    try:
        return registry.resolve(target, who, how).digest
    except ImageFailure as error:
        raise Failed(f"{target} was pushed, but the registry does not show it: {error}") from None


_VERBS = {
    "list": _list, "init": _init, "build": _build, "remove": _remove,
    "check": image_look.run_check, "sbom": image_look.run_sbom, "diff": image_look.run_diff,
    "scan": image_scan.run, "keys": image_trust.run_keys, "sign": image_trust.run_sign,
    "verify": image_trust.run_verify, "policy": image_policy.run,
    "list-bases": image_bases.run_list, "bases": image_bases.run_relock, "dockerfile": image_bases.run_dockerfile,
}  # fmt: skip
