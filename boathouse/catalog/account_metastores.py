"""`/api/2.0/accounts/{account_id}/metastores` and their assignment to workspaces (reference api G): the account's view of what
`metastores` keeps, for account admins. Bodies and answers are wrapped."""

from boathouse.catalog import access, assignment, metastores
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.identity import workspaces
from boathouse.store import Reader
from boathouse.wire.base import Empty
from boathouse.wire.catalog import DeleteQuery, MetastoreAssignment
from boathouse.wire.catalog_account import (
    AccountAssignment,
    AccountAssignmentBody,
    AccountMetastore,
    AccountMetastores,
    AssignedWorkspaces,
    CreateAccountMetastore,
    UpdateAccountMetastore,
)

ROOT = "/api/2.0/accounts/{account_id}"
PATH = ROOT + "/metastores"
ASSIGNMENT = ROOT + "/workspaces/{workspace_id}/metastores/{metastore_id}"


@endpoint("POST", PATH, action="accountMetastores.create")
def create(ctx: Ctx, account_id: str, body: CreateAccountMetastore) -> AccountMetastore:
    """A metastore for a region that has none."""
    return AccountMetastore(metastores.create(ctx, body.metastore_info))


@endpoint("GET", PATH, action="accountMetastores.list")
def list_metastores(ctx: Ctx, account_id: str) -> AccountMetastores:
    """All metastores of the account, by name."""
    metastores.account_admin(ctx)
    with ctx.read() as reader:
        return AccountMetastores([metastores.info(reader, it) for it in assignment.all_of(reader, ctx.account_id)])


@endpoint("GET", PATH + "/{metastore_id}", action="accountMetastores.get")
def get(ctx: Ctx, account_id: str, metastore_id: str) -> AccountMetastore:
    """One metastore."""
    metastores.account_admin(ctx)
    return AccountMetastore(metastores.get(ctx, metastore_id))


@endpoint("PUT", PATH + "/{metastore_id}", action="accountMetastores.update")
def update(ctx: Ctx, account_id: str, metastore_id: str, body: UpdateAccountMetastore) -> AccountMetastore:
    """Change what is given."""
    metastores.account_admin(ctx)
    return AccountMetastore(metastores.update_metastore(ctx, body.metastore_info, metastore_id))


@endpoint("DELETE", PATH + "/{metastore_id}", action="accountMetastores.delete")
def delete(ctx: Ctx, account_id: str, metastore_id: str, query: DeleteQuery) -> Empty:
    """End a metastore; with `force` one with something in it, or that workspaces have."""
    metastores.account_admin(ctx)
    return metastores.delete_metastore(ctx, query, metastore_id)


@endpoint("GET", PATH + "/{metastore_id}/workspaces", action="accountMetastores.listWorkspaces")
def assigned(ctx: Ctx, account_id: str, metastore_id: str) -> AssignedWorkspaces:
    """The workspaces that have a metastore."""
    metastores.account_admin(ctx)
    with ctx.read() as reader:
        _there(reader, ctx, metastore_id)
        return AssignedWorkspaces(assignment.assigned_to(reader, metastore_id))


@endpoint("GET", ROOT + "/workspaces/{workspace_id}/metastore", action="accountMetastores.getAssignment")
def assignment_of(ctx: Ctx, account_id: str, workspace_id: int) -> AccountAssignment:
    """The metastore of a workspace; one that was never asked for is made now, as at the workspace's own first question."""
    metastores.account_admin(ctx)
    with ctx.store.transaction() as tx:
        workspace = workspaces.get(tx, workspace_id)
        if workspace is None or workspace.account_id != ctx.account_id:
            raise not_found(f"Workspace {workspace_id} does not exist.")
        found = assignment.provide(tx, workspace_id)
    if found is None:
        raise not_found(f"No metastore assigned for the workspace {workspace_id}.")
    given = MetastoreAssignment(
        metastore_id=found.metastore_id, workspace_id=workspace_id, default_catalog_name=found.default_catalog
    )
    return AccountAssignment(given)


@endpoint("POST", ASSIGNMENT, action="accountMetastores.assign")
def assign(ctx: Ctx, account_id: str, workspace_id: int, metastore_id: str, body: AccountAssignmentBody) -> Empty:
    """Give a workspace a metastore, in the place of another."""
    return _assign(ctx, workspace_id, metastore_id, body)


@endpoint("PUT", ASSIGNMENT, action="accountMetastores.updateAssignment")
def update_assignment(ctx: Ctx, account_id: str, workspace_id: int, metastore_id: str, body: AccountAssignmentBody) -> Empty:
    """Another metastore, or another default catalog."""
    return _assign(ctx, workspace_id, metastore_id, body)


@endpoint("DELETE", ASSIGNMENT, action="accountMetastores.unassign")
def unassign(ctx: Ctx, account_id: str, workspace_id: int, metastore_id: str) -> Empty:
    """Take the metastore away from a workspace, for good."""
    metastores.take_away(ctx, workspace_id, metastore_id)
    return Empty()


def _assign(ctx: Ctx, workspace_id: int, metastore_id: str, body: AccountAssignmentBody) -> Empty:
    said = body.metastore_assignment
    if said is not None and said.metastore_id not in (None, "", metastore_id):
        raise invalid(f"metastore_assignment.metastore_id: '{(said.metastore_id or '')[:64]}' is not the one of the path.")
    if said is not None and said.workspace_id not in (None, 0, workspace_id):
        raise invalid(f"metastore_assignment.workspace_id: {said.workspace_id} is not the one of the path.")
    metastores.give(ctx, workspace_id, metastore_id, said.default_catalog_name if said is not None else None)
    return Empty()


def _there(reader: Reader, ctx: Ctx, metastore_id: str) -> None:
    if assignment.by_id(reader, ctx.account_id, metastore_id) is None:
        raise access.missing("METASTORE", metastore_id)
