"""The tables of credentials. No secret is in them: only HMACs under the server key, which is kept outside the
database."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from boathouse.store import metadata

#: Everything a caller may send as a bearer. `kind`: pat (personal access token), bootstrap, or oauth (access token).
tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    # HMAC-SHA-256 of the token.
    Column("hash", String(64), nullable=False, unique=True),
    # Where it holds; 0: in every workspace that its principal may enter.
    Column("workspace_id", BigInteger, nullable=False),
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), nullable=False),
    Column("creator_id", BigInteger, nullable=False),
    Column("comment", Text, nullable=False, default=""),
    Column("created_at", BigInteger, nullable=False),
    # Epoch milliseconds; -1: never.
    Column("expires_at", BigInteger, nullable=False),
    # For access tokens: the client secret that it was given for; it ends with that secret.
    Column("secret_id", String(36), nullable=True),
    # For the bootstrap token: how often it was rotated.
    Column("serial", Integer, nullable=False, default=0),
    Index("tokens_by_principal", "principal_id", "kind"),
)

#: OAuth client secrets of service principals.
client_secrets = Table(
    "client_secrets",
    metadata,
    Column("secret_id", String(36), primary_key=True),
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), nullable=False, index=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
