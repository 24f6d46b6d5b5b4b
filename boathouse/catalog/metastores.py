"""`/api/2.1/unity-catalog/metastores`, and which of them a workspace has. One metastore in each region of an account."""

from typing import Any

from sqlalchemy import delete, insert, select, update

from boathouse.catalog import access, assignment, changes, grantees, securables, shown
from boathouse.catalog.assignment import Metastore
from boathouse.catalog.tables import grants, metastore_assignments, metastores
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid, not_found
from boathouse.identity import workspaces
from boathouse.store import Reader, Tx
from boathouse.wire.base import Empty
from boathouse.wire.catalog import (
    AssignMetastore,
    BindingsQuery,
    CreateMetastore,
    DeleteQuery,
    MetastoreAssignment,
    MetastoreInfo,
    MetastoreInfos,
    UnassignMetastore,
    UpdateAssignment,
    UpdateMetastore,
)

ROOT = "/api/2.1/unity-catalog"
PATH = ROOT + "/metastores"
ASSIGNMENT = ROOT + "/workspaces/{workspace_id}/metastore"


def info(reader: Reader, it: Metastore) -> MetastoreInfo:
    """A metastore as it is shown."""
    said = {name: value for name, value in it.document.items() if name in MetastoreInfo.__struct_fields__}
    defaults: dict[str, Any] = {"delta_sharing_scope": "INTERNAL", "privilege_model_version": "1.0"}
    return MetastoreInfo(
        **(defaults | said), metastore_id=it.metastore_id,
        name=it.name, cloud=it.cloud, region=it.region, global_metastore_id=f"{it.cloud}:{it.region}:{it.metastore_id}",
        owner=grantees.names(reader, [it.owner_id])[it.owner_id], created_at=it.created_at, created_by=it.created_by,
        updated_at=it.updated_at, updated_by=it.updated_by,
    )  # fmt: skip


def _account_of(reader: Reader, ctx: Ctx) -> str:
    if not ctx.workspace_id:  # a caller of the account
        return ctx.account_id
    workspace = workspaces.get(reader, ctx.workspace_id)
    assert workspace is not None, "the caller's workspace is gone"
    return workspace.account_id


def account_admin(ctx: Ctx) -> None:
    """Raises ApiError 403 for all but admins of the account."""
    if not ctx.caller.account_admin:
        raise denied(f"{ctx.caller.name} is not an admin of the account.")


def _get(reader: Reader, ctx: Ctx, metastore_id: str) -> Metastore:
    """One of the account's, for its admin or the account's. Raises ApiError 403 whether it is there or not, or 404."""
    found = assignment.by_id(reader, _account_of(reader, ctx), metastore_id)
    if found is None or not _is_admin(ctx, found):
        if found is None and ctx.caller.account_admin:
            raise access.missing("METASTORE", metastore_id)
        raise denied(f"{ctx.caller.name} is not an admin of the metastore '{metastore_id[:64]}'.")
    return found


def _is_admin(ctx: Ctx, it: Metastore) -> bool:
    return ctx.caller.account_admin or it.owner_id in access.ids_of(ctx.caller)


@endpoint("GET", ROOT + "/current-metastore-assignment", action="unityCatalog.getCurrentMetastoreAssignment")
def current(ctx: Ctx) -> MetastoreAssignment:
    """The metastore of the caller's workspace."""
    it = access.of_caller(ctx).metastore
    return MetastoreAssignment(
        metastore_id=it.metastore_id, workspace_id=ctx.workspace_id, default_catalog_name=it.default_catalog
    )


@endpoint("GET", ROOT + "/metastore_summary", action="unityCatalog.getMetastoreSummary")
def summary(ctx: Ctx) -> MetastoreInfo:
    """What everybody in the workspace may know of its metastore."""
    it = access.of_caller(ctx).metastore
    with ctx.read() as reader:
        return info(reader, it)


