"""Looking at principals through SCIM: which are visible from a workspace or the account, one of them, lists with filters,
sorting and pages that end."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, false, func, select

from boathouse.identity import principals, scim_filters
from boathouse.identity.principals import GROUP, SERVICE_PRINCIPAL, USER, Principal
from boathouse.identity.scim_documents import COLUMNS, ScimError, Scope, Wanted, documents, listing, wanted
from boathouse.identity.scim_filters import Condition
from boathouse.identity.scim_schemas import WORD, attributes
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.identity.tables import principals as table
from boathouse.store import Reader
from boathouse.wire.identity import GetQuery, ListQuery

#: Resources on one page at most, whatever `count` asks for.
LARGEST_PAGE = 10_000

#: What can be looked up by a column's index when a filter wants equality.
_NAME = {USER: "userName", SERVICE_PRINCIPAL: "applicationId", GROUP: "displayName"}


def visible(scope: Scope) -> ColumnElement[bool]:
    """The principals that there are for `scope`: in the account its own; in a workspace those assigned to it and its groups."""
    there = (table.c.account_id == scope.account_id) & table.c.removed_at.is_(None)
    if scope.account:
        return there & (table.c.workspace_id == ACCOUNT_LEVEL)
    inside = principals.assigned_ids(scope.workspace_id)
    return there & ((table.c.workspace_id == scope.workspace_id) | table.c.principal_id.in_(select(inside.c.member_id)))


def find(reader: Reader, scope: Scope, id: str, kind: str | None = None) -> Principal:
    """The principal with this id, of this kind, if `scope` sees it. Raises ScimError 404."""
    found = principals.by_id(reader, int(id)) if re.fullmatch(r"[0-9]{1,18}", id, re.ASCII) else None
    if found is None or kind not in (None, found.kind) or not _sees(reader, scope, found):
        raise ScimError(404, f"{WORD[kind] if kind else 'Principal'} with id {id[:64]} not found.")
    return found


def _sees(reader: Reader, scope: Scope, found: Principal) -> bool:
    if found.account_id != scope.account_id:
        return False
    if found.workspace_id == scope.workspace_id and (scope.account or found.kind == GROUP):
        return True
    return not scope.account and principals.assigned(reader, found.principal_id, scope.workspace_id)


def get(reader: Reader, scope: Scope, kind: str, id: str, query: GetQuery) -> dict[str, Any]:
    """One principal."""
    found = find(reader, scope, id, kind)
    whole = scope.admin or found.principal_id == scope.caller_id
    row = reader.execute(select(*COLUMNS).where(table.c.principal_id == found.principal_id)).one()
    return documents(reader, scope, [row], wanted(query.attributes, query.excluded_attributes, whole))[0]


def list_(reader: Reader, scope: Scope, kinds: Sequence[str], query: ListQuery) -> dict[str, Any]:
    """A page of principals of `kinds`, by name unless `sortBy` says otherwise. Past the end it is empty."""
    start, count = max(1, query.start_index), min(max(0, query.count), LARGEST_PAGE)
    if query.sort_order not in ("ascending", "descending"):
        raise ScimError(400, "sortOrder is ascending or descending.", "invalidValue")
    descending = query.sort_order == "descending"
    shown = wanted(query.attributes, query.excluded_attributes, scope.admin)
    there = visible(scope) & table.c.kind.in_(list(kinds))
    if not query.filter.strip() and not query.sort_by:
        total = reader.execute(select(func.count()).select_from(table).where(there)).scalar_one()
        order = [column.desc() if descending else column.asc() for column in (table.c.name_key, table.c.principal_id)]
        page = reader.execute(select(*COLUMNS).where(there).order_by(*order).limit(count).offset(start - 1)).all()
        return listing(documents(reader, scope, page, shown), total, start)
    # Of several kinds at once, an attribute that one of them lacks chooses nothing there (RFC 7644 3.4.2.1).
    schema = {name: attribute for kind in kinds for name, attribute in attributes(kind, scope.account).items()}
    rows: list[Row[Any]] = []
    for kind in kinds:
        rows += _chosen(reader, scope, kind, there, query.filter.strip(), schema)
    if query.sort_by:
        rows = _sorted(reader, scope, kinds, rows, query.sort_by)
    if descending:
        rows.reverse()
    page = rows[start - 1 : start - 1 + count]
    return listing(documents(reader, scope, page, shown), len(rows), start)


def _chosen(
    reader: Reader, scope: Scope, kind: str, there: ColumnElement[bool], text: str, schema: scim_filters.Schema
) -> list[Row[Any]]:
    """The rows of a kind that a filter (or "") over the attributes of `schema` holds for."""
    condition: Condition | None = None
    if text:
        try:
            condition = scim_filters.parse(text, schema)
        except scim_filters.BadFilter as error:
            raise ScimError(400, f"Invalid filter: {error}.", "invalidFilter") from None
        there = there & _narrowed(kind, condition)
    query = select(*COLUMNS).where(there, table.c.kind == kind).order_by(table.c.name_key, table.c.principal_id)
    rows = list(reader.execute(query))
    if condition is None or not rows:
        return rows
    # With what the caller may not see of others, nobody filters either.
    asked = Wanted(frozenset(condition.names)) if scope.admin else wanted(",".join(condition.names), "", False)
    found = documents(reader, scope, rows, asked)
    return [row for row, document in zip(rows, found, strict=True) if condition.matches(document)]


def _narrowed(kind: str, condition: Condition) -> ColumnElement[bool]:
    """What of a filter an index can answer: equality of name, id or external id. True where nothing of it can."""
    narrow: ColumnElement[bool] = table.c.kind == kind
    name = condition.wanted(_NAME[kind])
    if name is not None:
        narrow = narrow & (table.c.name_key == principals.key_of(name))
    id = condition.wanted("id")
    if id is not None:
        exact = re.fullmatch(r"[0-9]{1,18}", id, re.ASCII)
        narrow = narrow & (table.c.principal_id == int(id) if exact else false())
    external_id = condition.wanted("externalId")
    if external_id is not None:
        narrow = narrow & (table.c.external_id == external_id)
    return narrow


def _sorted(reader: Reader, scope: Scope, kinds: Sequence[str], rows: list[Row[Any]], by: str) -> list[Row[Any]]:
    """Rows by an attribute of theirs, without regard to case; those that lack it come last."""
    head, _, part = by.partition(".")
    known: dict[str, str] = {}
    for kind in kinds:
        for name, attribute in attributes(kind, scope.account).items():
            inner = attribute.inside(part) if part else None
            if (not attribute.sub and not part) or inner is not None:
                known[name] = attribute.name
    name = known.get(head.lower())
    if name is None:
        raise ScimError(400, f"Cannot sort by '{by[:60]}'. Allowed: {', '.join(sorted(known.values()))}.", "invalidValue")
    if not scope.admin and not wanted(name, "", False)(name):
        raise ScimError(400, f"Cannot sort by '{by[:60]}': only admins see it.", "invalidValue")
    found = documents(reader, scope, rows, Wanted(frozenset({name.lower()})))

    def key(position: int) -> tuple[bool, str]:
        value = found[position].get(name)
        if isinstance(value, list):
            value = next((entry for entry in value if entry.get("primary")), value[0] if value else None)
        if isinstance(value, dict):
            value = next((inner for key, inner in value.items() if key.lower() == part.lower()), None)
        return value is None, principals.key_of(str(value))

    return [rows[position] for position in sorted(range(len(rows)), key=key)]
