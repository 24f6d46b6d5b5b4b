"""Federation policies as they travel (`.../federationPolicies`)."""

from boathouse.wire.base import Wire


class OidcPolicy(Wire):
    """What a token must say. `jwks_json` and `jwks_uri`: keys that are not the issuer's own published ones."""

    issuer: str | None = None
    audiences: list[str] | None = None
    subject: str | None = None
    subject_claim: str | None = None
    jwks_json: str | None = None
    jwks_uri: str | None = None


class FederationPolicy(Wire):
    """Times as RFC 3339. What only the server sets is taken in a request and must fit, as the SDK sends back what it read."""

    name: str | None = None
    uid: str | None = None
    policy_id: str | None = None
    service_principal_id: int | None = None
    description: str | None = None
    oidc_policy: OidcPolicy | None = None
    create_time: str | None = None
    update_time: str | None = None


class FederationPolicies(Wire):
    policies: list[FederationPolicy] = []
    next_page_token: str | None = None


class NewFederationPolicyQuery(Wire):
    policy_id: str | None = None


class FederationPolicyListQuery(Wire):
    page_size: int | None = None
    page_token: str | None = None


class FederationPolicyUpdateQuery(Wire):
    """`update_mask`: names of fields with commas between them; without it, the fields that are there."""

    update_mask: str | None = None
