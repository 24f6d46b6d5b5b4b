"""`/api/2.1/unity-catalog/external-locations`: addresses in clouds, each with the credential that opens it. No two overlap, so
every address has one location at most, and that says who may put tables and volumes there."""

from typing import Any

from boathouse.catalog import access, binding_rows, changes, names, privileges, securables, shown
from boathouse.catalog.access import Asker, Found
from boathouse.catalog.privileges import EXTERNAL_LOCATION, STORAGE_CREDENTIAL
from boathouse.catalog.securables import Securable
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import denied, invalid
from boathouse.store import Reader, Tx
from boathouse.wire.base import Empty
from boathouse.wire.catalog import DeleteQuery, GetQuery, ListUnbound
from boathouse.wire.catalog_storage import (
    CreateExternalLocation,
    ExternalLocationInfo,
    ExternalLocationInfos,
    UpdateExternalLocation,
)

PATH = "/api/2.1/unity-catalog/external-locations"


def info(found: Found, fields: dict[str, Any]) -> ExternalLocationInfo:
    it = found.it
    said = it.document
    return ExternalLocationInfo(
        **{name: value for name, value in fields.items() if name != "full_name"},
        browse_only=True if found.browse_only else None, url=said["url"], credential_name=said["credential_name"],
        credential_id=said["credential_id"], fallback=said.get("fallback"), read_only=said.get("read_only"),
        isolation_mode="ISOLATION_MODE_ISOLATED" if it.isolated else "ISOLATION_MODE_OPEN",
    )  # fmt: skip


def address(url: str) -> str:
    """As `names.address`. Raises ApiError 400."""
    try:
        return names.address(url)
    except names.BadName as error:
        raise invalid(str(error)) from None


def covered(reader: Reader, asker: Asker, url: str, privilege: str) -> str:
    """The address, when it lies in an external location on which the asker holds `privilege`. Raises ApiError 400, 403."""
    clean = address(url)
    for it in securables.children(reader, asker.metastore.metastore_id, EXTERNAL_LOCATION):
        if names.within(clean, it.document["url"]):
            found = access.look(reader, asker, EXTERNAL_LOCATION, it.name).use(privilege)
            if it.document.get("read_only") and privilege == "CREATE_MANAGED_STORAGE":
                raise denied(f"External Location '{found.it.name}' is read-only.")
            return clean
    raise invalid(f"The address '{clean[:300]}' is in no external location.")


def _credential(reader: Reader, asker: Asker, name: str) -> Found:
    return access.look(reader, asker, STORAGE_CREDENTIAL, name).use("CREATE_EXTERNAL_LOCATION")


def _alone(reader: Reader, asker: Asker, url: str, but: str = "") -> None:
    for other in securables.children(reader, asker.metastore.metastore_id, EXTERNAL_LOCATION):
        if other.securable_id != but and names.overlap(url, other.document["url"]):
            raise invalid(f"LOCATION_OVERLAP: '{url[:300]}' overlaps with the external location '{other.name}'.")


@endpoint("POST", PATH, action="unityCatalog.createExternalLocation")
def create(ctx: Ctx, body: CreateExternalLocation) -> ExternalLocationInfo:
    """An external location, the caller's, who may make some on the metastore and with the credential."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        parent = access.metastore(tx, asker).use("CREATE_EXTERNAL_LOCATION")
        credential = _credential(tx, asker, body.credential_name)
        url = address(body.url)
        _alone(tx, asker, url)
        document = shown.document(body, "name", "skip_validation") | _of(credential.it) | {"url": url}
        return shown.one(tx, changes.create(tx, parent, EXTERNAL_LOCATION, body.name, document), info)


def _of(credential: Securable) -> dict[str, str]:
    return {"credential_name": credential.name, "credential_id": credential.securable_id}


@endpoint("GET", PATH + "/{name}", action="unityCatalog.getExternalLocation")
def get(ctx: Ctx, query: GetQuery, name: str) -> ExternalLocationInfo:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return shown.one(reader, access.look(reader, asker, EXTERNAL_LOCATION, name).see(query.include_browse), info)


@endpoint("GET", PATH, action="unityCatalog.listExternalLocations")
def list_external_locations(ctx: Ctx, query: ListUnbound) -> ExternalLocationInfos:
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        parent = access.metastore(reader, asker)
        entries, token = shown.page(
            lambda after: access.below(
                reader, parent, EXTERNAL_LOCATION, after, browse=query.include_browse, unbound=query.include_unbound
            ),
            query.max_results, query.page_token,
        )  # fmt: skip
        return ExternalLocationInfos(external_locations=shown.shown(reader, entries, info), next_page_token=token)


@endpoint("PATCH", PATH + "/{name}", action="unityCatalog.updateExternalLocation")
def update(ctx: Ctx, body: UpdateExternalLocation, name: str) -> ExternalLocationInfo:
    """Change what is given. Another address needs `force` when something lies at the old one."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, EXTERNAL_LOCATION, name).manage()
        document = shown.document(
            body, "new_name", "owner", "isolation_mode", "force", "skip_validation", "url", "credential_name"
        )
        if body.credential_name is not None:
            document |= _of(_credential(tx, asker, body.credential_name).it)
        if body.url is not None:
            document["url"] = address(body.url)
            _alone(tx, asker, document["url"], found.securable_id)
            if document["url"] != found.it.document["url"] and not body.force:
                _unused(tx, found)
        isolated = None if body.isolation_mode is None else body.isolation_mode == "ISOLATION_MODE_ISOLATED"
        binding_rows.bind_here(tx, found, isolated)
        changed = changes.change(tx, found, new_name=body.new_name, owner=body.owner, isolated=isolated, document=document)
        return shown.one(tx, changed, info)


@endpoint("DELETE", PATH + "/{name}", action="unityCatalog.deleteExternalLocation")
def delete(ctx: Ctx, query: DeleteQuery, name: str) -> Empty:
    """End an external location; with `force` even when tables or volumes lie in it."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = access.look(tx, asker, EXTERNAL_LOCATION, name).manage()
        if not query.force:
            _unused(tx, found)
        changes.remove(tx, found, query.force)
    return Empty()


def _unused(tx: Tx, found: Found) -> None:
    """See that nothing lies at the location. Raises ApiError 400."""
    url = found.it.document["url"]
    placed = (privileges.TABLE, privileges.VOLUME, privileges.CATALOG, privileges.SCHEMA)
    for it in securables.of_kinds(tx, found.it.metastore_id, placed):
        there = it.document.get("storage_location") or it.document.get("storage_root") or ""
        if there and names.within(there, url):
            raise changes.refuse(
                f"External location '{found.it.name}' has {it.kind.lower()} '{it.full_name}' in it. "
                "Remove it, or give force=true."
            )
