"""What the platform has and we do not serve: a table read from `endpoints.tsv`, and one answer, 501, that names the method.

The same table is the denominator of `docs/compatibility.md`.
"""

import re
from importlib.resources import files

import msgspec

from boathouse.edge.routing import Tree

#: Paths that are a resource name as a whole: `/api/2.0/{name}`.
_ROOTED = re.compile(r"/api/[\d.]+/\{")


class Platform(msgspec.Struct, frozen=True):
    """One endpoint of the platform's SDK: `names` are all SDK methods that call it (`workspace.clusters.resize`)."""

    method: str
    path: str
    names: tuple[str, ...]


class Catalogue:
    """All endpoints of the platform, by method and path."""

    def __init__(self) -> None:
        rows: dict[tuple[str, str], list[str]] = {}
        collections: dict[str, set[str]] = {}
        self.methods = 0
        for line in files("boathouse.edge").joinpath("endpoints.tsv").read_text().splitlines()[1:]:
            side, service, method, kind, verb, path = (line.split("\t") + [""] * 6)[:6]
            self.methods += 1
            if kind == "rest":
                rows.setdefault((verb, path), []).append(f"{side}.{service}.{method}")
                first = path.split("/")[3:4]
                if first and "{" not in first[0]:
                    collections.setdefault(f"{side}.{service}", set()).add(first[0])
        self.endpoints = [Platform(verb, path, tuple(names)) for (verb, path), names in sorted(rows.items())]
        self._collections = collections
        self._tree: Tree | None = None
        self._patterns: list[tuple[re.Pattern[str], Platform]] = []

    def find(self, method: str, path: str) -> Platform | None:
        """The platform's endpoint behind a request, or None. Resource names with slashes in them count too."""
        if self._tree is None:
            tree = Tree()
            for known in self.endpoints:
                if _ROOTED.match(known.path):
                    self._patterns.append((self._pattern(known), known))
                    continue
                tree.add(known.method, known.path, known)
                if "{name}" in known.path or "{parent}" in known.path:
                    self._patterns.append((self._pattern(known), known))
            # The one that says most comes first: `{parent}/tools` before `{name}`.
            self._patterns.sort(key=lambda entry: -len(re.sub(r"\{[^}]*\}", "", entry[1].path)))
            self._tree = tree
        hit = self._tree.find(method, path)
        if hit is not None:
            return hit[0]
        for pattern, known in self._patterns:
            if known.method == method and pattern.fullmatch(path):
                return known
        return None

    def _pattern(self, known: Platform) -> re.Pattern[str]:
        """The path with `name` and `parent` as resource names, which may hold slashes. Where the path begins with one, it begins
        with a collection of one of its services: `domains/{id}`."""
        parts = re.split(r"(\{[^}]*\})", known.path)
        texts = [
            ".+" if part in ("{name}", "{parent}") else "[^/]+" if part.startswith("{") else re.escape(part) for part in parts
        ]
        if _ROOTED.match(known.path):
            services = {name.rsplit(".", 1)[0] for name in known.names}
            names = sorted(name for service in services for name in self._collections.get(service, ()))
            texts[1] = f"(?:{'|'.join(map(re.escape, names))})/.+"
        return re.compile("".join(texts))
