"""`/api/2.1/unity-catalog/catalogs`: the first part of three-level names. A new catalog has the schema `default`."""

from typing import Any

from boathouse.catalog import access, binding_rows, changes, external_locations, securables, shown
from boathouse.catalog.access import Found
from boathouse.catalog.assignment import DEFAULT
from boathouse.catalog.privileges import CATALOG
from boathouse.edge import Ctx, endpoint
from boathouse.wire.base import Empty
from boathouse.wire.catalog import (
    CatalogInfo,
    CatalogInfos,
    CreateCatalog,
    DeleteQuery,
    GetQuery,
    ListUnbound,
    UpdateCatalog,
)

PATH = "/api/2.1/unity-catalog/catalogs"


def info(found: Found, fields: dict[str, Any]) -> CatalogInfo:
    it = found.it
    root = it.document.get("storage_root")
    return CatalogInfo(
        **fields, browse_only=True if found.browse_only else None, catalog_type="MANAGED_CATALOG",
        enable_predictive_optimization=it.document.get("enable_predictive_optimization"),
        isolation_mode="ISOLATED" if it.isolated else "OPEN", properties=it.document.get("properties"),
        securable_type="CATALOG", storage_root=root,
        storage_location=f"{root}/__unitystorage/catalogs/{it.securable_id}" if root else None,
    )  # fmt: skip


@endpoint("POST", PATH, action="unityCatalog.createCatalog")
def create(ctx: Ctx, body: CreateCatalog) -> CatalogInfo:
    """A new catalog, the caller's."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        parent = access.metastore(tx, asker).use("CREATE_CATALOG")
        document = shown.document(body, "name")
        if body.storage_root is not None:
            document["storage_root"] = external_locations.covered(tx, asker, body.storage_root, "CREATE_MANAGED_STORAGE")
        made = changes.create(tx, parent, CATALOG, body.name, document)
        about = {"comment": "Default schema (auto-created)"}
        owner = asker.principal_id
        securables.create(tx, asker.metastore.metastore_id, made.it, "SCHEMA", DEFAULT, owner, asker.name, about)
        return shown.one(tx, made, info)


@endpoint("GET", PATH + "/{name}", action="unityCatalog.getCatalog")
def get(ctx: Ctx, query: GetQuery, name: str) -> CatalogInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, CATALOG, name).see(query.include_browse), info)


@endpoint("GET", PATH, action="unityCatalog.listCatalogs")
def list_catalogs(ctx: Ctx, query: ListUnbound) -> CatalogInfos:
    """The catalogs that the caller may see, by name."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        parent = access.metastore(reader, asker)
        entries, token = shown.page(
            lambda after: access.below(
                reader, parent, CATALOG, after, browse=query.include_browse, unbound=query.include_unbound
            ),
            query.max_results, query.page_token,
        )  # fmt: skip
        return CatalogInfos(catalogs=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{name}", action="unityCatalog.updateCatalog")
def update(ctx: Ctx, body: UpdateCatalog, name: str) -> CatalogInfo:
    """Change what is given. A catalog that becomes ISOLATED is bound to the caller's workspace."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, CATALOG, name).manage()
        isolated = None if body.isolation_mode is None else body.isolation_mode == "ISOLATED"
        binding_rows.bind_here(tx, found, isolated)
        changed = changes.change(
            tx, found, new_name=body.new_name, owner=body.owner, isolated=isolated,
            document=shown.document(body, "new_name", "owner", "isolation_mode"),
        )  # fmt: skip
        return shown.one(tx, changed, info)


@endpoint("DELETE", PATH + "/{name}", action="unityCatalog.deleteCatalog")
def delete_catalog(ctx: Ctx, query: DeleteQuery, name: str) -> Empty:
    """End a catalog; with `force` all that is in it."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.remove(tx, access.look(tx, asker, CATALOG, name).manage(), query.force)
    return Empty()
