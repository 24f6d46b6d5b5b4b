"""The log-in page: `/login`, `/logout`, and `/login/link/{token}` by which a user sets a password.

A wrong name and a wrong password get the same answer after the same time. Every form is tied to the browser that was shown it."""

import secrets
from urllib.parse import urlsplit

from boathouse.auth import pages, passwords, sessions
from boathouse.auth.discovery import base_url, workspace_of
from boathouse.auth.issuers import BadJwt
from boathouse.auth.keys import Keys
from boathouse.auth.outside import COOKIE, LASTS_MS, OutsideLogin, Refused
from boathouse.auth.permissions import authorization
from boathouse.edge import ApiError, Ctx, Raw, endpoint
from boathouse.edge.caller import Caller
from boathouse.edge.context import record
from boathouse.edge.errors import denied, not_found
from boathouse.identity import principals
from boathouse.store import Tx
from boathouse.wire.auth import LoginLink, LoginQuery, OutsideAnswer
from boathouse.wire.base import Empty

FORM_LIMIT = 1 << 16


@endpoint("GET", "/login", action="login.page", **pages.PUBLIC)
def show(ctx: Ctx, query: LoginQuery) -> Raw:
    """The form, or who is logged in."""
    csrf, headers = form(ctx)
    target = local(query.next)
    with ctx.read() as reader:
        session = sessions.find(reader, ctx.service(Keys), ctx.headers, ctx.store.clock())
    if session is not None and not target:
        return pages.logged_in(csrf, session.principal.name, headers)
    return pages.log_in(csrf, target, ctx.headers.get("host", ""), outside=_outside(ctx), headers=headers)


@endpoint("POST", "/login", action="login.password", **pages.PUBLIC, body_limit=FORM_LIMIT)
def log_in(ctx: Ctx, form: dict[str, str]) -> Raw:
    """Log a browser in with name and password."""
    keys = ctx.service(Keys)
    name, target = form.get("user", "").strip()[:320], local(form.get("next", ""))
    check_form(ctx, form)
    with ctx.store.transaction() as tx:
        wait = passwords.attempt(tx, keys, name, ctx.source)
    if wait:
        return _again(ctx, target, name, f"Too many failed log-ins. Try again in {-(-wait // 60)} minutes.", 429, wait)
    with ctx.read() as reader:
        user = principals.by_name(reader, workspace_of(ctx, reader).account_id, name, [principals.USER])
        stored = passwords.stored_hash(reader, user.principal_id) if user is not None and user.active else None
        allowed = user is None or authorization.may_log_in(reader, user, workspace_of(ctx, reader).workspace_id)
    if not passwords.verify(stored, form.get("password", "")) or user is None:
        with ctx.store.transaction() as tx:
            _audit(tx, ctx, user, 401)
        return _again(ctx, target, name, "User name or password is wrong.", 401)
    if not allowed:
        with ctx.store.transaction() as tx:
            _audit(tx, ctx, user, 403)
        problem = "You may not log in with a password here. Ask an admin of the workspace."
        return _again(ctx, target, name, problem, 403)
    with ctx.store.transaction() as tx:
        passwords.succeeded(tx, keys, name, ctx.source)
        return enter(tx, ctx, user, target)


@endpoint("POST", "/logout", action="login.end", **pages.PUBLIC, body_limit=FORM_LIMIT)
def log_out(ctx: Ctx, form: dict[str, str]) -> Raw:
    """Log this browser out; applications stay logged in."""
    check_form(ctx, form)
    with ctx.store.transaction() as tx:
        sessions.end(tx, ctx.service(Keys), ctx.headers)
    gone = sessions.set_cookie(sessions.SESSION, "", secure(ctx), 0)
    return Raw(status=303, headers={"Location": "/login", "Set-Cookie": gone, "Cache-Control": "no-store"})


