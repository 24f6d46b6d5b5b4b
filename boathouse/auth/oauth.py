"""OAuth tokens, at the workspace's and the account's token endpoint (reference api E, RFC 6749): for service principals by
their secret, for users by the code of a log-in, and by refresh tokens.

Access tokens are opaque rows like all tokens, so they end with their client secret, log-in or principal, at once, and hold
on both planes."""

from typing import Any
from urllib.parse import unquote_plus

import msgspec

from boathouse.auth import applications, client_secrets, credentials, federation, grants
from boathouse.auth.authenticator import basic
from boathouse.auth.discovery import GRANT_TYPES, TOKEN_EXCHANGE, workspace_of
from boathouse.auth.issuers import BadJwt
from boathouse.auth.keys import Keys
from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.caller import Caller
from boathouse.edge.context import record
from boathouse.identity import principals, workspaces
from boathouse.store import Tx
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
    """An access token for what the form shows."""
    return _token(ctx, form, None)


@endpoint(
    "POST", "/oidc/accounts/{account_id}/v1/token", action="oauth.token", public=True, error_shape=_shape, body_limit=1 << 16
)
def token_of_account(ctx: Ctx, account_id: str, form: dict[str, str]) -> Raw:
    """The same for an account's host: the token holds in the account and in all its workspaces."""
    return _token(ctx, form, account_id)


@endpoint("POST", "/oidc/v1/revoke", action="oauth.revoke", public=True, error_shape=_shape, body_limit=1 << 16)
def revoke(ctx: Ctx, form: dict[str, str]) -> Raw:
    """End a log-in at an application with all its tokens, by any of them, or a machine's access token (RFC 7009). Unknown tokens
    are no error."""
    _revoke(ctx, form)
    return Raw(b"{}", headers={"Cache-Control": "no-store"})


@endpoint(
    "POST", "/oidc/accounts/{account_id}/v1/revoke", action="oauth.revoke", public=True, error_shape=_shape, body_limit=1 << 16
)
def revoke_of_account(ctx: Ctx, account_id: str, form: dict[str, str]) -> Raw:
    """The same at the account's issuer."""
    _revoke(ctx, form)
    return Raw(b"{}", headers={"Cache-Control": "no-store"})


def _revoke(ctx: Ctx, form: dict[str, str]) -> None:
    value, keys = form.get("token", ""), ctx.service(Keys)
    with ctx.store.transaction() as tx:
        found = grants.of_refresh_token(tx, keys, value)
        grant_id = found[0].grant_id if found is not None else grants.of_access_token(tx, keys, value)
        token = credentials.find(tx, credentials.hash_of(keys, value)) if grant_id is None else None
        if grant_id is not None:
            grants.end(tx, grant_id)
        elif token is not None and token.kind == credentials.OAUTH:
            credentials.end(tx, token.token_id)  # a machine's: others that its secret or policy gave are not of this log-in
        else:
            return
        record(tx, ctx, 200)


