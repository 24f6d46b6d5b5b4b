"""`/api/2.1/unity-catalog/tables`: what tables are, not what is in them. Spark does not look here yet."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from boathouse.catalog import access, changes, external_locations, names, shown
from boathouse.catalog.access import Found
from boathouse.catalog.privileges import CATALOG, SCHEMA, TABLE
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import ApiError, invalid
from boathouse.edge.paging import decode_token, encode_token
from boathouse.wire.base import Empty
from boathouse.wire.catalog import (
    ColumnInfo,
    CreateTable,
    GetTable,
    ListSummaries,
    ListTables,
    TableExists,
    TableInfo,
    TableInfos,
    TableSummaries,
    TableSummary,
    UpdateTable,
)

PATH = "/api/2.1/unity-catalog/tables"


def info(found: Found, fields: dict[str, Any]) -> TableInfo:
    it = found.it
    columns = it.document.get("columns")
    return TableInfo(
        **fields, browse_only=True if found.browse_only else None, catalog_name=found.chain[0].name,
        schema_name=found.chain[1].name, columns=msgspec.convert(columns, list[ColumnInfo]) if columns is not None else None,
        data_source_format=it.document["data_source_format"], properties=it.document.get("properties"),
        storage_location=it.document.get("storage_location"), table_id=it.securable_id, table_type=it.document["table_type"],
    )  # fmt: skip


@endpoint("POST", PATH, action="unityCatalog.createTable")
def create(ctx: Ctx, body: CreateTable) -> TableInfo:
    """A table, the caller's. An EXTERNAL one is where an external location allows it."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        parent = access.look(tx, asker, SCHEMA, names.full(body.catalog_name, body.schema_name)).use("CREATE_TABLE")
        document = shown.document(body, "name", "catalog_name", "schema_name")
        if body.table_type == "EXTERNAL":
            url = external_locations.covered(tx, asker, body.storage_location, "CREATE_EXTERNAL_TABLE")
            document["storage_location"] = url
        elif body.storage_location:
            raise invalid("CreateTable storage_location can not be provided for a MANAGED table.")
        return shown.one(tx, changes.create(tx, parent, TABLE, body.name, document), info)


@endpoint("GET", PATH + "/{full_name}", action="unityCatalog.getTable")
def get(ctx: Ctx, query: GetTable, full_name: str) -> TableInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, TABLE, full_name).see(query.include_browse), info)


@endpoint("GET", PATH + "/{full_name}/exists", action="unityCatalog.tableExists")
def exists(ctx: Ctx, full_name: str) -> TableExists:
    """Whether there is such a table that the caller may see."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        try:
            access.look(reader, asker, TABLE, full_name).see(browse=True)
        except ApiError as error:
            if error.error_code != "TABLE_DOES_NOT_EXIST":
                raise
            return TableExists(table_exists=False)
    return TableExists(table_exists=True)


@endpoint("GET", PATH, action="unityCatalog.listTables")
def list_tables(ctx: Ctx, query: ListTables) -> TableInfos:
    """The tables of a schema that the caller may see, by name."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        schema = names.full(query.catalog_name, query.schema_name)
        parent = access.look(reader, asker, SCHEMA, schema).see(query.include_browse)
        entries, token = shown.page(
            lambda after: access.below(reader, parent, TABLE, after, browse=query.include_browse),
            query.max_results, query.page_token,
        )  # fmt: skip
        tables = shown.shown(reader, entries, info)
    for table in tables:
        table.columns = None if query.omit_columns else table.columns
        table.properties = None if query.omit_properties else table.properties
        if query.omit_username:
            table.owner = table.created_by = table.updated_by = None
    return TableInfos(tables=tables, next_page_token=token)


@endpoint("GET", "/api/2.1/unity-catalog/table-summaries", action="unityCatalog.listTableSummaries")
def list_summaries(ctx: Ctx, query: ListSummaries) -> TableSummaries:
    """Names of the tables of a whole catalog that the caller may see."""
    asker = access.of_caller(ctx)
    size = shown.size_of(query.max_results)
    begin = decode_token(query.page_token, list[str]) if query.page_token else ["", ""]
    if len(begin) != 2:
        raise invalid("page_token: it is not a token that this API gave out; leave it out to begin")
    tables: list[TableSummary] = []
    with ctx.read() as reader:
        catalog = access.look(reader, asker, CATALOG, query.catalog_name).see()

        def found() -> Iterator[tuple[Found, Found]]:
            schemas = access.below(reader, catalog, SCHEMA)
            for schema in schemas:
                if schema.it.name < begin[0] or not _like(query.schema_name_pattern, schema.it.name):
                    continue
                after = begin[1] if schema.it.name == begin[0] else ""
                yield from ((schema, table) for table in access.below(reader, schema, TABLE, after))

        last = begin
        for schema, table in found():
            if not _like(query.table_name_pattern, table.it.name):
                continue
            if size is not None and len(tables) == size:
                return TableSummaries(tables=tables, next_page_token=encode_token(last))
            tables.append(TableSummary(full_name=table.it.full_name, table_type=table.it.document["table_type"]))
            last = [schema.it.name, table.it.name]
    return TableSummaries(tables=tables)


def _like(pattern: str | None, name: str) -> bool:
    """Whether a name is as a pattern of SQL's LIKE says: `%` is any text, `_` any one character."""
    if pattern is None:
        return True
    words = {"%": ".*", "_": "."}
    expression = "".join(words.get(character, re.escape(character)) for character in re.sub("%+", "%", pattern.lower()))
    return re.fullmatch(expression, name, re.S) is not None


@endpoint("PATCH", PATH + "/{full_name}", action="unityCatalog.updateTable")
def update(ctx: Ctx, body: UpdateTable, full_name: str) -> Empty:
    """Give a table to another owner."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.change(tx, access.look(tx, asker, TABLE, full_name).manage(), owner=body.owner)
    return Empty()


@endpoint("DELETE", PATH + "/{full_name}", action="unityCatalog.deleteTable")
def delete(ctx: Ctx, full_name: str) -> Empty:
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.remove(tx, access.look(tx, asker, TABLE, full_name).manage(), force=True)
    return Empty()
