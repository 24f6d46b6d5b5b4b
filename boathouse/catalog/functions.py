"""`/api/2.1/unity-catalog/functions`: what functions are; Spark does not look here yet."""

from typing import Any

import msgspec

from boathouse.catalog import access, changes, names, shown
from boathouse.catalog.access import Found
from boathouse.catalog.privileges import FUNCTION, SCHEMA
from boathouse.edge import Ctx, endpoint
from boathouse.wire.base import Empty
from boathouse.wire.catalog import (
    CreateFunction,
    DeleteQuery,
    FunctionInfo,
    FunctionInfos,
    FunctionParameters,
    GetQuery,
    ListInSchema,
    UpdateFunction,
)

PATH = "/api/2.1/unity-catalog/functions"

#: What a function says of itself in other words than all securables do.
_PARAMETERS = ("input_params", "return_params")


def info(found: Found, fields: dict[str, Any]) -> FunctionInfo:
    it = found.it
    said = {name: value for name, value in it.document.items() if name != "comment"}
    said |= {name: msgspec.convert(said[name], FunctionParameters) for name in _PARAMETERS if name in said}
    return FunctionInfo(
        **fields, **said, browse_only=True if found.browse_only else None, catalog_name=found.chain[0].name,
        schema_name=found.chain[1].name, function_id=it.securable_id,
    )  # fmt: skip


@endpoint("POST", PATH, action="unityCatalog.createFunction")
def create(ctx: Ctx, body: CreateFunction) -> FunctionInfo:
    """A function, the caller's."""
    asker = access.of_caller(ctx)
    spec = body.function_info
    with ctx.transaction() as tx:
        parent = access.look(tx, asker, SCHEMA, names.full(spec.catalog_name, spec.schema_name)).use("CREATE_FUNCTION")
        document = shown.document(spec, "name", "catalog_name", "schema_name")
        return shown.one(tx, changes.create(tx, parent, FUNCTION, spec.name, document), info)


@endpoint("GET", PATH + "/{name}", action="unityCatalog.getFunction")
def get(ctx: Ctx, query: GetQuery, name: str) -> FunctionInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, FUNCTION, name).see(query.include_browse), info)


@endpoint("GET", PATH, action="unityCatalog.listFunctions")
def list_functions(ctx: Ctx, query: ListInSchema) -> FunctionInfos:
    """The functions of a schema that the caller may see, by name."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        schema = names.full(query.catalog_name, query.schema_name)
        parent = access.look(reader, asker, SCHEMA, schema).see(query.include_browse)
        entries, token = shown.page(
            lambda after: access.below(reader, parent, FUNCTION, after, browse=query.include_browse),
            query.max_results, query.page_token,
        )  # fmt: skip
        return FunctionInfos(functions=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{name}", action="unityCatalog.updateFunction")
def update(ctx: Ctx, body: UpdateFunction, name: str) -> FunctionInfo:
    """Give a function to another owner."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        return shown.one(tx, changes.change(tx, access.look(tx, asker, FUNCTION, name).manage(), owner=body.owner), info)


@endpoint("DELETE", PATH + "/{name}", action="unityCatalog.deleteFunction")
def delete(ctx: Ctx, query: DeleteQuery, name: str) -> Empty:
    """`force` has nothing to force here."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.remove(tx, access.look(tx, asker, FUNCTION, name).manage(), query.force)
    return Empty()
