"""Which function answers which path. `endpoint` only marks a function; `Routes` collects marked functions of modules.

Paths are matched segment by segment in a tree, so a thousand routes cost no more than one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import msgspec

from boathouse.edge.decoding import Arguments, arguments_of


class Raw(msgspec.Struct, frozen=True):
    """An answer that is not JSON, or that needs headers of its own."""

    content: bytes = b""
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Endpoint(msgspec.Struct, frozen=True):
    """One served endpoint. `action` names it in audit and access log: `clusters.create`."""

    method: str
    path: str
    function: Callable[..., Any]
    arguments: Arguments
    action: str
    also: tuple[str, ...] = ()
    public: bool = False
    anywhere: bool = False
    body_limit: int = 1 << 20
    error_shape: Callable[[Any], Any] | None = None
    error_root: str = ""
    is_async: bool = False


def endpoint(
    method: str,
    path: str,
    *,
    also: Iterable[str] = (),
    action: str = "",
    public: bool = False,
    anywhere: bool = False,
    body_limit: int = 1 << 20,
    error_shape: Callable[[Any], Any] | None = None,
    error_root: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a function as the answer to `method path` (and to the paths in `also`: other versions of the same API).

    Its parameters say what it needs: `ctx`; `body` and `query` (a `Wire` type each); `raw` (the undecoded body, bytes); `form`
    (a form-encoded body, dict); `stream` (a `Body` that is read as it arrives); any other name is a path parameter. It returns a
    `Wire`, something JSON-like, None for `{}`, `Raw`, or `Stream`.
    `public`: answered without a credential; `anywhere`: to every address, too, where the authenticator guards addresses (or the
    function asks itself). `body_limit` in bytes. `error_shape`: from an ApiError to the body of the refusal, or
    to a whole `Raw`. `error_root`: all paths under this one are refused in that shape, unknown ones and wrong methods (405) too.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        marks = function.__dict__.setdefault("endpoints", [])
        marks.append(
            {
                "method": method, "path": path, "also": tuple(also), "action": action, "public": public,
                "anywhere": anywhere, "body_limit": body_limit, "error_shape": error_shape, "error_root": error_root,
            }
        )  # fmt: skip
        return function

    return mark


class Node:
    """One place in the tree: literal segments first, then patterns, then a tail that takes the rest."""

    __slots__ = ("here", "literals", "patterns", "tails")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.patterns: list[tuple[re.Pattern[str], Node]] = []
        self.tails: list[tuple[re.Pattern[str], dict[str, Any]]] = []
        self.here: dict[str, Any] = {}


class Tree:
    """Paths with `{name}` parts, by method. A last segment such as `files{file_path}` takes the rest of the path."""

    def __init__(self) -> None:
        self._root = Node()

    def add(self, method: str, path: str, value: Any) -> None:
        segments = path.strip("/").split("/")
        node = self._root
        for position, segment in enumerate(segments):
            last = position == len(segments) - 1
            if "{" not in segment:
                node = node.literals.setdefault(segment, Node())
            elif last and re.fullmatch(r"[\w.-]+\{\w+\}", segment):
                prefix, name = segment[:-1].split("{")
                tail = re.compile(f"{re.escape(prefix)}(?P<{name}>/.*)")
                for known, methods in node.tails:
                    if known.pattern == tail.pattern:
                        methods.setdefault(method, value)
                        return
                node.tails.append((tail, {method: value}))
                return
            else:
                node = _pattern_child(node, segment)
        node.here.setdefault(method, value)

    def find(self, method: str, path: str) -> tuple[Any, dict[str, str]] | None:
        """The value for this method and path with its path parameters, or None."""
        return _find(self._root, method, path.strip("/").split("/"), 0, {})

    def methods(self, path: str) -> list[str]:
        """The methods known for a path, for telling a wrong method from a wrong path."""
        return [m for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") if self.find(m, path) is not None]


def _pattern_child(node: Node, segment: str) -> Node:
    escaped = "".join(
        f"(?P<{part[1:-1].replace('.', '_')}>[^/]+?)" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{[^}]*\})", segment)
        if part
    )
    # Two paths may name the same place differently; the first name would hide the second, so each keeps its own branch.
    for pattern, child in node.patterns:
        if pattern.pattern == escaped:
            return child
    child = Node()
    node.patterns.append((re.compile(escaped), child))
    return child


def _find(node: Node, method: str, segments: list[str], at: int, found: dict[str, str]) -> tuple[Any, dict[str, str]] | None:
    if at == len(segments):
        return (node.here[method], found) if method in node.here else None
    segment = segments[at]
    child = node.literals.get(segment)
    if child is not None:
        hit = _find(child, method, segments, at + 1, found)
        if hit is not None:
            return hit
    if segment:
        for pattern, child in node.patterns:
            match = pattern.fullmatch(segment)
            if match is not None:
                hit = _find(child, method, segments, at + 1, {**found, **match.groupdict()})
                if hit is not None:
                    return hit
    if node.tails:
        rest = "/".join(segments[at:])
        for pattern, methods in node.tails:
            match = pattern.fullmatch(rest)
            if match is not None and method in methods:
                return methods[method], {**found, **match.groupdict()}
    return None


class Routes:
    """All served endpoints."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        self.endpoints: list[Endpoint] = []
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._tree = Tree()
        self._roots: list[tuple[re.Pattern[str], Callable[[Any], Any]]] = []
        for module in modules:
            for function in vars(module).values():
                if callable(function) and getattr(function, "__module__", None) == module.__name__:
                    for mark in getattr(function, "endpoints", ()):
                        self._add(module, function, mark)

    def _add(self, module: ModuleType, function: Callable[..., Any], mark: dict[str, Any]) -> None:
        arguments = arguments_of(function, mark["path"])
        action = mark.pop("action") or f"{module.__name__.rsplit('.', 1)[-1]}.{function.__name__}"
        made = Endpoint(function=function, arguments=arguments, action=action, is_async=arguments.is_async, **mark)
        mark["action"] = action
        for path in (made.path, *made.also):
            if (made.method, path) in self._exact:
                raise ValueError(f"{made.method} {path} is served twice")
            self._exact[made.method, path] = made
            self._tree.add(made.method, path, made)
        self.endpoints.append(made)
        if made.error_root and made.error_shape is not None:
            parts = re.split(r"(\{[^}]*\})", made.error_root)
            root = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
            self._roots.append((re.compile(f"{root}/"), made.error_shape))

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        exact = self._exact.get((method, path))
        if exact is not None and "{" not in path:
            return exact, {}
        return self._tree.find(method, path)

    def methods(self, path: str) -> list[str]:
        return self._tree.methods(path)

    def shape_near(self, path: str) -> Callable[[Any], Any] | None:
        """How a protocol of its own (`error_root`) words refusals of paths under its root, those that are not served too."""
        for root, shape in self._roots:
            if root.match(path):
                return shape
        return None
