"""`boathouse image check|sbom|diff`: what is in an image, said without a cluster."""

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from boathouse.cli import Failed, image_report, image_sources
from boathouse.cli.output import plain, print_json, table
from boathouse.images.archive_view import UnreadableArchive
from boathouse.images.check import check, refused, unreadable
from boathouse.images.failures import ImageFailure
from boathouse.images.findings import LANGUAGES, Wanted
from boathouse.settings import Settings

_DRIVER, _CAPABILITY = re.compile(r"\d{2,4}(\.\d{1,3}){1,2}"), re.compile(r"\d{1,2}\.\d")
SOURCE = "a reference (engine or registry), an archive, or an OCI folder"


def arguments(verbs: Any) -> None:
    """The verbs of this module."""
    checked = verbs.add_parser("check", help="say, without a cluster, what a launch would say")
    checked.add_argument("what", metavar="REF|TAR|DIR", help=SOURCE)
    _judged(checked)
    checked.add_argument("--needs", action="append", choices=LANGUAGES, default=[], help="refuse an image without this language")
    checked.add_argument("--cuda-driver", default="", metavar="VERSION", help="the NVIDIA driver of the nodes, such as 550.54.15")
    checked.add_argument("--compute-capability", default="", metavar="N.N", help="of the nodes' GPUs, such as 8.6")
    checked.add_argument(
        "--max-size", type=float, metavar="GB", help="refuse a larger image; default for a registry's: the free disk"
    )
    form = checked.add_mutually_exclusive_group()
    form.add_argument("--github", action="store_true", help="print annotations for GitHub's workflow logs")
    form.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0, for code scanning")
    billed = verbs.add_parser("sbom", help="the bill of materials: dpkg, apk, RPM, Python, R, npm, jars")
    billed.add_argument("what", metavar="REF|TAR|DIR", help=SOURCE)
    billed.add_argument(
        "--format", choices=("cyclonedx", "spdx", "table"), default="table", help="CycloneDX 1.6, SPDX 2.3, or a table"
    )
    compared = verbs.add_parser("diff", help="packages, configuration, layers and size: what changes for a cluster")
    compared.add_argument("before", metavar="BEFORE", help=SOURCE)
    compared.add_argument("after", metavar="AFTER", help=SOURCE)
    _judged(compared)


def _judged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runtime", default="17.3.x-scala2.13", help="the runtime it is checked for, such as 17.3 or 17.3.x-scala2.13"
    )
    parser.add_argument("--strict", action="store_true", help="refuse what Databricks would refuse")


def _judge(options: argparse.Namespace, settings: Settings) -> tuple[Wanted, dict[str, str]]:
    """What the image is judged for, and the runtime of it, as it is shown. Raises Failed."""
    from boathouse.releases import Releases
    from boathouse.releases.runtimes import UnknownRuntime, named

    try:
        runtime = named(options.runtime)
    except UnknownRuntime as error:
        raise Failed(f"--runtime: {error}") from None
    release = Releases(settings.cache / "releases").get(runtime.key)
    wanted = Wanted(spark=runtime.spark, java_major=runtime.java_majors[0], strict=options.strict)
    if release is not None:
        wanted = replace(wanted, spark=release.spark, glibc=release.glibc, java_major=release.java_major)
    shown = {
        "key": runtime.key, "spark": wanted.spark, "scala": runtime.scala, "java": str(wanted.java_major), "glibc": wanted.glibc,
    }  # fmt: skip
    if not wanted.glibc:
        print(
            f"{runtime.key} is not built on this machine: the oldest glibc that its Java runs on is not known, and not compared; "
            f"boathouse release build {runtime.key}",
            file=sys.stderr,
        )
    return wanted, shown


def _number(option: str, text: str, form: re.Pattern[str], such: str) -> str:
    """A version of an option, or an empty text. Raises Failed."""
    if text and not form.fullmatch(text):
        raise Failed(f"{option}: {text[:40]!r} is no version; give one such as {such}")
    return text


def run_check(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image check`: 1 when the image is refused."""
    driver = _number("--cuda-driver", options.cuda_driver, _DRIVER, "550.54.15")
    capability = _number("--compute-capability", options.compute_capability, _CAPABILITY, "8.6")
    if capability and not driver:
        raise Failed("--compute-capability: a node with a GPU has a driver too; give --cuda-driver")
    if options.max_size is not None and not 0 < options.max_size < 1e6:
        raise Failed(f"--max-size: {options.max_size:g} is not allowed; give gigabytes, such as 8 or 0.5")
    most = None if options.max_size is None else int(options.max_size * 1e9)
    wanted, runtime = _judge(options, settings)
    wanted = replace(
        wanted, max_bytes=most, languages=frozenset(options.needs), cuda_driver=driver, compute_capability=capability
    )
    try:
        with image_sources.opened(options.what, settings, most) as view:
            report = check(view, wanted)
    except UnreadableArchive as error:
        report = unreadable(error)
    except ImageFailure as failure:
        report = refused(failure)
    if options.sarif:
        print_json(image_report.sarif(options.what, report))
    elif options.output == "json":
        print_json(image_report.document(options.what, report, runtime))
    else:
        print(image_report.github(options.what, report) if options.github else image_report.text(options.what, report))
    return 0 if report.ok else 1


def run_sbom(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image sbom`."""
    from boathouse.images import bill, packages

    with _readable(options.what), image_sources.listed(options.what, settings, packages.READ) as (view, identifier):
        found = packages.inventory(view)
    if options.format in ("cyclonedx", "spdx"):
        made = bill.cyclonedx if options.format == "cyclonedx" else bill.spdx
        print(made(options.what, identifier, found.packages, datetime.now(UTC).replace(microsecond=0)))
    elif options.output == "json":
        print_json(
            {"packages": [msgspec.structs.asdict(each) | {"purl": each.purl} for each in found.packages], "unread": found.unread}
        )
    else:
        print(table([(each.kind, each.name, each.version, f"layer {each.layer}") for each in found.packages], indent=""))
    for path, reason in found.reasons:
        print(plain(f"{path} is not read, or not wholly: {reason}; what it lists is missing here"), file=sys.stderr)
    return 0


def run_diff(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image diff`: 1 when a cluster could be made of the first image and cannot of the second."""
    from boathouse.images import difference, packages

    wanted, _ = _judge(options, settings)
    sides = []
    for what in (options.before, options.after):
        with _readable(what), image_sources.listed(what, settings, packages.READ) as (view, _):
            size = view.size_bytes or 0
            sides.append(difference.Side(view.config, packages.inventory(view).packages, check(view, wanted), size))
    found = difference.compare(*sides)
    if options.output == "json":
        print_json(msgspec.to_builtins(found) | {"same": found.same})
    else:
        print(plain(image_report.changes(found)))
    return 1 if sides[0].report.ok and not sides[1].report.ok else 0


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except UnreadableArchive as error:
        raise Failed(f"{what}: {error}") from None
