"""`/api/2.0/accounts/{account_id}/workspaces`: making, changing and deleting workspaces (reference api G).

A workspace's data plane is the one of this server, so nothing has to be provisioned: what a creation answers is RUNNING, and is.
Deleting takes time: from the call on nobody enters (CANCELLING), and `closing.py` ends what runs and removes what is left.
"""

from typing import Any

from sqlalchemy import select, update

from boathouse.account import closing, deployment_names, rights
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import invalid, invalid_state
from boathouse.identity import registry, revision, workspaces
from boathouse.identity.tables import workspaces as table
from boathouse.identity.workspaces import CANCELLING, RUNNING, Workspace
from boathouse.reconcile import wake
from boathouse.store import Reader
from boathouse.wire.account import UpdateWorkspace, UpdateWorkspaceQuery, WorkspaceDocument

ROOT = "/api/2.0/accounts/{account_id}/workspaces"

CLOUDS = ("aws", "azure", "gcp")

#: Fields that name objects of the account or of a cloud which this server does not have.
ELSEWHERE = (
    "credentials_id", "storage_configuration_id", "network_id", "private_access_settings_id",
    "managed_services_customer_managed_key_id", "storage_customer_managed_key_id", "network_connectivity_config_id",
    "cloud_resource_container", "gcp_managed_network_config", "gke_config",
)  # fmt: skip

CHANGEABLE = ("workspace_name", "pricing_tier", "custom_tags")

MESSAGES = {RUNNING: "Workspace is running.", CANCELLING: "Workspace is being deleted: what runs in it ends."}

LONGEST_NAME, MOST_TAGS, LONGEST_TAG = 128, 45, 255


@endpoint("POST", ROOT, action="workspaces.create")
def create(ctx: Ctx, account_id: str, body: WorkspaceDocument) -> dict[str, Any]:
    """Make a workspace; its maker is its first admin."""
    rights.admin(ctx, "make workspaces")
    _refuse_elsewhere(body)
    name = _name(body.workspace_name)
    deployment = body.deployment_name or deployment_names.generated()
    wrong = deployment_names.violation(deployment)
    if wrong:
        raise invalid(f"deployment_name: '{deployment[:100]}' is not allowed. Allowed: {wrong}.")
    if body.compute_mode == "SERVERLESS":
        raise invalid("compute_mode: 'SERVERLESS' is not served by Boathouse. Allowed: HYBRID.")
    details = {"creator": ctx.caller.name, "pricing_tier": body.pricing_tier or "PREMIUM"}
    details |= {"custom_tags": _tags(body.custom_tags)} if body.custom_tags else {}
    details |= {field: value for field in ("aws_region", "location") if (value := getattr(body, field))}
    with ctx.transaction() as tx:
        cloud = _cloud(tx, ctx, body)
        _unused(tx, ctx, name)
        if tx.execute(select(table.c.workspace_id).where(table.c.deployment_name == deployment.lower())).first():
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"deployment_name: '{deployment}' is taken; choose another.")
        workspace_id = registry.new_id()
        groups = registry.create_workspace(tx, ctx.account_id, name, deployment, cloud, workspace_id, details)
        for group in groups.values():
            registry.add_member(tx, group.principal_id, ctx.caller.principal_id)
        return _shown(rights.workspace(ctx, tx, workspace_id))


@endpoint("GET", ROOT, action="workspaces.list")
def list_workspaces(ctx: Ctx, account_id: str) -> list[dict[str, Any]]:
    """All workspaces of the account, the oldest first."""
    rights.admin(ctx, "list workspaces")
    with ctx.read() as reader:
        return [_shown(each) for each in workspaces.of_account(reader, ctx.account_id)]


@endpoint("GET", ROOT + "/{workspace_id}", action="workspaces.get")
def get(ctx: Ctx, account_id: str, workspace_id: int) -> dict[str, Any]:
    """One workspace."""
    rights.admin(ctx, "look at workspaces")
    with ctx.read() as reader:
        return _shown(rights.workspace(ctx, reader, workspace_id))


@endpoint("PATCH", ROOT + "/{workspace_id}", action="workspaces.update")
def change(ctx: Ctx, account_id: str, workspace_id: int, body: UpdateWorkspace, query: UpdateWorkspaceQuery) -> dict[str, Any]:
    """Change name, tier or tags. Without `update_mask` every field that is sent counts; what cannot change must be as it is."""
    rights.admin(ctx, "change workspaces")
    with ctx.transaction() as tx:
        found = rights.workspace(ctx, tx, workspace_id)
        if found.status != RUNNING:
            raise invalid_state(f"Workspace {workspace_id} is {found.status}: it cannot be changed.")
        fields = _masked(body, query.update_mask)
        _refuse_elsewhere(body, fields)
        there = _shown(found)
        for field in fields:
            if field not in CHANGEABLE and getattr(body, field) != there.get(field):
                raise invalid(f"{field}: cannot be changed. Allowed: {', '.join(CHANGEABLE)}.")
        details, name = dict(found.details), found.name
        if "workspace_name" in fields and body.workspace_name != found.name:
            name = _name(body.workspace_name)
            _unused(tx, ctx, name)
        if "custom_tags" in fields:
            details["custom_tags"] = _tags(body.custom_tags or {})
        if "pricing_tier" in fields and body.pricing_tier:
            details["pricing_tier"] = body.pricing_tier
        tx.execute(update(table).where(table.c.workspace_id == workspace_id).values(name=name, details=details))
        return _shown(rights.workspace(ctx, tx, workspace_id))


