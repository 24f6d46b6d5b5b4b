"""The account's resources as they travel: workspaces, assignments, rule sets, settings, budgets (reference api G)."""

from typing import Any, Literal

from boathouse.wire.base import Wire

PricingTier = Literal["COMMUNITY_EDITION", "DEDICATED", "ENTERPRISE", "PREMIUM", "STANDARD"]


class WorkspaceDocument(Wire):
    """All that the platform knows of a workspace; what this server has no object for is refused by name."""

    workspace_name: str | None = None
    deployment_name: str | None = None
    cloud: str | None = None
    aws_region: str | None = None
    location: str | None = None
    pricing_tier: PricingTier | None = None
    compute_mode: Literal["HYBRID", "SERVERLESS"] | None = None
    custom_tags: dict[str, str] | None = None
    credentials_id: str | None = None
    storage_configuration_id: str | None = None
    network_id: str | None = None
    private_access_settings_id: str | None = None
    managed_services_customer_managed_key_id: str | None = None
    storage_customer_managed_key_id: str | None = None
    network_connectivity_config_id: str | None = None
    cloud_resource_container: dict[str, Any] | None = None
    gcp_managed_network_config: dict[str, Any] | None = None
    gke_config: dict[str, Any] | None = None


class UpdateWorkspace(WorkspaceDocument):
    """The whole workspace as it was read, with changes; what cannot be changed must be as it is."""

    account_id: str | None = None
    workspace_id: int | None = None
    workspace_status: str | None = None
    workspace_status_message: str | None = None
    creation_time: int | None = None
    azure_workspace_info: dict[str, Any] | None = None
    expected_workspace_status: str | None = None
    network: dict[str, Any] | None = None
    storage_mode: str | None = None


class UpdateWorkspaceQuery(Wire):
    update_mask: str | None = None


class UpdateAssignment(Wire):
    permissions: list[str] = []


class RuleSetQuery(Wire):
    name: str
    etag: str = ""


class ResourceQuery(Wire):
    resource: str


class GrantRule(Wire):
    role: str
    principals: list[str] = []


class RuleSet(Wire):
    name: str
    etag: str
    grant_rules: list[GrantRule] = []


class UpdateRuleSet(Wire):
    name: str
    rule_set: RuleSet


class EtagQuery(Wire):
    etag: str | None = None


class UpdateSetting(Wire):
    setting: dict[str, Any]
    field_mask: str
    allow_missing: bool = False


class UsageQuery(Wire):
    """Times in epoch milliseconds."""

    start_time: int | None = None
    end_time: int | None = None
    workspace_id: int | None = None
    group_by: str = "cluster"


class DownloadQuery(Wire):
    start_month: str
    end_month: str
    personal_data: bool = False


class BudgetDocument(Wire):
    """A budget as it is sent: made anew, or as it was read with changes."""

    display_name: str | None = None
    filter: dict[str, Any] | None = None
    alert_configurations: list[dict[str, Any]] | None = None
    account_id: str | None = None
    budget_configuration_id: str | None = None
    create_time: int | None = None
    update_time: int | None = None


class BudgetBody(Wire):
    budget: BudgetDocument


class AuditQuery(Wire):
    """Times in epoch milliseconds."""

    start_time: int | None = None
    end_time: int | None = None
    workspace_id: int | None = None
    principal: str | None = None
    action: str | None = None
    page_size: int = 100
    page_token: str | None = None
