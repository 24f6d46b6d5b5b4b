"""OAuth tokens for machines: `client_credentials` at the workspace's and the account's token endpoint (reference api
E, RFC 6749).

Access tokens are opaque rows like all tokens, so they end with their client secret or principal, at once, and hold on
both planes."""

from typing import Any
from urllib.parse import unquote_plus

import msgspec

from boathouse.auth import client_secrets, credentials
from boathouse.auth.authenticator import basic
from boathouse.auth.keys import Keys
from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.caller import Caller
from boathouse.edge.context import record
from boathouse.identity import workspaces
from boathouse.wire.auth import AccessToken

#: Seconds that an access token holds.
EXPIRES_IN = 3600

#: Scopes that may be asked for; all give the same token, which can do what its principal can.
SCOPES = frozenset({"all-apis"})


class OAuthError(ApiError):
    """A refusal of RFC 6749 5.2: `{"error", "error_description"}`."""

    def __init__(self, status: int, error: str, description: str) -> None:
        headers = {"WWW-Authenticate": 'Basic realm="boathouse"'} if status == 401 else {}
        super().__init__(status, error, description, headers={**headers, "Cache-Control": "no-store"})


def _shape(error: ApiError) -> dict[str, Any]:
    code = error.error_code if isinstance(error, OAuthError) else "invalid_request" if error.status < 500 else "server_error"
    return {"error": code, "error_description": error.message}


@endpoint("POST", "/oidc/v1/token", action="oauth.token", public=True, error_shape=_shape, body_limit=1 << 16)
def token(ctx: Ctx, form: dict[str, str]) -> Raw:
    """An access token for a service principal."""
    return _token(ctx, form, None)


@endpoint(
    "POST", "/oidc/accounts/{account_id}/v1/token", action="oauth.token", public=True, error_shape=_shape, body_limit=1 << 16
)
def token_of_account(ctx: Ctx, account_id: str, form: dict[str, str]) -> Raw:
    """The same for an account's host: the token holds in the account and in all its workspaces."""
    return _token(ctx, form, account_id)


def _token(ctx: Ctx, form: dict[str, str], account_id: str | None) -> Raw:
    grant = form.get("grant_type", "")
    if not grant:
        raise OAuthError(400, "invalid_request", "grant_type is missing.")
    if grant != "client_credentials":
        raise OAuthError(400, "unsupported_grant_type", f"grant_type '{grant[:100]}' is not served. Allowed: client_credentials.")
    unknown = set(form.get("scope", "all-apis").split()) - SCOPES
    if unknown:
        raise OAuthError(400, "invalid_scope", f"Unknown scope '{min(unknown)[:100]}'. Allowed: {', '.join(sorted(SCOPES))}.")
    client_id, secret = _client(ctx.headers.get("authorization", ""), form)
    keys = ctx.service(Keys)
    with ctx.store.transaction() as tx:
        client = client_secrets.authenticate(tx, keys, client_id, secret, ctx.store.clock())
        if client is None or account_id not in (None, client.principal.account_id):
            raise OAuthError(401, "invalid_client", "Client authentication failed")
        principal = client.principal
        credentials.forget_expired(tx, principal.principal_id)
        value, made = credentials.issue(
            tx, keys, credentials.OAUTH, principal.principal_id, lifetime_ms=EXPIRES_IN * 1000, secret_id=client.secret_id
        )
        home = workspaces.first(tx)
        ctx.caller = Caller(
            principal.principal_id, principal.name, principal.kind, home.workspace_id if home else 0, token_id=made.token_id
        )
        record(tx, ctx, 200)
    answer = AccessToken(access_token=value, token_type="Bearer", expires_in=EXPIRES_IN, scope="all-apis")
    return Raw(msgspec.json.encode(answer), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _client(authorization: str, form: dict[str, str]) -> tuple[str, str]:
    """Client id and secret, from HTTP Basic or from the body, but not from both."""
    scheme, _, value = authorization.strip().partition(" ")
    in_body = "client_secret" in form
    if scheme.lower() == "basic":
        if in_body:
            raise OAuthError(400, "invalid_request", "Send the client's credentials in one place: HTTP Basic or the body.")
        pair = basic(value.strip())
        if pair is None:
            raise OAuthError(401, "invalid_client", "The Authorization header is not readable as HTTP Basic.")
        return unquote_plus(pair[0]), unquote_plus(pair[1])
    if in_body and form.get("client_id"):
        return form["client_id"], form["client_secret"]
    raise OAuthError(401, "invalid_client", "The client's credentials are missing: send client_id and client_secret.")
