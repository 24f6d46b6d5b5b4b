"""`/api/2.0/token/*`: personal access tokens of the caller in the workspace of the call (reference api E)."""

from boathouse.auth import credentials
from boathouse.auth.keys import Keys
from boathouse.auth.permissions import authorization
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import invalid, invalid_state, not_found
from boathouse.identity import workspaces
from boathouse.store import Tx
from boathouse.wire.auth import CreatedToken, CreateToken, DeleteToken, NewToken, TokenInfo, TokenList, UpdatedToken, UpdateToken
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
    with ctx.transaction() as tx:
        authorization.refuse_without_tokens(tx, ctx.caller)
        value, made = make(tx, ctx, body, ctx.caller.principal_id, ctx.caller.name)
    return CreatedToken(token_value=value, token_info=_info(made))


def make(tx: Tx, ctx: Ctx, body: NewToken, owner_id: int, owner: str) -> tuple[str, credentials.Token]:
    """A personal access token of `owner` in the workspace of the call, made by the caller, within the workspace's limits."""
    if body.scopes not in (None, [], ["all-apis"]):
        raise invalid("Tokens with scopes are not served by Boathouse yet: leave 'scopes' out, or give [\"all-apis\"].")
    if body.autoscope_enabled:
        raise invalid("Tokens that find their scopes themselves are not served by Boathouse yet: leave 'autoscope_enabled' out.")
    comment = checked_comment(body.comment)
    if workspaces.conf(tx, ctx.workspace_id, "enableTokensConfig") == "false":
        raise ApiError(403, "FEATURE_DISABLED", "Personal access tokens are disabled in this workspace.")
    seconds = lifetime(body.lifetime_seconds, int(workspaces.conf(tx, ctx.workspace_id, "maxTokenLifetimeDays") or 0))
    if len(credentials.owned(tx, owner_id, ctx.workspace_id, ctx.store.clock())) >= MAX_TOKENS:
        raise ApiError(400, "QUOTA_EXCEEDED", f"{owner} has {MAX_TOKENS} tokens, the limit: delete some first.")
    return credentials.issue(
        tx, ctx.service(Keys), credentials.PAT, owner_id, workspace_id=ctx.workspace_id, creator_id=ctx.caller.principal_id,
        comment=comment, lifetime_ms=None if seconds is None else seconds * 1000,
    )  # fmt: skip


def checked_comment(comment: str | None) -> str:
    """The comment of a token. Raises ApiError 400 for one that is too long."""
    if len(comment or "") > MAX_COMMENT:
        raise invalid(f"Invalid value for field 'comment': it has {len(comment or '')} characters; the limit is {MAX_COMMENT}.")
    return comment or ""


def check_mask(mask: str) -> None:
    """Raises ApiError 400 for a mask of something else than the comment: the rest of a token cannot be changed."""
    for name in mask.split(","):
        if name in ("scopes", "autoscope_enabled"):
            raise invalid(f"update_mask: tokens with scopes are not served by Boathouse yet, so '{name}' cannot be changed.")
        if name not in ("comment", "*"):
            raise invalid(f"Invalid value for field 'update_mask': '{name[:100]}'. Allowed: comment.")


@endpoint("PATCH", "/api/2.0/token/{token_id}")
def update(ctx: Ctx, token_id: str, body: UpdateToken) -> UpdatedToken:
    """Give one of the caller's tokens another comment."""
    check_mask(body.update_mask)
    comment = checked_comment(body.token.comment)
    with ctx.transaction() as tx:
        mine = credentials.owned(tx, ctx.caller.principal_id, ctx.workspace_id, ctx.store.clock())
        if token_id not in (token.token_id for token in mine):
            raise not_found(f"Token with ID {token_id[:100]} does not exist")
        credentials.rename(tx, token_id, comment)
    return UpdatedToken()


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
