"""The files of an image without an engine: layers merged in memory, looked at, never unpacked.

`archive_view.py` feeds it the members of each layer; nothing is written to disk, so a hostile archive has nothing to
escape to. Links are followed inside the tree, `..` ends at its root, circles end after forty links as in the kernel.
"""

import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from boathouse.images.findings import Entry, Kind
from boathouse.images.layers import WHITEOUT

OPAQUE = ".wh..wh..opq"
MOST_LINKS = 40
MOST_ENTRIES = 1_000_000
LONGEST_PATH = 4096
#: Bytes of memory that the tree may take, and what is counted for each node beside its texts (measured with CPython 3.11).
MOST_MEMORY = 136 << 20
NODE_COST, DIRECTORY_COST = 210, 216


class UnreadableArchive(ValueError):
    """What was given is no image that can be read here; the message says what is expected."""


class HostileImage(UnreadableArchive):
    """An archive that breaks a limit or contradicts itself; the message says which."""


@dataclass(slots=True)
class Node:
    """One path of the merged tree. `layer` and `member` say where a file's contents are: an empty `member` stands for the path
    itself, without its first slash."""

    kind: str  # "file", "directory", "link", "other"
    mode: int = 0o755
    size: int = 0
    target: str = ""
    layer: int = -1
    member: str = ""


class Tree:
    """What all layers together look like."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"/": Node("directory")}
        self._children: dict[str, set[str]] = {"/": set()}
        self._seen = self._memory = 0
        self._modes: dict[int, int] = {}  # one number for all nodes of the same mode
        self.size_bytes = 0
        self.buried: set[str] = set()  # files that a later layer took away

    def add(self, layer: int, member: tarfile.TarInfo) -> None:
        """Take the next member of a layer (layers lowest first). Raises HostileImage."""
        self._seen += 1
        if self._seen > MOST_ENTRIES or len(member.name) > LONGEST_PATH:
            raise HostileImage(f"the image has more than {MOST_ENTRIES} entries, or a path longer than {LONGEST_PATH}")
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise HostileImage("a path in a layer contains '..'")
        path = "/" + "/".join(parts)
        name = parts[-1] if parts else ""
        parent = "/" + "/".join(parts[:-1])
        if name == OPAQUE:
            for child in list(self._children.get(parent, ())):
                if self._nodes[child].layer != layer:
                    self._remove(child, layer)
        elif name.startswith(WHITEOUT):
            self._remove(f"{parent.rstrip('/')}/{name.removeprefix(WHITEOUT)}", layer)
        else:
            self._put(path, self._node(layer, path, member))

    def lookup(self, path: str) -> tuple[Entry, Node] | None:
        """What is at an absolute path, links followed; None where there is nothing."""
        resolved = self._resolve(path)
        if resolved is None:
            return None
        node = self._nodes[resolved]
        kind = {"file": Kind.FILE, "directory": Kind.DIRECTORY}.get(node.kind, Kind.OTHER)
        return Entry(resolved, kind, node.mode, node.size), node

    def member(self, path: str) -> tuple[int, str] | None:
        """The layer of a file and the name that its contents have there; None where there is no file."""
        found = self.lookup(path)
        if found is None or found[0].kind is not Kind.FILE:
            return None
        return found[1].layer, found[1].member or found[0].path[1:]

    def files(self) -> Iterator[tuple[str, int]]:
        """The path of every file, and the layer that it is from."""
        return ((path, node.layer) for path, node in self._nodes.items() if node.kind == "file")

    def _node(self, layer: int, path: str, member: tarfile.TarInfo) -> Node:
        mode = self._modes.setdefault(member.mode & 0o7777, member.mode & 0o7777)
        if member.isdir():
            return Node("directory", mode, layer=layer)
        if member.issym():
            return Node("link", mode, target=member.linkname[:LONGEST_PATH], layer=layer)
        if member.isreg():
            return Node("file", mode, max(0, member.size), layer=layer, member="" if member.name == path[1:] else member.name)
        if member.islnk():
            name = "/" + "/".join(part for part in member.linkname.split("/") if part not in ("", "."))
            target = self._nodes.get(name)
            if target is None or target.kind != "file":
                return Node("other", mode, layer=layer)
            data = target.member or name[1:]
            return Node("file", target.mode, 0, layer=target.layer, member=data)  # its data is counted once
        return Node("other", mode, layer=layer)

    def _put(self, path: str, node: Node) -> None:
        self._make_room(path, node.kind, node.layer)
        missing: list[str] = []
        above = path
        while above != "/":
            above = above.rpartition("/")[0] or "/"
            there = self._nodes.get(above)
            if there is not None and there.kind == "directory":
                break
            missing.append(above)
        for directory in reversed(missing):
            self._make_room(directory, "directory", node.layer)
            self._hang(directory, Node("directory", layer=node.layer))
        self._hang(path, node)

    def _make_room(self, path: str, kind: str, layer: int) -> None:
        """Take away what is at a path, unless both are directories."""
        old = self._nodes.get(path)
        if old is not None and (old.kind != "directory" or kind != "directory"):
            self._remove(path, layer)

    def _hang(self, path: str, node: Node) -> None:
        """Put a node below its directory, which is there."""
        old = self._nodes.get(path)
        self._memory += _cost(path, node) - (_cost(path, old) if old else 0)
        if self._memory > MOST_MEMORY:
            raise HostileImage(f"the names of the image's files need more than {MOST_MEMORY >> 20} MiB")
        if path != "/":
            self._children[path.rpartition("/")[0] or "/"].add(path)
        self._nodes[path] = node
        if node.kind == "directory":
            self._children.setdefault(path, set())
        self.size_bytes += node.size

    def _remove(self, path: str, layer: int) -> None:
        waiting = [path]
        while waiting:
            gone = waiting.pop()
            node = self._nodes.pop(gone, None) if gone != "/" else None
            if node is None:
                continue
            self.size_bytes -= node.size
            self._memory -= _cost(gone, node)
            if node.kind == "file" and node.layer != layer:
                self._bury(gone)
            waiting += self._children.pop(gone, ())
            self._children.get(gone.rpartition("/")[0] or "/", set()).discard(gone)

    def _bury(self, path: str) -> None:
        if path not in self.buried:
            self._memory += sys.getsizeof(path) + DIRECTORY_COST // 2
            self.buried.add(path)

    def _resolve(self, path: str) -> str | None:
        waiting = [part for part in path.split("/") if part not in ("", ".")][::-1]
        here, links = "/", 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                here = here.rpartition("/")[0] or "/"
                continue
            step = f"{here.rstrip('/')}/{part}"
            node = self._nodes.get(step)
            if node is None or self._nodes[here].kind != "directory":
                return None
            if node.kind != "link":
                here = step
                continue
            links += 1
            if links > MOST_LINKS or len(waiting) > LONGEST_PATH:
                return None
            if node.target.startswith("/"):
                here = "/"
            waiting += [piece for piece in node.target.split("/") if piece not in ("", ".")][::-1]
        return here


def _cost(path: str, node: Node) -> int:
    """Bytes of memory that a node takes, about."""
    texts = sys.getsizeof(path) + sum(sys.getsizeof(text) for text in (node.target, node.member) if text)
    return NODE_COST + texts + (DIRECTORY_COST if node.kind == "directory" else 0)
