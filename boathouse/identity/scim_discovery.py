"""What a SCIM client asks first (RFC 7644 4): what the service can do, which resources there are and what they look like, below
both roots; and `.search` over all of them. The platform's SDK never calls these; other provisioning programs do."""

from typing import Any

from boathouse.edge import Ctx, Raw, endpoint
from boathouse.identity import scim, scim_account, scim_lists, scim_patches, scim_schemas
from boathouse.identity.principals import GROUP, SERVICE_PRINCIPAL, USER
from boathouse.identity.scim_documents import ACCOUNT_ROOT, PLURAL, ROOT, ScimError, answer, error_shape, listing
from boathouse.identity.scim_schemas import CORE, WORD
from boathouse.wire.identity import ListQuery, Search

_KINDS = (USER, GROUP, SERVICE_PRINCIPAL)


@endpoint("GET", f"{ROOT}/ServiceProviderConfig", error_shape=error_shape, error_root=ROOT)
def service_provider_config(ctx: Ctx) -> Raw:
    """What this service can do."""
    return answer(_config())


@endpoint("GET", f"{ROOT}/ResourceTypes", error_shape=error_shape)
def resource_types(ctx: Ctx) -> Raw:
    """The resources that there are."""
    return _all(_types())


@endpoint("GET", f"{ROOT}/ResourceTypes/{{name}}", error_shape=error_shape)
def resource_type(ctx: Ctx, name: str) -> Raw:
    """One of them."""
    return _one(_types(), name, "Resource type")


@endpoint("GET", f"{ROOT}/Schemas", error_shape=error_shape)
def schemas(ctx: Ctx) -> Raw:
    """What resources look like."""
    return _all(_schemas(False))


@endpoint("GET", f"{ROOT}/Schemas/{{urn}}", error_shape=error_shape)
def schema(ctx: Ctx, urn: str) -> Raw:
    """What one looks like."""
    return _one(_schemas(False), urn, "Schema")


@endpoint("POST", f"{ROOT}/.search", error_shape=error_shape)
def search(ctx: Ctx, body: Search) -> Raw:
    """A list over all resources of the workspace, its parameters in the body."""
    scope = scim.scope_of(ctx)
    with ctx.read() as reader:
        return answer(scim_lists.list_(reader, scope, _KINDS, _query(body)))


@endpoint("GET", ACCOUNT_ROOT + "/ServiceProviderConfig", error_shape=error_shape, error_root=ACCOUNT_ROOT)
def account_service_provider_config(ctx: Ctx, account_id: str) -> Raw:
    """What this service can do."""
    scim_account.scope_of(ctx, account_id)
    return answer(_config())


@endpoint("GET", ACCOUNT_ROOT + "/ResourceTypes", error_shape=error_shape)
def account_resource_types(ctx: Ctx, account_id: str) -> Raw:
    """The resources that there are."""
    scim_account.scope_of(ctx, account_id)
    return _all(_types())


@endpoint("GET", ACCOUNT_ROOT + "/ResourceTypes/{name}", error_shape=error_shape)
def account_resource_type(ctx: Ctx, account_id: str, name: str) -> Raw:
    """One of them."""
    scim_account.scope_of(ctx, account_id)
    return _one(_types(), name, "Resource type")


@endpoint("GET", ACCOUNT_ROOT + "/Schemas", error_shape=error_shape)
def account_schemas(ctx: Ctx, account_id: str) -> Raw:
    """What resources look like."""
    scim_account.scope_of(ctx, account_id)
    return _all(_schemas(True))


@endpoint("GET", ACCOUNT_ROOT + "/Schemas/{urn}", error_shape=error_shape)
def account_schema(ctx: Ctx, account_id: str, urn: str) -> Raw:
    """What one looks like."""
    scim_account.scope_of(ctx, account_id)
    return _one(_schemas(True), urn, "Schema")


@endpoint("POST", ACCOUNT_ROOT + "/.search", error_shape=error_shape)
def account_search(ctx: Ctx, account_id: str, body: Search) -> Raw:
    """A list over all resources of the account, its parameters in the body."""
    scope = scim_account.scope_of(ctx, account_id)
    with ctx.read() as reader:
        return answer(scim_lists.list_(reader, scope, _KINDS, _query(body)))


def _query(body: Search) -> ListQuery:
    return ListQuery(
        start_index=body.start_index, count=body.count, filter=body.filter, attributes=",".join(body.attributes),
        excluded_attributes=",".join(body.excluded_attributes), sort_by=body.sort_by, sort_order=body.sort_order,
    )  # fmt: skip


def _config() -> dict[str, Any]:
    scheme = {
        "type": "oauthbearertoken", "name": "Bearer", "primary": True,
        "description": "A personal access token, or an access token from /oidc/v1/token.",
    }  # fmt: skip
    return {
        "schemas": [CORE + "ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": scim_patches.MOST, "maxPayloadSize": scim.LARGEST},
        "filter": {"supported": True, "maxResults": scim_lists.LARGEST_PAGE},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": False},
        "authenticationSchemes": [scheme],
        "meta": {"resourceType": "ServiceProviderConfig", "location": "ServiceProviderConfig"},
    }


def _types() -> list[dict[str, Any]]:
    found = []
    for kind in _KINDS:
        name = WORD[kind]
        found.append(
            {
                "schemas": [CORE + "ResourceType"], "id": name, "name": name, "endpoint": f"/{PLURAL[kind]}",
                "description": name, "schema": CORE + name,
                "meta": {"resourceType": "ResourceType", "location": f"ResourceTypes/{name}"},
            }
        )  # fmt: skip
    return found


def _schemas(account: bool) -> list[dict[str, Any]]:
    return [*(scim_schemas.schema(kind, account) for kind in _KINDS), *scim_schemas.discovery_schemas()]


def _all(found: list[dict[str, Any]]) -> Raw:
    return answer(listing(found, len(found), 1))


def _one(found: list[dict[str, Any]], id: str, what: str) -> Raw:
    for body in found:
        if body["id"] == id:
            return answer(body)
    raise ScimError(404, f"{what} {id[:100]} not found.")