@endpoint("DELETE", ROOT + "/{workspace_id}", action="workspaces.delete")
def delete(ctx: Ctx, account_id: str, workspace_id: int) -> dict[str, Any]:
    """Delete a workspace with all that is in it. At once nobody enters it; what runs in it ends, then it is gone (404). The
    account keeps its people. Asked again while it ends, nothing more happens."""
    rights.admin(ctx, "delete workspaces")
    with ctx.transaction() as tx:
        found = rights.workspace(ctx, tx, workspace_id)
        others = [w for w in workspaces.of_account(tx, ctx.account_id) if w.workspace_id != workspace_id and w.status == RUNNING]
        if not others:
            raise invalid_state(f"Workspace {workspace_id} is the only one of the account and cannot be deleted.")
        tx.execute(update(table).where(table.c.workspace_id == workspace_id).values(status=CANCELLING))
        revision.changed(tx)
        wake(tx, closing.KIND, str(found.workspace_id))
        return _shown(rights.workspace(ctx, tx, workspace_id))


def _name(name: str | None) -> str:
    if name is None or not 0 < len(name) <= LONGEST_NAME or name != name.strip() or not name.isprintable():
        shown = "" if name is None else name[:100]
        raise invalid(f"workspace_name: '{shown}' is not allowed. Allowed: 1 to {LONGEST_NAME} printable characters.")
    return name


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MOST_TAGS:
        raise invalid(f"custom_tags: {len(tags)} tags. Allowed: at most {MOST_TAGS}.")
    for key, value in tags.items():
        if not 0 < len(key) <= LONGEST_TAG or len(value) > LONGEST_TAG:
            raise invalid(f"custom_tags: '{key[:60]}'. Allowed: keys of 1 to {LONGEST_TAG} characters, values of up to as many.")
    return tags


def _masked(body: UpdateWorkspace, mask: str | None) -> list[str]:
    known = list(body.__struct_fields__)
    if not mask:
        return [field for field in known if getattr(body, field) is not None]
    fields = mask.split(",")
    for field in fields:
        if field not in known:
            raise invalid(f"update_mask: '{field[:60]}' is not a field of a workspace. Allowed: {', '.join(CHANGEABLE)}.")
    return fields


def _refuse_elsewhere(body: WorkspaceDocument, fields: list[str] | None = None) -> None:
    for field in ELSEWHERE:
        value = getattr(body, field)
        if value is not None and (fields is None or field in fields):
            raise invalid(
                f"{field}: {str(value)[:60]!r} does not exist; workspaces run on the data plane of this server: leave it out."
            )


def _cloud(reader: Reader, ctx: Ctx, body: WorkspaceDocument) -> str:
    """The cloud asked for, or the one that the region means, or that of the account's first workspace."""
    given = body.cloud.lower() if body.cloud else None
    if given is not None and given not in CLOUDS:
        raise invalid(f"cloud: '{given[:40]}' is not allowed. Allowed: {', '.join(CLOUDS)}.")
    if body.aws_region and given not in (None, "aws"):
        raise invalid(f"aws_region: '{body.aws_region[:60]}' does not fit the cloud '{given}'; use location.")
    if given or body.aws_region:
        return given or "aws"
    return workspaces.of_account(reader, ctx.account_id)[0].cloud


def _unused(reader: Reader, ctx: Ctx, name: str) -> None:
    if any(each.name == name for each in workspaces.of_account(reader, ctx.account_id)):
        raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"workspace_name: '{name}' is taken; choose another.")


def _shown(workspace: Workspace) -> dict[str, Any]:
    details = {key: value for key, value in workspace.details.items() if key != "creator"}
    return {
        "account_id": workspace.account_id, "workspace_id": workspace.workspace_id, "workspace_name": workspace.name,
        "deployment_name": workspace.deployment_name, "cloud": workspace.cloud, "compute_mode": "HYBRID",
        "pricing_tier": "PREMIUM", "creation_time": workspace.created_at, "workspace_status": workspace.status,
        "workspace_status_message": MESSAGES[workspace.status], **details,
    }  # fmt: skip