@endpoint("GET", PATH, action="unityCatalog.listMetastores")
def list_metastores(ctx: Ctx, query: BindingsQuery) -> MetastoreInfos:
    """The metastores of the account that the caller administrates."""
    access.of_caller(ctx)
    size = shown.size_of(query.max_results)
    after = shown.decode_token(query.page_token, str) if query.page_token else ""
    with ctx.read() as reader:
        found = [it for it in assignment.all_of(reader, _account_of(reader, ctx), after) if _is_admin(ctx, it)]
        token = shown.encode_token(found[size - 1].name) if size is not None and len(found) > size else ""
        return MetastoreInfos(metastores=[info(reader, it) for it in found[:size]], next_page_token=token)


@endpoint("GET", PATH + "/{id}", action="unityCatalog.getMetastore")
def get(ctx: Ctx, id: str) -> MetastoreInfo:
    with ctx.read() as reader:
        return info(reader, _get(reader, ctx, id))


@endpoint("POST", PATH, action="unityCatalog.createMetastore")
def create(ctx: Ctx, body: CreateMetastore) -> MetastoreInfo:
    """A metastore for a region that has none; for account admins."""
    account_admin(ctx)
    name = shown.checked(body.name, "CreateMetastore", "MetastoreInfo.name")
    with ctx.transaction() as tx:
        account_id = _account_of(tx, ctx)
        workspace = workspaces.get(tx, ctx.workspace_id) if ctx.workspace_id else workspaces.first(tx)
        cloud = workspace.cloud if workspace is not None else "aws"
        region = body.region or assignment.REGIONS[cloud]
        _free(tx, account_id, name)
        other = assignment.by_region(tx, account_id, region)
        if other is not None:
            raise ApiError(
                409, "METASTORE_ALREADY_EXISTS",
                f"The account has the metastore '{other.name}' in the region {region[:64]}; there is one for each region.",
            )  # fmt: skip
        document = shown.document(body, "name", "region")
        owner = ctx.caller.principal_id
        made = assignment.create(tx, account_id, name, cloud, region[:64], owner, ctx.caller.name, document)
        return info(tx, made)


def _free(tx: Tx, account_id: str, name: str) -> None:
    taken = metastores.c.account_id == account_id, metastores.c.name == name
    if tx.execute(select(metastores.c.metastore_id).where(*taken)).first() is not None:
        raise access.taken("METASTORE", name)


@endpoint("PATCH", PATH + "/{id}", action="unityCatalog.updateMetastore")
def update_metastore(ctx: Ctx, body: UpdateMetastore, id: str) -> MetastoreInfo:
    """Change what is given; for the metastore's admin. `owner` "" gives it back to the account's admins."""
    with ctx.transaction() as tx:
        it = _get(tx, ctx, id)
        values: dict[str, Any] = {"document": {**it.document, **shown.document(body, "new_name", "owner")}}
        if body.new_name is not None:
            values["name"] = shown.checked(body.new_name, "UpdateMetastore", "MetastoreInfo.name")
            if values["name"] != it.name:
                _free(tx, it.account_id, values["name"])
        if body.owner is not None:
            system = body.owner in ("", grantees.SYSTEM_USER)
            values["owner_id"] = grantees.SYSTEM_USER_ID if system else grantees.get(tx, it.account_id, body.owner)
        values |= {"updated_at": tx.store.clock(), "updated_by": ctx.caller.name}
        tx.execute(update(metastores).where(metastores.c.metastore_id == id).values(**values))
        changed = assignment.by_id(tx, it.account_id, id)
        assert changed is not None
        return info(tx, changed)


