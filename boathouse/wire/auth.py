"""Tokens and client secrets as they travel (`/api/2.0/token/*`, `.../credentials/secrets`)."""

from boathouse.wire.base import Wire


class NewToken(Wire):
    """`lifetime_seconds`: -1 or nothing for a token that does not expire by itself."""

    comment: str | None = None
    lifetime_seconds: int | None = None
    scopes: list[str] | None = None
    autoscope_enabled: bool | None = None


class CreateToken(NewToken):
    """A token for the caller."""


class CreateOnBehalfToken(NewToken, kw_only=True):
    """A token for a service principal, by its application id."""

    application_id: str


class TokenPatch(Wire):
    """What is sent of a token in an update; `update_mask` says what counts."""

    token_id: str | None = None
    comment: str | None = None
    creation_time: int | None = None
    expiry_time: int | None = None
    scopes: list[str] | None = None


class ManagedTokenPatch(TokenPatch):
    """The same for an admin, who sees more of it."""

    created_by_id: int | None = None
    created_by_username: str | None = None
    owner_id: int | None = None
    workspace_id: int | None = None
    last_used_day: int | None = None


class UpdateToken(Wire):
    """`update_mask`: names of fields with commas between them."""

    token: TokenPatch
    update_mask: str
    token_id: str | None = None


class UpdatedToken(Wire):
    """The answer `{}`."""


class UpdateManagedToken(Wire):
    token: ManagedTokenPatch
    update_mask: str
    token_id: str | None = None


class ManagedToken(Wire):
    """A token as an admin of its workspace sees it. Times in epoch milliseconds; `expiry_time` -1: never."""

    token_id: str
    owner_id: int
    created_by_id: int
    creation_time: int
    expiry_time: int
    comment: str
    workspace_id: int
    created_by_username: str | None = None


class ManagedTokens(Wire):
    token_infos: list[ManagedToken] = []


class ManagedTokenAnswer(Wire):
    """`token_value` when it has just been made."""

    token_info: ManagedToken
    token_value: str | None = None


class ManagedTokenQuery(Wire):
    """Whose tokens: those that were made by this principal."""

    created_by_id: int | None = None
    created_by_username: str | None = None


class TokenInfo(Wire):
    """Times in epoch milliseconds; `expiry_time` -1: never."""

    token_id: str
    creation_time: int
    expiry_time: int
    comment: str


class CreatedToken(Wire):
    """`token_value` is shown here and never again."""

    token_value: str
    token_info: TokenInfo


class TokenList(Wire):
    token_infos: list[TokenInfo] = []


class DeleteToken(Wire):
    token_id: str


class CreateClientSecret(Wire):
    """`lifetime`: seconds with the letter s, as in `3600s`."""

    lifetime: str | None = None
    scopes: list[str] | None = None


class ClientSecret(Wire):
    """Times as RFC 3339. `secret` is there in the answer of the creation only."""

    id: str
    secret_hash: str
    status: str
    create_time: str
    update_time: str
    expire_time: str
    secret: str | None = None


class ClientSecrets(Wire):
    secrets: list[ClientSecret] = []


class AccessToken(Wire):
    """`expires_in`: seconds."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    refresh_token: str | None = None
    issued_token_type: str | None = None


class AuthorizeQuery(Wire):
    """What an application sends along with a user's browser (RFC 6749 4.1.1, RFC 7636)."""

    client_id: str = ""
    redirect_uri: str = ""
    response_type: str = ""
    scope: str = ""
    state: str = ""
    code_challenge: str = ""
    code_challenge_method: str = ""
    assume_group: str = ""


class LoginQuery(Wire):
    """`next`: a path of ours to go on with."""

    next: str = ""


class OutsideAnswer(Wire):
    """What a provider sends back with the browser (RFC 6749 4.1.2)."""

    code: str = ""
    state: str = ""
    error: str = ""
    error_description: str = ""


class LoginLink(Wire):
    """`expires_at`: epoch milliseconds."""

    url: str
    expires_at: int
