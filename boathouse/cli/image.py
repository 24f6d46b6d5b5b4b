"""`boathouse image build|check|list`: the platform's own images, images of users, and the check that a launch makes."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from boathouse.cli import Failed, image_report, progress
from boathouse.cli.engine_at_hand import engine_client
from boathouse.cli.output import print_json, table
from boathouse.images import build, recipe, references
from boathouse.images.archive_view import UnreadableArchive, open_archive
from boathouse.images.check import check, unreadable
from boathouse.images.findings import LANGUAGES, CheckReport, Wanted
from boathouse.images.registry_auth import Login
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
    checked = verbs.add_parser("check", help="say, without a cluster, what a launch would say")
    checked.add_argument("what", metavar="REF|TAR|DIR", help="a reference (engine or registry), an archive, or an OCI folder")
    checked.add_argument("--runtime", default="17.3.x-scala2.13", help="the runtime it is checked for")
    checked.add_argument("--strict", action="store_true", help="refuse what Databricks would refuse")
    checked.add_argument("--needs", action="append", choices=LANGUAGES, default=[], help="refuse an image without this language")
    checked.add_argument("--cuda-driver", default="", metavar="VERSION", help="the NVIDIA driver of the nodes, such as 550.54.15")
    form = checked.add_mutually_exclusive_group()
    form.add_argument("--github", action="store_true", help="print annotations for GitHub's workflow logs")
    form.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0, for code scanning")
    removed = verbs.add_parser("remove", help="remove references from the engine")
    removed.add_argument("references", nargs="+", metavar="REF")
    parser.add_argument("--cache", help="the machine's cache")
    parser.add_argument("--engine", help="a Docker-compatible engine's URL")
    for name in ("private", "plain-http"):
        parser.add_argument(f"--registry-{name}-hosts", dest=f"registry_{name.replace('-', '_')}_hosts", metavar="HOST:PORT,...")


def run(options: argparse.Namespace) -> int:
    settings = load(vars(options))
    try:
        return {"list": _list, "build": _build, "check": _check, "remove": _remove}[options.verb](options, settings)
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
    from boathouse.images import user_builds
    from boathouse.server.planes import registry_settings

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
        user_builds.push_image(client, identifier, target, _login(), say, plain_http=plain)
    return {"reference": str(target), "id": identifier, "pushed": options.push}


def _login() -> Login | None:
    username, password = os.environ.get("BOATHOUSE_REGISTRY_USERNAME"), os.environ.get("BOATHOUSE_REGISTRY_PASSWORD")
    return Login(username, password) if username and password else None


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from boathouse.releases import Releases

    release = Releases(settings.cache / "releases").get(options.runtime)
    wanted = Wanted(strict=options.strict, languages=frozenset(options.needs), cuda_driver=options.cuda_driver)
    if release is not None:
        wanted = replace(wanted, spark=release.spark, glibc=release.glibc, java_major=release.java_major)
    path = Path(options.what)
    if path.exists():
        try:
            report = check(open_archive(path), wanted)
        except UnreadableArchive as error:
            report = unreadable(error)
    else:
        report = _check_in_engine(options.what, settings, wanted)
    if options.sarif:
        print_json(image_report.sarif(options.what, report))
    elif options.output == "json":
        print_json(image_report.document(options.what, report))
    else:
        print(image_report.github(options.what, report) if options.github else image_report.text(options.what, report))
    return 0 if report.ok else 1


def _check_in_engine(text: str, settings: Settings, wanted: Wanted) -> CheckReport:
    """Check an image that the engine has, or that it pulls by the digest that the registry gives."""
    from boathouse.dataplane.contract import Credentials
    from boathouse.dataplane.engine.client import EngineClient
    from boathouse.dataplane.engine.images import EngineImages
    from boathouse.dataplane.engine.locate import EngineMissing, find
    from boathouse.images import registry
    from boathouse.images.failures import ImageFailure
    from boathouse.images.views import EngineView
    from boathouse.server.planes import registry_settings

    parsed = references.parse(text)
    try:
        engine = find(settings.cache, settings.engine or None)
    except EngineMissing as missing:
        raise Failed(str(missing)) from None
    client = EngineClient(engine.address)
    try:
        images = EngineImages(client, "check", engine.downloads)
        image = images.local(str(parsed))
        if image is None:
            login = _login()
            try:
                found = registry.resolve(parsed, login, registry_settings(settings), None)
            except ImageFailure as error:
                raise Failed(f"{text}: {error}") from None
            plain = registry_settings(settings).plain_http(parsed.api_host)
            image = _pulled(images, found.pinned, Credentials(login.username, login.password) if login else None, plain)
        with images.view(image) as view:
            return check(EngineView(view), wanted)
    finally:
        client.close()


def _pulled(images: Any, pinned: str, credentials: Any, plain: bool) -> str:
    import threading

    from boathouse.dataplane.contract import PullState

    news = threading.Event()
    while True:
        pull = images.pull(pinned, credentials, plain, news.set)
        if pull.state is PullState.PRESENT:
            return pull.image
        if pull.state is PullState.FAILED:
            raise Failed(f"{pinned}: {pull.error}")
        news.wait(60)
        news.clear()
