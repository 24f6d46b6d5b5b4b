"""Nodes as the control plane keeps them: their rows, their directories on this machine, and their tokens.

A node's directory (0700) holds its token (0600), the relay's socket and its logs; it is mounted into that node's
daemon alone. Every function may be called again after a crash: a token that is there is kept, what is gone is gone.
Called by `launch.py` and the relay.
"""

import hmac
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select

from boathouse.compute.tables import nodes
from boathouse.compute.world import NodeRow
from boathouse.store import Reader, Store

#: What the HMAC of a token is for: it cannot stand in for another one of the server's.
TOKEN_PURPOSE = "node-token"


def node_id(cluster_id: str, number: int, incarnation: int) -> str:
    """Number 0 is the driver's node; a replacement has the next incarnation, so that an id never comes back."""
    return f"{cluster_id}-{number}-{incarnation}"


def node_parts(node: str) -> tuple[int, int]:
    """Number and incarnation of a node id."""
    _, number, incarnation = node.rsplit("-", 2)
    return int(number), int(incarnation)


def place_of(node: str) -> str:
    """The id under which a node was made: its cluster's, or that of an idle instance which a cluster took when it was started
    again."""
    return node.rsplit("-", 2)[0]


def cluster_of(reader: Reader, node: str) -> str:
    """The cluster of a node."""
    found = reader.execute(_CLUSTER, {"of_node": node}).scalar()
    return place_of(node) if found is None else str(found)


_CLUSTER = select(nodes.c.cluster_id).where(nodes.c.node_id == bindparam("of_node"))


_OF_CLUSTER = select(nodes).where(nodes.c.cluster_id == bindparam("of_cluster")).order_by(nodes.c.number, nodes.c.incarnation)


def of_cluster(reader: Reader, cluster_id: str) -> tuple[NodeRow, ...]:
    """The rows of a cluster's nodes, by number and incarnation."""
    rows = reader.execute(_OF_CLUSTER, {"of_cluster": cluster_id})
    return tuple(of_row(row) for row in rows)


def of_row(row: Any) -> NodeRow:
    """A row of the table as the launch has it."""
    return NodeRow(row.node_id, row.number, row.incarnation, row.launch, row.leaving, row.made_at, row.facts or {})


class NodeDirectories:
    """The directories of nodes under a data directory. `keyed(purpose, text)` is an HMAC under the server's key, in
    hex."""

    def __init__(self, data: Path, keyed: Callable[[str, str], str]) -> None:
        self.nodes = data / "nodes"
        self.logs = data / "logs"
        self._keyed = keyed

    def path(self, node: str) -> Path:
        return self.nodes / node

    def prepare(self, node: str) -> str:
        """Have the directory and a token in it; the hash of that token. Twice: the same token."""
        directory = self.path(node)
        self.nodes.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        (directory / "logs").mkdir(mode=0o700, exist_ok=True)
        token = directory / "token"
        if not token.exists():
            part = directory / ".token"
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            part.rename(token)
        return self.hash(token.read_text().strip())

    def hash(self, token: str) -> str:
        """What the database knows of a token."""
        return self._keyed(TOKEN_PURPOSE, token)

    def archive(self, cluster_id: str, node: str) -> None:
        """Move a node's logs to where they stay after its end. What moved before is not moved again."""
        source = self.path(node) / "logs"
        if source.is_symlink() or not source.is_dir():
            return
        target = self.logs / cluster_id / node
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in sorted(source.iterdir()):
            # Only plain files: the directory was writable by the node's daemon.
            if file.is_file() and not file.is_symlink():
                os.replace(file, target / file.name)

    def keep(self, node: str, name: str, content: bytes) -> None:
        """Write a log of our own beside the node's. Once: what is there stays, also when it is no plain file."""
        try:
            folder = os.open(self.path(node) / "logs", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return  # the node is gone, or its daemon has put something else there
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        except FileExistsError:
            return
        finally:
            os.close(folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    def remove(self, node: str) -> None:
        """Remove a node's directory with its token and socket."""
        if self.path(node).exists():
            shutil.rmtree(self.path(node))

    def forget_logs(self, cluster_id: str) -> None:
        """Remove the archived logs of a cluster that was permanently deleted."""
        if (self.logs / cluster_id).exists():
            shutil.rmtree(self.logs / cluster_id)

    def present(self) -> list[str]:
        """Nodes that have a directory."""
        return sorted(path.name for path in self.nodes.iterdir()) if self.nodes.is_dir() else []


_TOKEN = select(nodes.c.token_hash).where(nodes.c.node_id == bindparam("node_id"))


class TokenCheck:
    """Whether a daemon that dials in is who it says; the relay asks."""

    def __init__(self, store: Store, directories: NodeDirectories) -> None:
        self._store, self._directories = store, directories

    def __call__(self, node: str, token: str) -> bool:
        with self._store.read() as reader:
            row: Any = reader.execute(_TOKEN, {"node_id": node}).first()
        return row is not None and hmac.compare_digest(row.token_hash, self._directories.hash(token))
