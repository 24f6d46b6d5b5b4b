"""Workspace bindings: `/api/2.1/unity-catalog/bindings/{securable_type}/{securable_name}`, and the older one of catalogs. They
hold while the securable is isolated."""

from boathouse.catalog import access, binding_rows
from boathouse.catalog.access import Asker, Found
from boathouse.catalog.privileges import CATALOG, EXTERNAL_LOCATION, STORAGE_CREDENTIAL
from boathouse.catalog.shown import size_of
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid, not_found
from boathouse.edge.paging import decode_token, encode_token
from boathouse.identity import workspaces
from boathouse.store import Reader, Tx
from boathouse.wire.catalog import (
    Bindings,
    BindingsQuery,
    CatalogWorkspaces,
    UpdateBindings,
    UpdateCatalogWorkspaces,
    WorkspaceBinding,
)

PATH = "/api/2.1/unity-catalog/bindings/{securable_type}/{securable_name}"
OF_CATALOG = "/api/2.1/unity-catalog/workspace-bindings/catalogs/{name}"

#: What can be bound.
KINDS = (CATALOG, EXTERNAL_LOCATION, STORAGE_CREDENTIAL)


def _look(reader: Reader, asker: Asker, securable_type: str, name: str) -> Found:
    """Found for those who manage it, also from a workspace that it is closed to: or nobody could open it again."""
    kind = securable_type.upper()
    if kind not in KINDS:
        raise invalid(
            f"Invalid value for securable_type: '{securable_type[:64]}'. Allowed: {', '.join(k.lower() for k in KINDS)}."
        )
    return access.look(reader, asker, kind, name).manage_anywhere()


def _change(tx: Tx, found: Found, add: dict[int, bool], remove: list[int]) -> None:
    account = found.asker.metastore.account_id
    for workspace_id, read_only in add.items():
        workspace = workspaces.get(tx, workspace_id)
        if workspace is None or workspace.account_id != account:
            raise not_found(f"Workspace {workspace_id} does not exist.")
        binding_rows.bind(tx, found.securable_id, workspace_id, read_only)
    binding_rows.unbind(tx, found.securable_id, [each for each in remove if each not in add])


@endpoint("GET", PATH, action="unityCatalog.getWorkspaceBindings")
def get_bindings(ctx: Ctx, query: BindingsQuery, securable_type: str, securable_name: str) -> Bindings:
    """The workspaces that a securable is bound to."""
    asker = access.of_caller(ctx)
    size = size_of(query.max_results)
    after = decode_token(query.page_token, int) if query.page_token else 0
    with ctx.read() as reader:
        bound = binding_rows.of(reader, _look(reader, asker, securable_type, securable_name).securable_id)
    left = [each for each in bound if each > after]
    token = encode_token(left[size - 1]) if size is not None and len(left) > size else ""
    return Bindings(bindings=[_shown(each, bound[each]) for each in left[:size]], next_page_token=token)


@endpoint("PATCH", PATH, action="unityCatalog.updateWorkspaceBindings")
def update_bindings(ctx: Ctx, body: UpdateBindings, securable_type: str, securable_name: str) -> Bindings:
    """Bind to some workspaces, and take the binding to others away."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = _look(tx, asker, securable_type, securable_name)
        add = {each.workspace_id: each.binding_type == "BINDING_TYPE_READ_ONLY" for each in body.add}
        _change(tx, found, add, [each.workspace_id for each in body.remove])
        bound = binding_rows.of(tx, found.securable_id)
    return Bindings(bindings=[_shown(each, read_only) for each, read_only in bound.items()])


def _shown(workspace_id: int, read_only: bool) -> WorkspaceBinding:
    kind = "BINDING_TYPE_READ_ONLY" if read_only else "BINDING_TYPE_READ_WRITE"
    return WorkspaceBinding(workspace_id=workspace_id, binding_type=kind)


@endpoint("GET", OF_CATALOG, action="unityCatalog.getCatalogWorkspaceBindings")
def get(ctx: Ctx, name: str) -> CatalogWorkspaces:
    """The workspaces that a catalog is bound to."""
    asker = access.of_caller(ctx)
    with ctx.read() as reader:
        return CatalogWorkspaces(workspaces=list(binding_rows.of(reader, _look(reader, asker, CATALOG, name).securable_id)))


@endpoint("PATCH", OF_CATALOG, action="unityCatalog.updateCatalogWorkspaceBindings")
def update(ctx: Ctx, body: UpdateCatalogWorkspaces, name: str) -> CatalogWorkspaces:
    """Bind a catalog to some workspaces, and take the binding to others away."""
    asker = access.of_caller(ctx)
    with ctx.transaction() as tx:
        found = _look(tx, asker, CATALOG, name)
        _change(tx, found, dict.fromkeys(body.assign_workspaces, False), body.unassign_workspaces)
        return CatalogWorkspaces(workspaces=list(binding_rows.of(tx, found.securable_id)))
