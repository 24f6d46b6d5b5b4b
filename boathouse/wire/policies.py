"""What travels at `/api/2.0/policies/clusters/*` and `/api/2.0/policy-families`; the names are the API's own."""

from typing import Literal

from boathouse.wire.base import Wire
from boathouse.wire.compute import ClusterSpec
from boathouse.wire.libraries import Library


class PolicyFields(Wire):
    """What an administrator says of a policy. `definition` and the overrides are JSON documents as texts; a policy has a
    definition of its own, or that of a family with overrides."""

    definition: str | None = None
    description: str | None = None
    libraries: list[Library] | None = None
    max_clusters_per_user: int | None = None
    name: str | None = None
    policy_family_definition_overrides: str | None = None
    policy_family_id: str | None = None


class EditPolicy(PolicyFields, kw_only=True):
    policy_id: str


class PolicyId(Wire):
    """Answer of create, body of delete, query of get."""

    policy_id: str


class Policy(PolicyFields):
    """A policy as get and list show it; `definition` with the overrides in it."""

    created_at_timestamp: int | None = None
    creator_user_name: str | None = None
    is_default: bool | None = None
    policy_id: str | None = None


class ListPoliciesQuery(Wire):
    sort_column: Literal["POLICY_CREATION_TIME", "POLICY_NAME"] | None = None
    sort_order: Literal["ASC", "DESC"] | None = None


class ListPoliciesResponse(Wire):
    policies: list[Policy]


class PolicyFamily(Wire):
    definition: str | None = None
    description: str | None = None
    name: str | None = None
    policy_family_id: str | None = None


class PolicyFamilyQuery(Wire):
    version: int | None = None


class ListPolicyFamilies(Wire):
    max_results: int | None = None
    page_token: str | None = None


class ListPolicyFamiliesResponse(Wire):
    next_page_token: str | None = None
    policy_families: list[PolicyFamily] | None = None


class ClusterSettingsChange(Wire):
    """One change, as texts for people; empty where there is no value."""

    field: str | None = None
    new_value: str | None = None
    previous_value: str | None = None


class PendingEnforcement(Wire):
    """`initiate_time` in RFC 3339."""

    enforcement_status: Literal["ACTIVE", "INACTIVE"] | None = None
    initiate_time: str | None = None
    initiator_user: str | None = None
    target_changes: list[ClusterSettingsChange] | None = None
    target_spec: ClusterSpec | None = None


class ClusterIdOfCompliance(Wire):
    cluster_id: str


class GetClusterComplianceResponse(Wire, omit_defaults=False):
    """`violations`: the first 200, by the path of the attribute."""

    is_compliant: bool
    violations: dict[str, str]
    pending_enforcement: PendingEnforcement | None = None


class ClusterCompliance(Wire, omit_defaults=False):
    cluster_id: str
    is_compliant: bool
    violations: dict[str, str]
    pending_enforcement: PendingEnforcement | None = None


class ListClusterCompliances(Wire):
    policy_id: str
    page_size: int | None = None
    page_token: str | None = None


class ListClusterCompliancesResponse(Wire):
    clusters: list[ClusterCompliance] | None = None
    next_page_token: str | None = None
    prev_page_token: str | None = None


class EnforceClusterCompliance(Wire):
    cluster_id: str
    enforce_mode: Literal["ENFORCE_IMMEDIATELY", "WAIT_FOR_TERMINATION"] | None = None
    validate_only: bool | None = None


class EnforceClusterComplianceResponse(Wire, omit_defaults=False):
    has_changes: bool
    changes: list[ClusterSettingsChange]
    enforce_result: Literal["APPLIED", "DEFERRED", "NO_CHANGES"] | None = None


class CancelPendingClusterEnforcement(Wire):
    cluster_id: str
    allow_missing: bool | None = None
