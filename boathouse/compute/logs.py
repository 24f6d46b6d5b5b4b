"""The logs of a cluster's nodes: of those that run, through their daemons; of those that ended, from the archive.

`LogReader` is also how a failed launch gets the lines that explain it. Files are named as the launch names them:
`driver.stderr`, `executor-3.stdout`, and what command contexts add. Endpoint: GET
/api/2.0/boathouse/clusters/{id}/logs.
"""

import base64
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from boathouse.compute import access, cluster_spec
from boathouse.compute.nodes import NodeDirectories
from boathouse.compute.tables import nodes
from boathouse.dataplane.contract import Link, NodeError, NodeGone
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.wire.base import Wire

#: Bytes of log that one answer holds at most, and by default.
MOST, DEFAULT = 1 << 20, 256 << 10

#: The platform's setting that lets all who may attach read the logs: `false`.
FOR_ALL = "spark.databricks.acl.needAdminPermissionToViewLogs"

FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class LogReader:
    """Reads logs wherever they are now."""

    def __init__(self, link: Link, directories: NodeDirectories) -> None:
        self._link, self._directories = link, directories

    def read(self, cluster_id: str, node: str, file: str, offset: int, limit: int) -> tuple[bytes, int, int] | None:
        """`limit` bytes from `offset` (negative: from the end) as (data, offset, size); None when there is no such
        log."""
        if not FILE.fullmatch(file):
            return None
        live = self._live(node, file, offset, limit)
        if live is not None:
            return live
        for path in self._places(cluster_id, node):
            found = _read_file(path / file, offset, limit)
            if found is not None:
                return found
        return None

    def _live(self, node: str, file: str, offset: int, limit: int) -> tuple[bytes, int, int] | None:
        """The same from a daemon that is up; None when it is gone or has no such file: the archive may have it."""
        if not self._link.connected(node):
            return None
        try:
            answer = self._link.call(node, "read_log", {"file": file, "offset": offset, "limit": limit}, timeout=10.0)
        except (NodeGone, NodeError):
            return None
        return base64.b64decode(answer["data"]), int(answer["offset"]), int(answer["size"])

    def tail(self, cluster_id: str, node: str, file: str, limit: int) -> str:
        """The last `limit` bytes of a log as text, from the beginning of a line; empty when there is none."""
        found = self.read(cluster_id, node, file, -limit, limit)
        if found is None:
            return ""
        data, offset, _ = found
        text = data.decode("utf-8", "replace")
        if offset > 0:
            text = text.partition("\n")[2]
        return text.strip()

    def listed(self, cluster_id: str, node: str) -> list[tuple[str, int, int]]:
        """The logs of a node that are on this machine: name, size in bytes, time of the last write in ns."""
        found: dict[str, tuple[str, int, int]] = {}
        for path in self._places(cluster_id, node):
            if path.is_dir() and not path.is_symlink():
                for entry in os.scandir(path):
                    if entry.is_file(follow_symlinks=False) and FILE.fullmatch(entry.name):
                        seen = entry.stat(follow_symlinks=False)
                        found.setdefault(entry.name, (entry.name, seen.st_size, seen.st_mtime_ns))
        return sorted(found.values())

    @contextmanager
    def opened(self, cluster_id: str, node: str, file: str) -> Iterator["OpenLog | None"]:
        """A log on this machine, to be read in pieces; None when there is none."""
        for path in self._places(cluster_id, node):
            descriptor = _open_plain(path / file)
            if descriptor is not None:
                try:
                    yield OpenLog(descriptor)
                finally:
                    os.close(descriptor)
                return
        yield None

    def archived(self, cluster_id: str) -> list[str]:
        """Nodes of a cluster that have archived logs."""
        folder = self._directories.logs / cluster_id
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def _places(self, cluster_id: str, node: str) -> list[Path]:
        return [self._directories.path(node) / "logs", self._directories.logs / cluster_id / node]


class Freed(Exception):
    """What was to be read is no longer kept."""