@endpoint("POST", "/login/oidc", action="login.outside", **pages.PUBLIC, body_limit=FORM_LIMIT)
def go_outside(ctx: Ctx, form: dict[str, str]) -> Raw:
    """Send the browser to the organisation's provider."""
    check_form(ctx, form)
    outside = ctx.services.find(OutsideLogin)
    if outside is None:
        raise not_found("No provider is set up to log in with.")
    try:
        to, value = outside.begin(ctx.service(Keys), _callback(ctx), local(form.get("next", "")), ctx.store.clock())
    except BadJwt as error:
        return pages.refused("Log-in is not possible now", f"{outside.name} cannot be asked: {error}.", 503)
    set_cookie = sessions.set_cookie(COOKIE, value, secure(ctx), LASTS_MS // 1000)
    return Raw(status=303, headers={"Location": to, "Set-Cookie": set_cookie, "Cache-Control": "no-store"})


@endpoint("GET", "/login/oidc/callback", action="login.outside", **pages.PUBLIC)
def come_back(ctx: Ctx, query: OutsideAnswer) -> Raw:
    """The browser is back from the provider."""
    outside = ctx.services.find(OutsideLogin)
    if outside is None:
        raise not_found("No provider is set up to log in with.")
    answer = {name: getattr(query, name) for name in query.__struct_fields__}
    try:
        name, target = outside.finish(
            ctx.service(Keys), sessions.cookie(ctx.headers, COOKIE), answer, _callback(ctx), ctx.store.clock()
        )
    except Refused as error:
        return pages.refused("You are not logged in", str(error), 403)
    with ctx.store.transaction() as tx:
        user = principals.by_name(tx, workspace_of(ctx, tx).account_id, name, [principals.USER])
        if user is None or not user.active:
            _audit(tx, ctx, user, 401)
            return pages.refused("You are not logged in", f"{name[:320]} is no active user here. Ask an admin to add you.", 403)
        return enter(tx, ctx, user, target)


@endpoint("GET", "/login/link/{token}", action="login.link", **pages.PUBLIC)
def show_link(ctx: Ctx, token: str) -> Raw:
    """The form behind a one-time link. Looking at it does not use it up: mail programs look too."""
    user = _of_link(ctx, token)
    if user is None:
        return _dead_link()
    csrf, headers = form(ctx)
    return pages.set_password(csrf, user.name, passwords.SHORTEST, headers=headers)


@endpoint("POST", "/login/link/{token}", action="login.setPassword", **pages.PUBLIC, body_limit=FORM_LIMIT)
def set_password(ctx: Ctx, token: str, form: dict[str, str]) -> Raw:
    """Set the password, and log the browser in. The link is used up."""
    keys = ctx.service(Keys)
    check_form(ctx, form)
    user = _of_link(ctx, token)
    if user is None:
        return _dead_link()
    password, problem = form.get("password", ""), ""
    if password != form.get("again", ""):
        problem = "The two passwords differ."
    else:
        try:
            passwords.check(password)
        except ApiError as error:
            problem = error.message
    if problem:
        return pages.set_password(form["csrf"], user.name, passwords.SHORTEST, problem, 400)
    hashed = passwords.hash_of(password)
    with ctx.store.transaction() as tx:
        if passwords.of_link(tx, keys, token, ctx.store.clock()) != user.principal_id:
            return _dead_link()
        passwords.store_hash(tx, keys, user.principal_id, hashed)
        return enter(tx, ctx, user, "")


@endpoint("POST", "/api/2.0/boathouse/users/{user_id}/login-link", action="login.makeLink")
def make_link(ctx: Ctx, user_id: int, body: Empty) -> LoginLink:
    """A one-time link by which a user sets a password. For account admins: who has it can become that user."""
    if not ctx.caller.account_admin:
        raise denied("Only account admins can make log-in links.")
    with ctx.transaction() as tx:
        user = principals.by_id(tx, user_id)
        if user is None or user.kind != principals.USER or user.account_id != workspace_of(ctx, tx).account_id:
            raise not_found(f"User {user_id} does not exist.")
        token, expires_at = passwords.make_link(tx, ctx.service(Keys), user_id)
    return LoginLink(url=f"{base_url(ctx)}/login/link/{token}", expires_at=expires_at)


def form(ctx: Ctx) -> tuple[str, dict[str, str]]:
    """The token for a form of this browser, and the headers that its answer needs."""
    browser = sessions.cookie(ctx.headers, sessions.FORM)
    headers = {}
    if not browser:
        browser = secrets.token_urlsafe(16)
        headers["Set-Cookie"] = sessions.set_cookie(sessions.FORM, browser, secure(ctx))
    return sessions.form_token(ctx.service(Keys), browser), headers


def check_form(ctx: Ctx, form: dict[str, str]) -> None:
    """Raises ApiError 403 for a form that this browser was not shown by us."""
    if not sessions.form_fits(ctx.service(Keys), ctx.headers, form.get("csrf", ""), base_url(ctx)):
        raise denied("This form was not sent by the page that showed it, or cookies are off. Go back, reload, and try again.")


def enter(tx: Tx, ctx: Ctx, user: principals.Principal, target: str) -> Raw:
    """Log the browser in as `user`, and send it on."""
    value = sessions.begin(tx, ctx.service(Keys), user.principal_id)
    _audit(tx, ctx, user, 200)
    set_cookie = sessions.set_cookie(sessions.SESSION, value, secure(ctx))
    return Raw(status=303, headers={"Location": target or "/login", "Set-Cookie": set_cookie, "Cache-Control": "no-store"})


def local(target: str) -> str:
    """Where to go after the log-in: a path of ours, or nothing. Never another host, however it is spelled."""
    if not target.startswith("/") or len(target) > 8192 or any(c <= " " or c in "\\\x7f" for c in target):
        return ""
    url = urlsplit(target)
    return target if not url.scheme and not url.netloc and url.path.startswith("/oidc/") else ""


def secure(ctx: Ctx) -> bool:
    """Whether the browser came by TLS."""
    return base_url(ctx).startswith("https:")


def _callback(ctx: Ctx) -> str:
    return f"{base_url(ctx)}/login/oidc/callback"


def _outside(ctx: Ctx) -> str:
    outside = ctx.services.find(OutsideLogin)
    return outside.name if outside is not None else ""


def _again(ctx: Ctx, target: str, name: str, problem: str, status: int, wait: int = 0) -> Raw:
    csrf, headers = form(ctx)
    if wait:
        headers["Retry-After"] = str(wait)
    host = ctx.headers.get("host", "")
    return pages.log_in(csrf, target, host, problem, name, _outside(ctx), status=status, headers=headers)


def _dead_link() -> Raw:
    return pages.refused("This link does not hold", "It was used, or it is too old. Ask your admin for a new one.", 404)


def _of_link(ctx: Ctx, token: str) -> principals.Principal | None:
    with ctx.read() as reader:
        principal_id = passwords.of_link(reader, ctx.service(Keys), token, ctx.store.clock())
        user = principals.by_id(reader, principal_id) if principal_id is not None else None
    return user if user is not None and user.active else None


def _audit(tx: Tx, ctx: Ctx, user: principals.Principal | None, status: int) -> None:
    if user is not None:
        home = workspace_of(ctx, tx)
        ctx.caller = Caller(user.principal_id, user.name, user.kind, home.workspace_id)
    record(tx, ctx, status)
