"""The catalog's statements of SQL for command contexts: `ground.ContextCatalog` on the catalog room. Each is decided as the
context's principal with the rights of the moment, and what changes something leaves its audit record."""

from typing import Any

from boathouse.catalog import access, sql
from boathouse.catalog.access import Asker
from boathouse.catalog.statements import ShowGrants
from boathouse.edge.caller import Caller
from boathouse.edge.context import Ctx, record
from boathouse.edge.errors import denied, invalid
from boathouse.identity import principals
from boathouse.store import Reader, Store

#: Characters of one statement.
MAX_STATEMENT = 64_000


class WorkspaceCatalog:
    """See `ground.ContextCatalog`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sql(self, workspace_id: int, principal_id: int, text: str) -> dict[str, Any]:
        if len(text) > MAX_STATEMENT:
            raise invalid(f"The statement has {len(text)} characters; the limit is {MAX_STATEMENT}.")
        statement = sql.parsed(text)
        access.provide(self._store, workspace_id)
        if isinstance(statement, ShowGrants):
            with self._store.read() as reader:
                table = sql.show(reader, _asker(reader, workspace_id, principal_id), statement)
            return {"columns": list(table.columns), "rows": [list(row) for row in table.rows]}
        with self._store.transaction() as tx:
            asker = _asker(tx, workspace_id, principal_id)
            sql.change(tx, asker, statement)
            caller = Caller(principal_id, asker.name, "user", workspace_id)
            ctx = Ctx(self._store, caller, action="unityCatalog.sql", params={"statement": text})
            record(tx, ctx, 200)
        return {}


def _asker(reader: Reader, workspace_id: int, principal_id: int) -> Asker:
    who = principals.by_id(reader, principal_id)
    if who is None or not who.active or not principals.assigned(reader, principal_id, workspace_id):
        raise denied("The owner of this context is no longer an active member of the workspace")
    asker = access.of_principal(reader, workspace_id, principal_id, who.name)
    if asker is None:
        raise access.no_metastore()
    return asker
