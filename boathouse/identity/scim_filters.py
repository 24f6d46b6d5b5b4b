"""SCIM filters and their meaning (RFC 7644 3.4.2.2), over documents. Pure.

The grammar, whole, is scim2-models'; it is imported when the first filter arrives. Texts compare without regard to case unless
the schema says that case counts. An attribute with several values matches when one of them does; `ne` when none is equal."""

from collections.abc import Callable, Mapping
from typing import Any

from boathouse.identity.principals import key_of
from boathouse.identity.scim_schemas import Attribute

Document = Mapping[str, Any]
Filter = Callable[[Document], bool]
Schema = Mapping[str, Attribute]

#: Characters of a filter or a path.
LONGEST = 10_000

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda here, value: here == value,
    "co": lambda here, value: value in here,
    "sw": lambda here, value: here.startswith(value),
    "ew": lambda here, value: here.endswith(value),
    "gt": lambda here, value: here > value,
    "ge": lambda here, value: here >= value,
    "lt": lambda here, value: here < value,
    "le": lambda here, value: here <= value,
}


class BadFilter(Exception):
    """The text is no filter, or not one for these attributes; the message says why."""


class Condition:
    """A parsed filter. `names`: the attributes that it asks about, lower-cased."""

    def __init__(self, node: Any, schema: Schema) -> None:
        self._node, self._schema = node, schema
        self.names: set[str] = set()
        self.matches: Filter = _Reader(schema, self.names).read(node)

    def wanted(self, name: str) -> str | None:
        """The text that the attribute `name` must equal for the filter to hold; None when it need not equal one."""
        terms = self._node.terms if _is(self._node, "LogicalExpr") and self._node.op == "and" else (self._node,)
        for term in terms:
            if _is(term, "Comparison") and term.op == "eq" and isinstance(term.value, str):
                path = term.attr_path
                if path.attr.lower() == name.lower() and path.sub_attr is None:
                    return term.value
        return None


def parse(text: str, schema: Schema) -> Condition:
    """Read a filter over documents with these attributes. Raises BadFilter."""
    if len(text) > LONGEST:
        raise BadFilter(f"it has {len(text)} characters; the limit is {LONGEST}")
    from scim2_models import InvalidFilterException, ScimFilter

    try:
        node = ScimFilter(text).ast
    except InvalidFilterException as error:
        raise BadFilter(error.detail or "it cannot be read") from None
    return Condition(node, schema)


def of_values(node: Any, attribute: Attribute) -> Condition:
    """The filter within the brackets of a path, over one value of `attribute`."""
    return Condition(node, {inner.name.lower(): inner for inner in attribute.sub or (Attribute("value"),)})


def _is(node: Any, name: str) -> bool:
    return type(node).__name__ == name


class _Reader:
    """From the library's tree to one predicate; every mistake is found here, not at the first document."""

    def __init__(self, schema: Schema, names: set[str]) -> None:
        self.schema, self.names = schema, names

    def read(self, node: Any) -> Filter:
        if _is(node, "Not"):
            inner = self.read(node.expr)
            return lambda document: not inner(document)
        if _is(node, "LogicalExpr"):
            parts = [self.read(term) for term in node.terms]
            every = node.op == "and"
            return lambda document: (all if every else any)(part(document) for part in parts)
        if _is(node, "ValuePath"):
            attribute = self._attribute(node.attr_path)
            if not attribute.many:
                raise BadFilter(f"{attribute.name} has one value: no brackets")
            inside = of_values(node.val_filter, attribute).matches
            return lambda document: any(inside(value) for value in document.get(attribute.name) or ())
        if _is(node, "Present"):
            read = self._values(node.attr_path)
            return lambda document: any(_present(value) for value in read(document))
        return self._comparison(node)

    def _attribute(self, path: Any) -> Attribute:
        found = self.schema.get(path.attr.lower())
        if found is None:
            allowed = ", ".join(sorted(attribute.name for attribute in self.schema.values()))
            raise BadFilter(f"no attribute '{path.attr[:60]}'; allowed: {allowed}")
        self.names.add(found.name.lower())
        return found

    def _leaf(self, path: Any, compare: bool) -> tuple[Attribute, Attribute | None]:
        attribute = self._attribute(path)
        inner = None
        if path.sub_attr is not None:
            inner = attribute.inside(path.sub_attr)
            if inner is None:
                allowed = ", ".join(sub.name for sub in attribute.sub) or "none"
                raise BadFilter(f"{attribute.name} has no '{path.sub_attr[:60]}'; allowed: {allowed}")
        elif compare and attribute.sub:
            inner = attribute.inside("value")
            if inner is None:
                allowed = ", ".join(f"{attribute.name}.{sub.name}" for sub in attribute.sub)
                raise BadFilter(f"{attribute.name} has parts: compare one of {allowed}")
        return attribute, inner

    def _values(self, path: Any, compare: bool = False) -> Callable[[Document], list[Any]]:
        attribute, inner = self._leaf(path, compare)
        name, sub = attribute.name, inner.name if inner else None

        def read(document: Document) -> list[Any]:
            here = document.get(name)
            found = here if attribute.many and isinstance(here, list) else [] if here is None else [here]
            return found if sub is None else [value.get(sub) for value in found if isinstance(value, Mapping)]

        return read

    def _comparison(self, node: Any) -> Filter:
        attribute, inner = self._leaf(node.attr_path, True)
        leaf, operator, value = inner or attribute, str(node.op), node.value
        read = self._values(node.attr_path, True)
        if value is None:
            if operator not in ("eq", "ne"):
                raise BadFilter(f"{operator} does not go with null")
            present: Filter = lambda document: any(_present(found) for found in read(document))  # noqa: E731
            return present if operator == "ne" else lambda document: not present(document)
        wanted = _coerced(leaf, operator, value)
        if operator == "ne":
            return lambda document: all(_seen(leaf, found) != wanted for found in read(document))
        compare = _COMPARE[operator]
        return lambda document: any(found is not None and compare(_seen(leaf, found), wanted) for found in read(document))


def _coerced(leaf: Attribute, operator: str, value: Any) -> Any:
    """The filter's value as the attribute's values are compared. Raises BadFilter."""
    if leaf.type == "boolean":
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if not isinstance(value, bool) or operator not in ("eq", "ne"):
            raise BadFilter(f"{leaf.name} is true or false, and goes with eq, ne and pr")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # ids are often written as numbers
    if not isinstance(value, str):
        raise BadFilter(f"{leaf.name} is a text: write it in double quotes")
    return value if leaf.exact else key_of(value)


def _seen(leaf: Attribute, found: Any) -> Any:
    return key_of(found) if isinstance(found, str) and not leaf.exact else found


def _present(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_present(inner) for inner in value.values())
    return value not in (None, "", [])
