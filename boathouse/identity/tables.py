"""The tables of accounts, workspaces, principals and memberships.

Users, service principals and groups share one table, so an id names one principal whatever its kind and a group holds
any of them. A principal belongs to the account (`workspace_id` 0) or, as the system groups and groups made in a
workspace do, to one workspace. Being assigned to a workspace *is* being in its system group `users` (permission USER)
or `admins` (ADMIN), directly or through other groups: one truth, asked the same way as every other membership."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from boathouse.store import metadata

#: `workspace_id` of rows that belong to the account as a whole.
ACCOUNT_LEVEL = 0

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("name", String(128), nullable=False),
    # First label of the host name that chooses the workspace: `<deployment_name>.localhost`.
    Column("deployment_name", String(63), nullable=False, unique=True),
    # aws, azure or gcp: decides node types and echoed attributes.
    Column("cloud", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # RUNNING, or CANCELLING while what runs in it ends: then nobody enters it any more.
    Column("status", String(20), nullable=False, server_default="RUNNING"),
    # What only travels: aws_region, location, pricing_tier, custom_tags; and `creator`, who made it.
    Column("details", JSON, nullable=False, server_default="{}"),
)

principals = Table(
    "principals",
    metadata,
    Column("principal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", String(36), ForeignKey("accounts.account_id"), nullable=False),
    Column("workspace_id", BigInteger, nullable=False, default=ACCOUNT_LEVEL),
    # user, service_principal or group.
    Column("kind", String(20), nullable=False),
    # User name, application id or name of the group; `name_key` is it as compared: without regard to case.
    Column("name", String(320), nullable=False),
    Column("name_key", String(320), nullable=False),
    Column("display_name", Text, nullable=False, default=""),
    Column("active", Boolean, nullable=False, default=True),
    Column("external_id", String(320), nullable=True),
    # SCIM attributes that only travel: name, emails, ...
    Column("attributes", JSON, nullable=False, default=dict),
    Column("created_at", BigInteger, nullable=False),
    # The principal that `boathouse up` made and whose token it prints: cannot be removed through the API.
    Column("bootstrap", Boolean, nullable=False, default=False),
    # When it was taken out of the account: epoch milliseconds. The row stays, because records of what it did name its id;
    # its name is free for another.
    Column("removed_at", BigInteger, nullable=True),
    Index("principals_by_name", "account_id", "workspace_id", "kind", "name_key", unique=True),
)

memberships = Table(
    "memberships",
    metadata,
    Column("group_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
    Column("member_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
    Index("memberships_by_member", "member_id"),
)

#: What a principal may do besides permissions on objects: allow-cluster-create, workspace-access, ...
entitlements = Table(
    "entitlements",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
    Column("entitlement", String(64), primary_key=True),
)

#: Roles in a workspace: ARNs of instance profiles that may be named.
workspace_roles = Table(
    "workspace_roles",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
    Column("role", String(512), primary_key=True),
)

#: Who may not call in a workspace, although the account lets them: `active` false in that workspace's SCIM.
deactivations = Table(
    "deactivations",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
)

#: Roles in the account: account_admin.
account_roles = Table(
    "account_roles",
    metadata,
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
    Column("role", String(64), primary_key=True),
)

#: When a principal was last taken out of a workspace: tokens that it made there before that do not come back with it.
departures = Table(
    "departures",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("principal_id", BigInteger, ForeignKey("principals.principal_id"), primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
)

#: Switches of a workspace (`workspace-conf`). They live with the workspace because rooms at every height ask for them.
workspace_conf = Table(
    "workspace_conf",
    metadata,
    Column("workspace_id", BigInteger, ForeignKey("workspaces.workspace_id"), primary_key=True, autoincrement=False),
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

#: One row: a counter that every change of identities and credentials raises, so that caches of callers know when to forget.
identity_revision = Table(
    "identity_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

#: Roles on things of the account, by rule sets: `resource` is `accounts/{id}`, `accounts/{id}/groups/{id}`, ...
role_grants = Table(
    "role_grants",
    metadata,
    Column("resource", String(200), primary_key=True),
    Column("role", String(80), primary_key=True),
    Column("principal_id", BigInteger, primary_key=True, autoincrement=False),
)

#: How often the rule set of a resource was written; its etag.
rule_sets = Table(
    "rule_sets",
    metadata,
    Column("resource", String(200), primary_key=True),
    Column("version", Integer, nullable=False),
)