def _token(ctx: Ctx, form: dict[str, str], account_id: str | None) -> Raw:
    grant = form.get("grant_type", "")
    if not grant:
        raise OAuthError(400, "invalid_request", "grant_type is missing.")
    give = {
        "client_credentials": _to_machine, "authorization_code": _for_code, "refresh_token": _refreshed,
        TOKEN_EXCHANGE: _exchanged,
    }.get(grant)  # fmt: skip
    if give is None:
        known = ", ".join(GRANT_TYPES)
        raise OAuthError(400, "unsupported_grant_type", f"grant_type '{grant[:100]}' is not served. Allowed: {known}.")
    if form.get("assume_group"):
        raise OAuthError(400, "invalid_request", "assume_group is not served by Boathouse yet.")
    if form.get("authorization_details"):
        raise OAuthError(400, "invalid_request", "authorization_details are not served by Boathouse yet.")
    answer = give(ctx, form, account_id)
    return Raw(msgspec.json.encode(answer), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _check_scope(form: dict[str, str], allowed: frozenset[str]) -> None:
    unknown = set(form.get("scope", "").split()) - allowed
    if unknown:
        raise OAuthError(400, "invalid_scope", f"Unknown scope '{min(unknown)[:100]}'. Allowed: {', '.join(sorted(allowed))}.")


def _to_machine(ctx: Ctx, form: dict[str, str], account_id: str | None) -> AccessToken:
    _check_scope(form, SCOPES)
    client_id, secret = _client(ctx.headers.get("authorization", ""), form)
    keys = ctx.service(Keys)
    with ctx.store.transaction() as tx:
        client = client_secrets.authenticate(tx, keys, client_id, secret, ctx.store.clock())
        if client is None or account_id not in (None, client.principal.account_id):
            raise OAuthError(401, "invalid_client", "Client authentication failed")
        value = access_token(tx, ctx, client.principal, secret_id=client.secret_id)
    return AccessToken(access_token=value, token_type="Bearer", expires_in=EXPIRES_IN, scope="all-apis")


def access_token(
    tx: Tx, ctx: Ctx, principal: principals.Principal, secret_id: str | None = None, grant_id: str | None = None
) -> str:
    """A new access token of a principal, which ends with what it was given for; with its audit record."""
    credentials.forget_expired(tx, principal.principal_id)
    value, made = credentials.issue(
        tx, ctx.service(Keys), credentials.OAUTH, principal.principal_id, lifetime_ms=EXPIRES_IN * 1000, secret_id=secret_id,
        grant_id=grant_id,
    )  # fmt: skip
    home = workspaces.first(tx)
    ctx.caller = Caller(
        principal.principal_id, principal.name, principal.kind, home.workspace_id if home else 0, token_id=made.token_id
    )
    record(tx, ctx, 200)
    return value


def _for_code(ctx: Ctx, form: dict[str, str], account_id: str | None) -> AccessToken:
    client_id = _application(ctx, form)
    with ctx.store.transaction() as tx:
        grant = grants.redeem(
            tx, ctx.service(Keys), form.get("code", ""), client_id, form.get("redirect_uri", ""), form.get("code_verifier", "")
        )
        answer = None if grant is None else _of_user(tx, ctx, grant, account_id)
    if answer is None:  # told after the transaction: a code that came twice has ended what it gave
        raise OAuthError(400, "invalid_grant", "The code is unknown, used, too old, or was not asked for by this client.")
    return answer


def _refreshed(ctx: Ctx, form: dict[str, str], account_id: str | None) -> AccessToken:
    client_id = _application(ctx, form)
    with ctx.store.transaction() as tx:
        grant = grants.refresh(tx, ctx.service(Keys), form.get("refresh_token", ""), client_id)
        wider = set() if grant is None else set(form.get("scope", "").split()) - set(grant.scope.split())
        answer = None if grant is None or wider else _of_user(tx, ctx, grant, account_id)
    if wider:
        raise OAuthError(400, "invalid_scope", f"The log-in did not give the scope '{min(wider)[:100]}'.")
    if answer is None:
        raise OAuthError(400, "invalid_grant", "The refresh token is unknown, used, or too old: log in again.")
    return answer


def _of_user(tx: Tx, ctx: Ctx, grant: grants.Grant, account_id: str | None) -> AccessToken | None:
    user = principals.by_id(tx, grant.principal_id)
    if user is None or not user.active or account_id not in (None, user.account_id):
        return None
    value = access_token(tx, ctx, user, grant_id=grant.grant_id)
    lasting = "offline_access" in grant.scope.split()
    return AccessToken(
        access_token=value, token_type="Bearer", expires_in=EXPIRES_IN, scope=grant.scope,
        refresh_token=grants.make_refresh_token(tx, ctx.service(Keys), grant.grant_id) if lasting else None,
    )  # fmt: skip


def _exchanged(ctx: Ctx, form: dict[str, str], account_id: str | None) -> AccessToken:
    _check_scope(form, SCOPES)
    kind = form.get("subject_token_type", "")
    if kind not in federation.JWT:
        allowed = ", ".join(federation.JWT)
        raise OAuthError(400, "invalid_request", f"subject_token_type '{kind[:100]}' is not served. Allowed: {allowed}.")
    wanted = form.get("requested_token_type", federation.ACCESS_TOKEN)
    if wanted != federation.ACCESS_TOKEN:
        text = f"requested_token_type '{wanted[:100]}' is not served. Allowed: {federation.ACCESS_TOKEN}."
        raise OAuthError(400, "invalid_request", text)
    for name in ("actor_token", "resource", "audience", "client_secret"):
        if form.get(name):
            raise OAuthError(400, "invalid_request", f"{name} is not served by Boathouse in a token exchange.")
    with ctx.read() as reader:
        home = workspace_of(ctx, reader)
    if account_id not in (None, home.account_id):
        raise OAuthError(400, "invalid_grant", "There is no such account.")
    try:
        found = federation.believed(ctx, form.get("subject_token", ""), home.account_id, form.get("client_id", ""))
    except BadJwt as error:
        raise OAuthError(400, "invalid_grant", f"The token is not believed: {error}.") from None
    with ctx.store.transaction() as tx:
        if not found.holds(tx):
            raise OAuthError(400, "invalid_grant", "The federation policy was changed at the same time.")
        value = access_token(tx, ctx, found.principal, grant_id=found.uid)
    return AccessToken(
        access_token=value, token_type="Bearer", expires_in=EXPIRES_IN, scope="all-apis",
        issued_token_type=federation.ACCESS_TOKEN,
    )  # fmt: skip


def _application(ctx: Ctx, form: dict[str, str]) -> str:
    """The id of an application without a secret. An empty secret, in the body or in HTTP Basic, is none."""
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, value = ctx.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "basic":
        pair = basic(value.strip()) or ("", "")
        client_id, secret = unquote_plus(pair[0]), unquote_plus(pair[1])
    if client_id not in applications.KNOWN or secret:
        raise OAuthError(401, "invalid_client", f"There is no application '{client_id[:100]}' with these credentials.")
    return client_id


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
