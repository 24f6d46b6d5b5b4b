"""What the platform has and we do not serve: a table read from `endpoints.tsv`, and one answer, 501, that names the method.

The same table is the denominator of `docs/compatibility.md`.
"""

import re
from dataclasses import dataclass
from importlib.resources import files

from boathouse.edge.routing import Tree


@dataclass(frozen=True)
class Platform:
    """One endpoint of the platform's SDK: `names` are all SDK methods that call it (`workspace.clusters.resize`)."""

    method: str
    path: str
    names: tuple[str, ...]


class Catalogue:
    """All endpoints of the platform, by method and path."""

    def __init__(self) -> None:
        rows: dict[tuple[str, str], list[str]] = {}
        self.methods = 0
        for line in files("boathouse.edge").joinpath("endpoints.tsv").read_text().splitlines()[1:]:
            side, service, method, kind, verb, path = (line.split("\t") + [""] * 6)[:6]
            self.methods += 1
            if kind == "rest":
                rows.setdefault((verb, path), []).append(f"{side}.{service}.{method}")
        self.endpoints = [Platform(verb, path, tuple(names)) for (verb, path), names in sorted(rows.items())]
        self._tree: Tree | None = None

    def find(self, method: str, path: str) -> Platform | None:
        """The platform's endpoint behind a request, or None. Names with slashes in them count too."""
        if self._tree is None:
            self._tree = Tree()
            for known in self.endpoints:
                self._tree.add(known.method, known.path, known)
        hit = self._tree.find(method, path)
        if hit is not None:
            return hit[0]
        return self._with_slashes(method, path)

    def _with_slashes(self, method: str, path: str) -> Platform | None:
        for known in self.endpoints:
            if known.method == method and "{" in known.path:
                pattern = "".join(
                    ".+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", known.path)
                )
                if re.fullmatch(pattern, path):
                    return known
        return None
