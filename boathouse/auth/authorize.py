"""`/oidc/v1/authorize`: a user's browser asks for a code on behalf of an application (RFC 6749 4.1, RFC 7636, RFC 8252)."""

import re
from urllib.parse import urlencode

from boathouse.auth import applications, grants, login, pages, sessions
from boathouse.auth.discovery import workspace_of
from boathouse.auth.keys import Keys
from boathouse.edge import Ctx, Raw, endpoint
from boathouse.edge.caller import Caller
from boathouse.edge.context import record
from boathouse.wire.auth import AuthorizeQuery

#: A log-in of so many milliseconds ago was made for this request; after that the user is asked.
FRESH_MS = 120_000


@endpoint("GET", "/oidc/v1/authorize", action="oauth.authorize", **pages.PUBLIC)
def authorize(ctx: Ctx, query: AuthorizeQuery) -> Raw:
    """A code for the application, after the log-in and, where that was long ago, the user's word."""
    return _authorize(ctx, query, None, agreed=False)


@endpoint("POST", "/oidc/v1/authorize", action="oauth.agree", **pages.PUBLIC, body_limit=login.FORM_LIMIT)
def agree(ctx: Ctx, query: AuthorizeQuery, form: dict[str, str]) -> Raw:
    """The user said yes."""
    login.check_form(ctx, form)
    return _authorize(ctx, query, None, agreed=True)


@endpoint("GET", "/oidc/accounts/{account_id}/v1/authorize", action="oauth.authorize", **pages.PUBLIC)
def authorize_in_account(ctx: Ctx, account_id: str, query: AuthorizeQuery) -> Raw:
    """The same at the account's issuer; the tokens are the same."""
    return _authorize(ctx, query, account_id, agreed=False)


@endpoint("POST", "/oidc/accounts/{account_id}/v1/authorize", action="oauth.agree", **pages.PUBLIC, body_limit=login.FORM_LIMIT)
def agree_in_account(ctx: Ctx, account_id: str, query: AuthorizeQuery, form: dict[str, str]) -> Raw:
    """The user said yes."""
    login.check_form(ctx, form)
    return _authorize(ctx, query, account_id, agreed=True)


def _authorize(ctx: Ctx, query: AuthorizeQuery, account_id: str | None, agreed: bool) -> Raw:
    application = applications.KNOWN.get(query.client_id)
    if application is None:
        return _refused(f"There is no application '{query.client_id[:100]}'. Known: {', '.join(sorted(applications.KNOWN))}.")
    if not application.may_answer_at(query.redirect_uri):
        return _refused(
            f"{application.name} cannot be answered at '{query.redirect_uri[:200]}'. Allowed: http://localhost with any port."
        )
    wrong = _wrong(query)
    if wrong:
        return _back(query, error=wrong[0], error_description=wrong[1])
    keys = ctx.service(Keys)
    with ctx.read() as reader:
        home = workspace_of(ctx, reader)
        session = sessions.find(reader, keys, ctx.headers, ctx.store.clock())
    if account_id not in (None, home.account_id):
        return _refused(f"Account {account_id} does not exist.")
    if session is None or session.principal.account_id != home.account_id:
        here = f"{ctx.path}?{urlencode({name: getattr(query, name) for name in query.__struct_fields__ if getattr(query, name)})}"
        return Raw(status=302, headers={"Location": f"/login?{urlencode({'next': here})}", "Cache-Control": "no-store"})
    if not agreed and ctx.store.clock() - session.created_at > FRESH_MS:
        csrf, headers = login.form(ctx)
        return pages.consent(csrf, application.name, session.principal.name, headers)
    scope = query.scope or "all-apis"
    user = session.principal
    with ctx.store.transaction() as tx:
        code = grants.make_code(tx, keys, query.client_id, user.principal_id, query.redirect_uri, query.code_challenge, scope)
        ctx.caller = Caller(user.principal_id, user.name, user.kind, home.workspace_id)
        record(tx, ctx, 200)
    return _back(query, code=code)


def _wrong(query: AuthorizeQuery) -> tuple[str, str] | None:
    if query.response_type != "code":
        return "unsupported_response_type", f"response_type '{query.response_type[:40]}' is not served. Allowed: code."
    if query.code_challenge_method != "S256":
        return "invalid_request", "code_challenge_method must be S256: applications without a secret need PKCE."
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", query.code_challenge):
        return "invalid_request", "code_challenge must be the 43 characters of a SHA-256 in base64url."
    unknown = set(query.scope.split()) - applications.SCOPES
    if unknown:
        return "invalid_scope", f"Unknown scope '{min(unknown)[:100]}'. Allowed: {', '.join(sorted(applications.SCOPES))}."
    if query.assume_group:
        return "invalid_request", "assume_group is not served by Boathouse yet."
    return None


def _back(query: AuthorizeQuery, **values: str) -> Raw:
    if query.state:
        values["state"] = query.state
    joint = "&" if "?" in query.redirect_uri else "?"
    return Raw(status=302, headers={"Location": f"{query.redirect_uri}{joint}{urlencode(values)}", "Cache-Control": "no-store"})


def _refused(text: str) -> Raw:
    return pages.refused("This application cannot be let in", text, 400)