@endpoint("DELETE", PATH + "/{id}", action="unityCatalog.deleteMetastore")
def delete_metastore(ctx: Ctx, query: DeleteQuery, id: str) -> Empty:
    """End a metastore; with `force` one with something in it, or that workspaces have. Those are then without."""
    with ctx.transaction() as tx:
        it = _get(tx, ctx, id)
        mine = metastore_assignments.c.metastore_id == id
        assigned = len(assignment.assigned_to(tx, id))
        counts = securables.count_in(tx, id)
        if not query.force and counts:
            raise shown.not_empty("METASTORE", it.name, counts)
        if not query.force and assigned:
            raise changes.refuse(f"Metastore '{it.name}' is assigned to {assigned} workspaces. Unassign it, or give force=true.")
        for kind in counts:
            for each in securables.children(tx, id, kind):
                securables.remove(tx, each)
        tx.execute(update(metastore_assignments).where(mine).values(metastore_id=None))
        tx.execute(delete(grants).where(grants.c.securable_id == id))
        tx.execute(delete(metastores).where(metastores.c.metastore_id == id))
    return Empty()


@endpoint("PUT", ASSIGNMENT, action="unityCatalog.createMetastoreAssignment")
def assign(ctx: Ctx, body: AssignMetastore, workspace_id: int) -> Empty:
    """Give a workspace a metastore, in the place of another; for account admins."""
    give(ctx, workspace_id, body.metastore_id, body.default_catalog_name)
    return Empty()


@endpoint("PATCH", ASSIGNMENT, action="unityCatalog.updateMetastoreAssignment")
def update_assignment(ctx: Ctx, body: UpdateAssignment, workspace_id: int) -> Empty:
    """Another metastore (for account admins), or another default catalog."""
    give(ctx, workspace_id, body.metastore_id, body.default_catalog_name)
    return Empty()


def give(ctx: Ctx, workspace_id: int, metastore_id: str | None, default_catalog: str | None) -> None:
    """Give a workspace a metastore (None: the one that it has) and a default catalog. Raises ApiError 403, 404."""
    asker = access.of_caller(ctx) if metastore_id is None else None
    if not ctx.caller.account_admin and (
        asker is None or not (asker.metastore_admin or ctx.caller.admin) or workspace_id != ctx.workspace_id
    ):
        raise denied(f"{ctx.caller.name} is not an admin of the account.")
    with ctx.transaction() as tx:
        account_id = _account_of(tx, ctx)
        workspace = workspaces.get(tx, workspace_id)
        if workspace is None or workspace.account_id != account_id:
            raise not_found(f"Workspace {workspace_id} does not exist.")
        if metastore_id is not None and assignment.by_id(tx, account_id, metastore_id) is None:
            raise access.missing("METASTORE", metastore_id)
        mine = metastore_assignments.c.workspace_id == workspace_id
        row = tx.execute(select(metastore_assignments).where(mine)).first()
        if row is None and metastore_id is None:
            raise access.no_metastore()
        values = {
            "metastore_id": metastore_id if metastore_id is not None or row is None else row.metastore_id,
            "default_catalog": default_catalog or (row.default_catalog if row is not None else assignment.MAIN),
        }
        if row is None:
            tx.execute(insert(metastore_assignments).values(workspace_id=workspace_id, **values))
        else:
            tx.execute(update(metastore_assignments).where(mine).values(**values))


@endpoint("DELETE", ASSIGNMENT, action="unityCatalog.deleteMetastoreAssignment")
def unassign(ctx: Ctx, query: UnassignMetastore, workspace_id: int) -> Empty:
    """Take the metastore away from a workspace, for good; for account admins."""
    take_away(ctx, workspace_id, query.metastore_id)
    return Empty()


def take_away(ctx: Ctx, workspace_id: int, metastore_id: str) -> None:
    """The same, for both planes. Raises ApiError 403, or 400 when the workspace does not have this metastore."""
    account_admin(ctx)
    with ctx.transaction() as tx:
        mine = metastore_assignments.c.workspace_id == workspace_id
        row = tx.execute(select(metastore_assignments.c.metastore_id).where(mine)).first()
        if row is None or row[0] != metastore_id or assignment.by_id(tx, _account_of(tx, ctx), row[0]) is None:
            raise invalid(f"Workspace {workspace_id} does not have the metastore '{metastore_id[:64]}'.")
        tx.execute(update(metastore_assignments).where(mine).values(metastore_id=None))
