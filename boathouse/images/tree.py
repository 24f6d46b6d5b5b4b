"""The files of an image without an engine: layers merged in memory, looked at, never unpacked.

`archive_view.py` feeds it the members of each layer; nothing is written to disk, so a hostile archive has nothing to
escape to. Links are followed inside the tree, `..` ends at its root, circles end after forty links as in the kernel.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from boathouse.images.findings import Entry, Kind
from boathouse.images.layers import WHITEOUT

OPAQUE = ".wh..wh..opq"
MOST_LINKS = 40
MOST_ENTRIES = 1_000_000
LONGEST_PATH = 4096


class UnreadableArchive(ValueError):
    """What was given is no image that can be read here; the message says what is expected."""


class HostileImage(UnreadableArchive):
    """An archive that breaks a limit or contradicts itself; the message says which."""


@dataclass
class Node:
    """One path of the merged tree. `layer` and `member` say where a file's contents are."""

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
        self._seen = 0
        self.size_bytes = 0
        self.buried: set[str] = set()  # files that a later layer took away

    def add(self, layer: int, member: tarfile.TarInfo) -> None:
        """Take the next member of a layer (layers lowest first). Raises HostileImage."""
        self._seen += 1
        if self._seen > MOST_ENTRIES or len(member.name) > LONGEST_PATH:
            raise HostileImage(f"the image has more than {MOST_ENTRIES} entries, or a path longer than {LONGEST_PATH}")
        parts = [part for part in PurePosixPath("/" + member.name).parts[1:] if part != "."]
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
            self._put(path, _node(layer, member, self))

    def lookup(self, path: str) -> tuple[Entry, Node] | None:
        """What is at an absolute path, links followed; None where there is nothing."""
        resolved = self._resolve(path)
        if resolved is None:
            return None
        node = self._nodes[resolved]
        kind = {"file": Kind.FILE, "directory": Kind.DIRECTORY}.get(node.kind, Kind.OTHER)
        return Entry(resolved, kind, node.mode, node.size), node

    def files(self) -> Iterator[tuple[str, int]]:
        """The path of every file, and the layer that it is from."""
        return ((path, node.layer) for path, node in self._nodes.items() if node.kind == "file")

    def at(self, path: str) -> Node | None:
        """The node of a normal path itself, links not followed: for hard links."""
        return self._nodes.get(path)

    def _put(self, path: str, node: Node) -> None:
        old = self._nodes.get(path)
        if old is not None and (old.kind != "directory" or node.kind != "directory"):
            self._remove(path, node.layer)
        parent = path.rpartition("/")[0] or "/"
        if path != "/":
            above = self._nodes.get(parent)
            if above is None or above.kind != "directory":
                self._put(parent, Node("directory", layer=node.layer))
            self._children[parent].add(path)
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
            if node.kind == "file" and node.layer != layer:
                self.buried.add(gone)
            waiting += self._children.pop(gone, ())
            self._children.get(gone.rpartition("/")[0] or "/", set()).discard(gone)

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


def _node(layer: int, member: tarfile.TarInfo, tree: Tree) -> Node:
    mode = member.mode & 0o7777
    if member.isdir():
        return Node("directory", mode, layer=layer)
    if member.issym():
        return Node("link", mode, target=member.linkname[:LONGEST_PATH], layer=layer)
    if member.isreg():
        return Node("file", mode, max(0, member.size), layer=layer, member=member.name)
    if member.islnk():
        target = tree.at("/" + "/".join(part for part in member.linkname.split("/") if part not in ("", ".")))
        if target is None or target.kind != "file":
            return Node("other", mode, layer=layer)
        return Node("file", target.mode, 0, layer=target.layer, member=target.member)  # its data is counted once
    return Node("other", mode, layer=layer)
