"""The tables of credentials and of permissions. No secret is in them: only HMACs under the server key, which is kept outside
the database."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

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
    # For access tokens: the log-in or the federation policy that it was given for; it ends with that.
    Column("grant_id", String(36), nullable=True, index=True),
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

#: Local passwords of users, as argon2id writes them (salt and cost are in the text).
passwords = Table(
    "passwords",
    metadata,
    Column("principal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

#: One-time links by which a user sets a password.
login_links = Table(
    "login_links",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("principal_id", BigInteger, nullable=False, index=True),
    Column("expires_at", BigInteger, nullable=False),
)

#: Failed log-ins: of one user name, or from one address (`key` is an HMAC of which).
login_failures = Table(
    "login_failures",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    # When the first of them was, in epoch milliseconds.
    Column("since", BigInteger, nullable=False),
)

#: Browsers that are logged in; the cookie is kept as an HMAC.
login_sessions = Table(
    "login_sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("principal_id", BigInteger, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

#: What an application was given by one log-in of a user. Its access tokens and refresh tokens end with it.
oauth_grants = Table(
    "oauth_grants",
    metadata,
    Column("grant_id", String(36), primary_key=True),
    Column("client_id", String(255), nullable=False),
    Column("principal_id", BigInteger, nullable=False, index=True),
    Column("scope", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

#: Authorization codes on their way through a browser. `grant_id` once one was used: a second use ends that grant.
authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("client_id", String(255), nullable=False),
    Column("principal_id", BigInteger, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    # The PKCE challenge (S256).
    Column("challenge", String(43), nullable=False),
    Column("scope", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("grant_id", String(36), nullable=True),
)

#: Refresh tokens; `replaced_at` when a newer one was given for it.
refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("grant_id", String(36), nullable=False, index=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("replaced_at", BigInteger, nullable=True),
)

#: Whose tokens of other issuers are believed: of an account (`service_principal_id` 0) or for one service principal.
federation_policies = Table(
    "federation_policies",
    metadata,
    Column("uid", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("service_principal_id", BigInteger, nullable=False),
    Column("policy_id", String(128), nullable=False),
    Column("description", Text, nullable=False),
    # `oidc_policy` as it was accepted.
    Column("oidc_policy", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("federation_policies_by_id", "account_id", "service_principal_id", "policy_id", unique=True),
)

#: Addresses from which a workspace (or, with `workspace_id` 0, the account) may be called, or may not.
ip_access_lists = Table(
    "ip_access_lists",
    metadata,
    Column("list_id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("workspace_id", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    # ALLOW or BLOCK.
    Column("list_type", String(8), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("addresses", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", BigInteger, nullable=False),
    Index("ip_access_lists_by_place", "account_id", "workspace_id"),
)

#: What was given directly on objects of a workspace: one level a principal. Read and written by `auth.permissions` alone.
permissions = Table(
    "permissions",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    # As in the API's paths: clusters, instance-pools, directories, ...
    Column("object_type", String(48), primary_key=True),
    Column("object_id", String(128), primary_key=True),
    # A user, service principal or group; 0: the mark that the list was written, so that what a type gives at first holds no more.
    Column("principal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("level", String(48), nullable=False),
    Index("permissions_by_principal", "workspace_id", "principal_id", "object_type", "object_id"),
)

#: Whether the lists of an account hold; `version` is the setting's etag.
ip_access_switches = Table(
    "ip_access_switches",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
)
