"""`/api/2.1/unity-catalog/schemas`."""

from typing import Any

from boathouse.catalog import access, changes, external_locations, shown
from boathouse.catalog.access import Found
from boathouse.catalog.privileges import CATALOG, SCHEMA
from boathouse.edge import Ctx, endpoint
from boathouse.wire.base import Empty
from boathouse.wire.catalog import CreateSchema, DeleteQuery, GetQuery, ListSchemas, SchemaInfo, SchemaInfos, UpdateSchema

PATH = "/api/2.1/unity-catalog/schemas"


def info(found: Found, fields: dict[str, Any]) -> SchemaInfo:
    it = found.it
    root = it.document.get("storage_root")
    return SchemaInfo(
        **fields, browse_only=True if found.browse_only else None, catalog_name=found.chain[0].name,
        catalog_type="MANAGED_CATALOG", enable_predictive_optimization=it.document.get("enable_predictive_optimization"),
        properties=it.document.get("properties"), schema_id=it.securable_id, storage_root=root,
        storage_location=f"{root}/__unitystorage/schemas/{it.securable_id}" if root else None,
    )  # fmt: skip


@endpoint("POST", PATH, action="unityCatalog.createSchema")
def create(ctx: Ctx, body: CreateSchema) -> SchemaInfo:
    """A new schema, the caller's."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        parent = access.look(tx, asker, CATALOG, body.catalog_name).use("CREATE_SCHEMA")
        document = shown.document(body, "name", "catalog_name")
        if body.storage_root is not None:
            document["storage_root"] = external_locations.covered(tx, asker, body.storage_root, "CREATE_MANAGED_STORAGE")
        return shown.one(tx, changes.create(tx, parent, SCHEMA, body.name, document), info)


@endpoint("GET", PATH + "/{full_name}", action="unityCatalog.getSchema")
def get(ctx: Ctx, query: GetQuery, full_name: str) -> SchemaInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, SCHEMA, full_name).see(query.include_browse), info)


@endpoint("GET", PATH, action="unityCatalog.listSchemas")
def list_schemas(ctx: Ctx, query: ListSchemas) -> SchemaInfos:
    """The schemas of a catalog that the caller may see, by name."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        parent = access.look(reader, asker, CATALOG, query.catalog_name).see(query.include_browse)
        entries, token = shown.page(
            lambda after: access.below(reader, parent, SCHEMA, after, browse=query.include_browse),
            query.max_results, query.page_token,
        )  # fmt: skip
        return SchemaInfos(schemas=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{full_name}", action="unityCatalog.updateSchema")
def update(ctx: Ctx, body: UpdateSchema, full_name: str) -> SchemaInfo:
    """Change what is given."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, SCHEMA, full_name).manage()
        document = shown.document(body, "new_name", "owner")
        return shown.one(tx, changes.change(tx, found, new_name=body.new_name, owner=body.owner, document=document), info)


@endpoint("DELETE", PATH + "/{full_name}", action="unityCatalog.deleteSchema")
def delete(ctx: Ctx, query: DeleteQuery, full_name: str) -> Empty:
    """End a schema; with `force` all that is in it."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.remove(tx, access.look(tx, asker, SCHEMA, full_name).manage(), query.force)
    return Empty()
