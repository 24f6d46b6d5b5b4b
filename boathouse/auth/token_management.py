"""`/api/2.0/token-management/*`: all personal access tokens of a workspace, for its admins (reference api E), and tokens that
they make on behalf of service principals.

A token that is deleted here is refused at the next call, and a call that is under way writes nothing more."""

from sqlalchemy import Row

from boathouse.auth import client_secrets, credentials, tokens
from boathouse.edge import ApiError, Ctx, endpoint
from boathouse.edge.errors import denied, invalid_state, not_found
from boathouse.identity import principals
from boathouse.store import Reader
from boathouse.wire.auth import (
    CreateOnBehalfToken,
    ManagedToken,
    ManagedTokenAnswer,
    ManagedTokenQuery,
    ManagedTokens,
    UpdateManagedToken,
)
from boathouse.wire.base import Empty

TOKENS = "/api/2.0/token-management/tokens"


@endpoint("GET", TOKENS, action="tokenManagement.list")
def list_(ctx: Ctx, query: ManagedTokenQuery) -> ManagedTokens:
    """The tokens of the workspace that hold, or those that one principal made."""
    _admins_only(ctx)
    maker = query.created_by_username.casefold() if query.created_by_username is not None else None
    with ctx.read() as reader:
        found = credentials.of_workspace(reader, ctx.workspace_id, ctx.store.clock())
    return ManagedTokens(
        token_infos=[
            _info(row, ctx.workspace_id)
            for row in found
            if query.created_by_id in (None, row.creator_id) and (maker is None or (row.maker or "").casefold() == maker)
        ]
    )


@endpoint("GET", TOKENS + "/{token_id}", action="tokenManagement.get")
def get(ctx: Ctx, token_id: str) -> ManagedTokenAnswer:
    """One token, without its value."""
    _admins_only(ctx)
    with ctx.read() as reader:
        return ManagedTokenAnswer(token_info=_info(_row(ctx, reader, token_id), ctx.workspace_id))


@endpoint("DELETE", TOKENS + "/{token_id}", action="tokenManagement.delete")
def delete(ctx: Ctx, token_id: str) -> Empty:
    """End a token at once, whoever owns it."""
    _admins_only(ctx)
    with ctx.transaction() as tx:
        if _row(ctx, tx, token_id).kind == credentials.BOOTSTRAP:
            raise invalid_state("The bootstrap token cannot be deleted; `boathouse token rotate` replaces it.")
        credentials.end(tx, token_id)
    return Empty()


@endpoint("PATCH", TOKENS + "/{token_id}", action="tokenManagement.update")
def update(ctx: Ctx, token_id: str, body: UpdateManagedToken) -> ManagedToken:
    """Give a token another comment."""
    _admins_only(ctx)
    tokens.check_mask(body.update_mask)
    comment = tokens.checked_comment(body.token.comment)
    with ctx.transaction() as tx:
        _row(ctx, tx, token_id)
        credentials.rename(tx, token_id, comment)
        return _info(_row(ctx, tx, token_id), ctx.workspace_id)


@endpoint("POST", "/api/2.0/token-management/on-behalf-of/tokens", action="tokenManagement.createOnBehalf")
def create_obo_token(ctx: Ctx, body: CreateOnBehalfToken) -> ManagedTokenAnswer:
    """Make a token for a service principal of the workspace. Its value is in this answer and nowhere else."""
    _admins_only(ctx)
    with ctx.transaction() as tx:
        owner = principals.in_workspace(tx, ctx.workspace_id, body.application_id, [principals.SERVICE_PRINCIPAL])
        if owner is None or not owner.active:
            raise not_found(f"Service principal with application id {body.application_id[:100]} does not exist.")
        client_secrets.refuse_beyond(ctx, tx, owner)
        value, made = tokens.make(tx, ctx, body, owner.principal_id, owner.name)
        return ManagedTokenAnswer(token_value=value, token_info=_info(_row(ctx, tx, made.token_id), ctx.workspace_id))


def _admins_only(ctx: Ctx) -> None:
    if not ctx.caller.admin:
        raise denied("Only workspace admins can manage the tokens of others.")


def _row(ctx: Ctx, reader: Reader, token_id: str) -> Row:
    for row in credentials.of_workspace(reader, ctx.workspace_id, ctx.store.clock(), token_id):
        return row
    raise _unknown(token_id)


def _unknown(token_id: str) -> ApiError:
    return not_found(f"Token with ID {token_id[:100]} does not exist")


def _info(row: Row, workspace_id: int) -> ManagedToken:
    return ManagedToken(
        token_id=row.token_id, owner_id=row.principal_id, created_by_id=row.creator_id, created_by_username=row.maker,
        creation_time=row.created_at, expiry_time=row.expires_at, comment=row.comment, workspace_id=workspace_id,
    )  # fmt: skip
