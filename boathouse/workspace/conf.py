"""`/api/2.0/workspace-conf`: switches of a workspace, by name, with string values (reference api F).

Everybody in the workspace may read them; admins set them. What a switch does is up to the room that asks
`identity.workspaces.conf`."""

from typing import Any

from boathouse.auth import ip_gate
from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.errors import denied, invalid, malformed
from boathouse.identity import workspaces
from boathouse.wire.workspace import ConfQuery

BOOLEAN = ("true", "false")

#: Switches that do something here, with the values they take (None: a number of days).
SERVED: dict[str, tuple[str, ...] | None] = {
    "enableDcs": BOOLEAN,
    "enableIpAccessLists": BOOLEAN,
    "enableTokensConfig": BOOLEAN,
    "maxTokenLifetimeDays": None,
}

#: Switches that the platform has and that nothing here looks at yet: read as unset, and setting them is refused by name.
NOT_SERVED = frozenset({
    "enableDbfsFileBrowser", "enableDeprecatedClusterNamedInitScripts", "enableDeprecatedGlobalInitScripts",
    "enableExportNotebook", "enableFileStoreEndpoint", "enableGp3", "enableHlsRuntime",
    "enableJobViewAcls", "enableLibraryAndInitScriptOnSharedCluster", "enableNotebookGitVersioning",
    "enableNotebookTableClipboard", "enableProjectTypeInWorkspace", "enableProjectsAllowList", "enableResultsDownloading",
    "enableUploadDataUis", "enableVerboseAuditLogs", "enableWebTerminal", "enableWorkspaceFilesystem",
    "enforceClusterViewAcls", "enforceUserIsolation", "enforceWorkspaceViewAcls", "intercomAdminConsent",
    "jobsListBackfillEnabled", "mlflowModelRegistryEmailNotificationsEnabled",
    "mlflowModelServingEndpointCreationEnabled", "mlflowRunArtifactDownloadEnabled", "projectsAllowList",
    "projectsAllowListPermissions", "rStudioUserDefaultHomeBase", "storeInteractiveNotebookResultsInCustomerAccount",
})  # fmt: skip

#: Days: two years, the longest lifetime that the platform lets an admin set.
LONGEST_LIFETIME_DAYS = 730


@endpoint("GET", "/api/2.0/workspace-conf")
def get_status(ctx: Ctx, query: ConfQuery) -> dict[str, str | None]:
    """The values of the switches that were asked for; null for one that was never set."""
    keys = [key for key in query.keys.split(",") if key]
    if not keys:
        raise invalid("Missing required query parameter 'keys': names of switches, with commas between them.")
    for key in keys:
        _check_key(key)
    with ctx.read() as reader:
        return {key: workspaces.conf(reader, ctx.workspace_id, key) for key in keys}


@endpoint("PATCH", "/api/2.0/workspace-conf")
def set_status(ctx: Ctx, body: dict[str, Any]) -> Raw:
    """Set switches: all of them, or none when one is refused."""
    if not ctx.caller.admin:
        raise denied("Only workspace admins can change the workspace configuration.")
    if not body:
        raise malformed("Name at least one switch to set.")
    values = {key: _checked(key, value) for key, value in body.items()}
    with ctx.transaction() as tx:
        for key, value in values.items():
            workspaces.set_conf(tx, ctx.workspace_id, key, value)
        if values.get(ip_gate.SWITCH) == "true":
            ip_gate.refuse_lock_out(tx, ctx.source, ctx.caller.account_id, ctx.workspace_id)
    return Raw(status=204)


def _check_key(key: str) -> None:
    if key not in SERVED and key not in NOT_SERVED:
        raise ApiError(400, "BAD_REQUEST", f"{key[:100]} is an invalid config key")


def _checked(key: str, value: Any) -> str:
    _check_key(key)
    if key in NOT_SERVED:
        raise ApiError(501, "NOT_IMPLEMENTED", f"The switch {key} is not served by Boathouse yet.")
    if not isinstance(value, str):
        raise invalid(f"Invalid value for '{key}': {str(value)[:100]!r}. Values of workspace-conf are strings.")
    allowed = SERVED[key]
    if allowed is None:
        days = value.isascii() and value.isdigit() and len(value) <= 4 and int(value) <= LONGEST_LIFETIME_DAYS
        if value and not days:
            raise invalid(
                f"Invalid value for '{key}': {value[:100]!r}. Allowed: days from 0 (no limit) to {LONGEST_LIFETIME_DAYS}."
            )
        return value
    if value.lower() not in allowed:
        raise invalid(f"Invalid value for '{key}': {value[:100]!r}. Allowed: {', '.join(allowed)}.")
    return value.lower()
