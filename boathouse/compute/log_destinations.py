"""`cluster_log_conf`: what is accepted, and where below its destination each log goes; pure.

The layout is the platform's (reference api A): `<destination>/<cluster id>/driver`, `executor`, `init_scripts`, `eventlog`. The
files of the driver that runs have plain names (`driver/stdout`); those of earlier drivers are kept beside them, with the
time of their last line (`driver/stdout--2026-01-31--08-15-00`), as the platform names what it has rotated. The finished pieces
of a long log have the launch and their number (`driver/stdout--1-00001`): the plain name is that of the piece that grows.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from boathouse.compute.init_scripts import NODE_LOG
from boathouse.wire.compute import ClusterLogConf, S3StorageInfo
from boathouse.workspace.clouds.places import CANNED_ACLS, ENCRYPTIONS, unreachable

#: The kinds of destination: field -> what one begins with, and an example for refusals.
KINDS = {
    "dbfs": (re.compile(r"dbfs:/+[^/]"), "dbfs:/cluster-logs"),
    "s3": (re.compile(r"s3a?://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|$)"), "s3://bucket/prefix"),
    "volumes": (re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+(/|$)"), "/Volumes/catalog/schema/volume/path"),
}

LONGEST = 1024

#: The log that the event log is copied to in the driver's node.
EVENT_LOG = "eventlog.stdout"

_KMS_KEY = re.compile(r"[A-Za-z0-9:/_-]{1,2048}")
_EXECUTOR = re.compile(r"executor-(\d+)\.(\w+)")


def violations(conf: ClusterLogConf | None) -> Iterator[str]:
    """Why a `cluster_log_conf` cannot be accepted: one sentence each."""
    if conf is None:
        return
    given = [name for name in KINDS if getattr(conf, name) is not None]
    if len(given) != 1:
        said = f"{' and '.join(given)} are given" if given else "none is given"
        yield f"cluster_log_conf: {said}; give exactly one of {', '.join(KINDS)}"
        return
    (kind,) = given
    destination = getattr(conf, kind).destination
    begins, example = KINDS[kind]
    field = f"cluster_log_conf.{kind}"
    if not begins.match(destination) or len(destination) > LONGEST or _leads_out(destination):
        shown = destination if len(destination) <= 100 else destination[:97] + "..."
        yield f"{field}.destination: {shown!r} is not allowed; give a folder such as {example}, without '..'"
    if conf.s3 is not None:
        yield from _s3(field, conf.s3)


def _s3(field: str, s3: S3StorageInfo) -> Iterator[str]:
    if not s3.region and not s3.endpoint:
        yield f"{field}: neither region nor endpoint is given; give one of them"
    yield from (f"{field}.{why}" for why in unreachable(s3.region, s3.endpoint))
    if s3.encryption_type is not None and s3.encryption_type not in ENCRYPTIONS:
        yield f"{field}.encryption_type: {s3.encryption_type[:100]!r} is not allowed; give one of {', '.join(ENCRYPTIONS)}"
    if s3.kms_key and s3.encryption_type != "sse-kms":
        yield f"{field}.kms_key: goes with encryption_type sse-kms alone; give that, or leave kms_key out"
    elif s3.kms_key and not _KMS_KEY.fullmatch(s3.kms_key):
        yield f"{field}.kms_key: {s3.kms_key[:100]!r} is not allowed; give the id, alias or ARN of a key"
    if s3.canned_acl is not None and s3.canned_acl not in CANNED_ACLS:
        yield f"{field}.canned_acl: {s3.canned_acl[:100]!r} is not allowed; give one of {', '.join(CANNED_ACLS)}"


def _leads_out(destination: str) -> bool:
    return any(part in (".", "..") for part in destination.split("/")) or any(ord(c) < 32 for c in destination)


def of_spec(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The one destination of a stored wish, as `{"destination": .., ..}`; None where none is wished."""
    conf = spec.get("cluster_log_conf") or {}
    return next((conf[kind] for kind in KINDS if conf.get(kind)), None)


class LogFile(msgspec.Struct, frozen=True):
    """One log on this machine. `changed`: of its last write, in ns. `launch` and `address` of its node where they are known;
    `ended`: its node is not the one that has that place in the cluster now."""

    node: str
    number: int
    name: str
    size: int
    changed: int
    launch: int
    address: str = ""
    ended: bool = False


def place(cluster_id: str, file: LogFile, piece: int | None = None) -> str:
    """Where a log goes, below the destination: what grows of it, or the finished piece of that number, from 1."""
    app = f"app-{cluster_id}-{file.launch}"
    numbered = f"--{file.launch}-{piece:05d}" if piece is not None else ""
    executor = _EXECUTOR.fullmatch(file.name)
    if file.name == EVENT_LOG:
        return f"{cluster_id}/eventlog/{app}/eventlog{numbered or _rotated(file)}"
    if file.name.startswith(NODE_LOG):
        where = f"{cluster_id}_{(file.address or file.node).replace('.', '_')}"
        return f"{cluster_id}/init_scripts/{where}/{file.name.removeprefix(NODE_LOG)}{numbered}"
    if executor:
        return f"{cluster_id}/executor/{app}/{executor[1]}/{executor[2]}{numbered}"
    if file.number:
        return f"{cluster_id}/executor/{app}/{file.node}/{file.name}{numbered}"
    return f"{cluster_id}/driver/{file.name.removeprefix('driver.')}{numbered or _rotated(file)}"


def _rotated(file: LogFile) -> str:
    return time.strftime("--%Y-%m-%d--%H-%M-%S", time.gmtime(file.changed // 10**9)) if file.ended else ""
