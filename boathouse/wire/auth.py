"""Tokens and client secrets as they travel (`/api/2.0/token/*`, `.../credentials/secrets`)."""

from boathouse.wire.base import Wire


class CreateToken(Wire):
    """`lifetime_seconds`: -1 or nothing for a token that does not expire by itself."""

    comment: str | None = None
    lifetime_seconds: int | None = None
    scopes: list[str] | None = None
    autoscope_enabled: bool | None = None


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
