"""What clients ask before they have a credential (reference api 0.1): where to get tokens, which account and workspace
this is.

Addresses are made of the host and scheme by which the caller came, so the same server is right behind any name.
"""

import re
from typing import Any

import msgspec

from boathouse.auth.authenticator import deployment
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import malformed, not_found
from boathouse.identity import workspaces
from boathouse.identity.workspaces import Workspace
from boathouse.store import Reader

CLOUDS = {"aws": "AWS", "azure": "Azure", "gcp": "GCP"}

#: What the token endpoint takes.
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANT_TYPES = ("authorization_code", "client_credentials", "refresh_token", TOKEN_EXCHANGE)

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def base_url(ctx: Ctx) -> str:
    """`scheme://host[:port]` by which the caller came. Raises ApiError 400 for a host that is none."""
    host = ctx.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise malformed("The Host header is not a host name.")
    scheme = "https" if ctx.headers.get("x-forwarded-proto", "").lower() == "https" else "http"
    return f"{scheme}://{host}"


def workspace_of(ctx: Ctx, reader: Reader) -> Workspace:
    """The workspace whose host the caller came to. Raises ApiError 404 when there is none."""
    name = deployment(ctx.headers.get("host", ""))
    found = workspaces.by_deployment(reader, name.removesuffix(".localhost")) if name else workspaces.first(reader)
    if found is None:
        raise not_found(f"Workspace {name} does not exist.")
    return found


def _workspace(ctx: Ctx) -> Workspace:
    with ctx.read() as reader:
        return workspace_of(ctx, reader)


@endpoint("GET", "/.well-known/databricks-config", public=True, anywhere=True)
def databricks_config(ctx: Ctx) -> dict[str, Any]:
    """The first call of every SDK client."""
    workspace = _workspace(ctx)
    return {
        "oidc_endpoint": f"{base_url(ctx)}/oidc",
        "account_id": workspace.account_id,
        "workspace_id": str(workspace.workspace_id),
        "cloud": CLOUDS[workspace.cloud],
        "token_federation_default_oidc_audiences": [],
    }


@endpoint(
    "GET", "/oidc/.well-known/oauth-authorization-server", also=["/oidc/.well-known/openid-configuration"], public=True,
    anywhere=True,
)  # fmt: skip
def of_workspace(ctx: Ctx) -> dict[str, Any]:
    """Metadata of the workspace's authorization server (RFC 8414)."""
    return _metadata(f"{base_url(ctx)}/oidc")


@endpoint(
    "GET", "/oidc/accounts/{account_id}/.well-known/oauth-authorization-server",
    also=["/oidc/accounts/{account_id}/.well-known/openid-configuration"], public=True, anywhere=True,
)  # fmt: skip
def of_account(ctx: Ctx, account_id: str) -> dict[str, Any]:
    """Metadata of the account's authorization server."""
    if account_id != _workspace(ctx).account_id:
        raise not_found(f"Account {account_id[:64]} does not exist.")
    return _metadata(f"{base_url(ctx)}/oidc/accounts/{account_id}")


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/v1/authorize",
        "token_endpoint": f"{issuer}/v1/token",
        "revocation_endpoint": f"{issuer}/v1/revoke",
        "grant_types_supported": list(GRANT_TYPES),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["all-apis", "offline_access"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }


@endpoint("POST", "/telemetry-ext", action="telemetry.drop", public=True, anywhere=True)
def telemetry(raw: bytes) -> dict[str, Any]:
    """The CLI's usage reports: accepted so that it does not send them again, and kept nowhere."""
    try:
        sent = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"The request body is not valid JSON: {error}") from None
    logs = sent.get("protoLogs") if isinstance(sent, dict) else None
    return {"errors": [], "numProtoSuccess": len(logs) if isinstance(logs, list) else 1}
