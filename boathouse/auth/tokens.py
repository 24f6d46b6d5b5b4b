"""`/api/2.0/token/*`: personal access tokens of the caller in the workspace of the call (reference api E)."""

from boathouse.auth import credentials
from boathouse.auth.keys import Keys
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import invalid, invalid_state, not_found
from boathouse.identity import workspaces
from boathouse.wire.auth import CreatedToken, CreateToken, DeleteToken, TokenInfo, TokenList
from boathouse.wire.base import Empty

#: Personal access tokens of one principal in one workspace.
MAX_TOKENS = 600
MAX_COMMENT = 1024
DAY_SECONDS = 86_400
#: What fits the clock: a thousand years.
LONGEST_SECONDS = 1000 * 365 * DAY_SECONDS


def lifetime(asked: int | None, max_days: int) -> int | None:
    """The seconds that a new token holds, or None for ever. `max_days` is `maxTokenLifetimeDays`; 0: no limit. A token
    for which no lifetime was asked gets the longest there may be. Raises ApiError 400."""
    if asked is not None and asked != -1 and not 0 < asked <= LONGEST_SECONDS:
        raise invalid(
            f"Invalid value for field 'lifetime_seconds': {asked}. Allowed: seconds from 1 to {LONGEST_SECONDS}, or -1."
        )
    longest = max_days * DAY_SECONDS
    if asked is None or asked == -1:
        if asked == -1 and longest:
            raise invalid(f"Invalid value for field 'lifetime_seconds': -1. {_limit(max_days)}")
        return longest or None
    if longest and asked > longest:
        raise invalid(f"Invalid value for field 'lifetime_seconds': {asked}. {_limit(max_days)}")
    return asked


def _limit(max_days: int) -> str:
    return f"The workspace lets tokens live for {max_days} days ({max_days * DAY_SECONDS} seconds) at most."


@endpoint("POST", "/api/2.0/token/create")
def create(ctx: Ctx, body: CreateToken) -> CreatedToken:
    """Make a token for the caller. Its value is in this answer and nowhere else."""
    if body.scopes not in (None, [], ["all-apis"]):
        raise invalid("Tokens with scopes are not served by Boathouse yet: leave 'scopes' out, or give [\"all-apis\"].")
    if body.autoscope_enabled:
        raise invalid("Tokens that find their scopes themselves are not served by Boathouse yet: leave 'autoscope_enabled' out.")
    comment = body.comment or ""
    if len(comment) > MAX_COMMENT:
        raise invalid(f"Invalid value for field 'comment': it has {len(comment)} characters; the limit is {MAX_COMMENT}.")
    with ctx.transaction() as tx:
        if workspaces.conf(tx, ctx.workspace_id, "enableTokensConfig") == "false":
            raise ApiError(403, "FEATURE_DISABLED", "Personal access tokens are disabled in this workspace.")
        seconds = lifetime(body.lifetime_seconds, int(workspaces.conf(tx, ctx.workspace_id, "maxTokenLifetimeDays") or 0))
        if len(credentials.owned(tx, ctx.caller.principal_id, ctx.workspace_id, ctx.store.clock())) >= MAX_TOKENS:
            raise ApiError(400, "QUOTA_EXCEEDED", f"{ctx.caller.name} has {MAX_TOKENS} tokens, the limit: delete some first.")
        value, made = credentials.issue(
            tx, ctx.service(Keys), credentials.PAT, ctx.caller.principal_id, workspace_id=ctx.workspace_id, comment=comment,
            lifetime_ms=None if seconds is None else seconds * 1000,
        )  # fmt: skip
    return CreatedToken(token_value=value, token_info=_info(made))


@endpoint("GET", "/api/2.0/token/list")
def list_(ctx: Ctx) -> TokenList:
    """The caller's tokens that still hold."""
    with ctx.read() as reader:
        found = credentials.owned(reader, ctx.caller.principal_id, ctx.workspace_id, ctx.store.clock())
    return TokenList(token_infos=[_info(token) for token in found])


@endpoint("POST", "/api/2.0/token/delete")
def delete(ctx: Ctx, body: DeleteToken) -> Empty:
    """End one of the caller's tokens at once."""
    with ctx.transaction() as tx:
        for token in credentials.owned(tx, ctx.caller.principal_id, ctx.workspace_id, ctx.store.clock()):
            if token.token_id == body.token_id:
                break
        else:
            raise not_found(f"Token with ID {body.token_id[:100]} does not exist")
        if token.kind == credentials.BOOTSTRAP:
            raise invalid_state("The bootstrap token cannot be deleted; `boathouse token rotate` replaces it.")
        credentials.end(tx, token.token_id)
    return Empty()


def _info(token: credentials.Token) -> TokenInfo:
    return TokenInfo(token_id=token.token_id, creation_time=token.created_at, expiry_time=token.expires_at, comment=token.comment)
