"""`/api/2.1/unity-catalog/volumes`. The files of a managed volume are kept by its id (`workspace.files.tree`): it can be renamed,
and one that is ended takes its files with it, whatever has its name later."""

from typing import Any

from boathouse.catalog import access, changes, external_locations, names, shown
from boathouse.catalog.access import Found
from boathouse.catalog.privileges import SCHEMA, VOLUME
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.wire.base import Empty
from boathouse.wire.catalog import CreateVolume, GetQuery, ListInSchema, UpdateVolume, VolumeInfo, VolumeInfos

PATH = "/api/2.1/unity-catalog/volumes"


def info(found: Found, fields: dict[str, Any]) -> VolumeInfo:
    it = found.it
    return VolumeInfo(
        **fields, browse_only=True if found.browse_only else None, catalog_name=found.chain[0].name,
        schema_name=found.chain[1].name, volume_id=it.securable_id, volume_type=it.document["volume_type"],
        storage_location=it.document.get("storage_location") or f"boathouse://{it.metastore_id}/volumes/{it.securable_id}",
    )  # fmt: skip


@endpoint("POST", PATH, action="unityCatalog.createVolume")
def create(ctx: Ctx, body: CreateVolume) -> VolumeInfo:
    """A volume, the caller's. An EXTERNAL one is where an external location allows it."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        parent = access.look(tx, asker, SCHEMA, names.full(body.catalog_name, body.schema_name)).use("CREATE_VOLUME")
        document = shown.document(body, "name", "catalog_name", "schema_name")
        if body.volume_type == "EXTERNAL":
            url = external_locations.covered(tx, asker, body.storage_location or "", "CREATE_EXTERNAL_VOLUME")
            document["storage_location"] = url
        elif body.storage_location is not None:
            raise invalid("CreateVolume storage_location can not be provided.")
        return shown.one(tx, changes.create(tx, parent, VOLUME, body.name, document), info)


@endpoint("GET", PATH + "/{name}", action="unityCatalog.getVolume")
def read(ctx: Ctx, query: GetQuery, name: str) -> VolumeInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, VOLUME, name).see(query.include_browse), info)


@endpoint("GET", PATH, action="unityCatalog.listVolumes")
def list_volumes(ctx: Ctx, query: ListInSchema) -> VolumeInfos:
    """The volumes of a schema that the caller may see, by name."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        schema = names.full(query.catalog_name, query.schema_name)
        parent = access.look(reader, asker, SCHEMA, schema).see(query.include_browse)
        entries, token = shown.page(
            lambda after: access.below(reader, parent, VOLUME, after, browse=query.include_browse),
            query.max_results, query.page_token,
        )  # fmt: skip
        return VolumeInfos(volumes=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{name}", action="unityCatalog.updateVolume")
def update(ctx: Ctx, body: UpdateVolume, name: str) -> VolumeInfo:
    """Change what is given."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, VOLUME, name).manage()
        document = shown.document(body, "new_name", "owner")
        return shown.one(tx, changes.change(tx, found, new_name=body.new_name, owner=body.owner, document=document), info)


@endpoint("DELETE", PATH + "/{name}", action="unityCatalog.deleteVolume")
def delete(ctx: Ctx, name: str) -> Empty:
    """End a volume; a managed one with its files."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        changes.remove(tx, access.look(tx, asker, VOLUME, name).manage(), force=True)
    return Empty()