class OpenLog:
    """A log by its descriptor. The node's daemon frees the middle of long ones, also while they are read: bytes keep their
    offsets, and what is freed is a hole of the file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def kept(self, offset: int, end: int) -> tuple[int, int]:
        """The first bytes at or after `offset` that are kept, as (begin, end); (`end`, `end`) when there are none before it."""
        try:
            begin = os.lseek(self._descriptor, offset, os.SEEK_DATA)
            return min(begin, end), min(os.lseek(self._descriptor, begin, os.SEEK_HOLE), end)
        except OSError:
            return end, end

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that are kept. Raises Freed when they are not, or not all of them any more."""
        data = os.pread(self._descriptor, length, offset)
        if data and self.kept(offset, offset + len(data)) != (offset, offset + len(data)):
            raise Freed
        return data


def _read_file(path: Path, offset: int, limit: int) -> tuple[bytes, int, int] | None:
    descriptor = _open_plain(path)
    if descriptor is None:
        return None
    try:
        opened = OpenLog(descriptor)
        size = opened.size()
        at = min(size, max(0, size + offset if offset < 0 else offset))
        while True:
            begin, end = opened.kept(at, size)
            try:
                return opened.read(begin, min(limit, end - begin)), begin, size
            except Freed:
                continue  # look again where what is kept begins
    finally:
        os.close(descriptor)


def _open_plain(path: Path) -> int | None:
    """A descriptor to read from. The node's daemon could write here: a link, a directory or a pipe is no log, and a link to a
    folder is no folder of logs."""
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


class ListLogs(Wire):
    """What is asked: without `node` and `file`, which logs there are. `offset` below 0 counts from the end."""

    node: str = ""
    file: str = ""
    offset: int = -DEFAULT
    limit: int = DEFAULT


@endpoint("GET", "/api/2.0/boathouse/clusters/{cluster_id}/logs", action="clusters.logs")
def read_logs(ctx: Ctx, cluster_id: str, query: ListLogs) -> dict[str, Any]:
    """The logs of a cluster: the list of them, or a piece of one as text. For those who may manage it; its `spark_conf` may let
    all who may attach read them, as on the platform. Whoever follows a log asks again from `next_offset`; a `size` below it
    says that the log began anew. Of a long log the middle is not kept: an `offset` past the one that was asked for says so, and
    `dropped` how many bytes that are."""
    if not 1 <= query.limit <= MOST:
        raise invalid(f"limit: {query.limit} is not allowed; give 1 to {MOST}")
    reader = ctx.service(LogReader)
    with ctx.read() as snapshot:
        row = access.find(snapshot, ctx.caller, cluster_id, "see")
        conf = cluster_spec.load(row.spec).spark_conf or {}
        access.find(snapshot, ctx.caller, cluster_id, "attach" if conf.get(FOR_ALL, "").lower() == "false" else "manage")
        live = [row.node_id for row in snapshot.execute(select(nodes.c.node_id).where(nodes.c.cluster_id == cluster_id))]
    known = sorted(set(live) | set(reader.archived(cluster_id)))
    if not query.file:
        shown = [query.node] if query.node else known
        return {
            "logs": [
                {"node": node, "running": node in live, "file": file, "size": size}
                for node in shown
                if node in known
                for file, size, _ in reader.listed(cluster_id, node)
            ]
        }
    node = query.node or (known[0] if known else "")
    found = reader.read(cluster_id, node, query.file, query.offset, query.limit) if node in known else None
    if found is None:
        raise not_found(f"Node '{node}' of cluster {cluster_id} has no log '{query.file}'.")
    data, offset, size = found
    data = whole_characters(data)
    return {
        "node": node, "file": query.file, "offset": offset, "size": size, "next_offset": offset + len(data),
        "dropped": max(0, offset - query.offset) if 0 <= query.offset <= size else 0,
        "running": node in live, "text": data.decode("utf-8", "replace"),
    }  # fmt: skip


def whole_characters(data: bytes) -> bytes:
    """`data` without the beginning of a character at its end, which comes with the next piece.

    >>> whole_characters("a\u20ac".encode()[:-1])
    b'a'
    """
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # where a character begins, and how long it says it is
            length = 1 if byte < 0x80 else 2 if byte >> 5 == 6 else 3 if byte >> 4 == 14 else 4 if byte >> 3 == 30 else 1
            return data[:-back] if length > back and len(data) > back else data
    return data
