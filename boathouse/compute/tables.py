"""The tables of clusters: the wish and what is known of it, their nodes, Databricks' events, and our timeline.

`clusters.py` (the API) writes wishes; `reconciler.py` alone writes what came of them. JSON columns hold documents that
only travel whole; secret values in `spec` are sealed by `workspace.secrets` before they get here.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from boathouse.store import metadata

clusters = Table(
    "clusters",
    metadata,
    Column("cluster_id", String(64), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False, default=""),
    Column("creator_id", BigInteger, nullable=False),
    Column("creator", String(320), nullable=False),
    # Whose rights resolve secrets: the creator, or whoever edited last.
    Column("editor", String(320), nullable=False),
    # POOL: an idle instance of a pool, which is nobody's cluster yet and which no verb finds.
    Column("source", String(32), nullable=False, default="API"),
    Column("created_at", BigInteger, nullable=False),
    # The accepted request, whole, as it was sent (answers are computed from it), secret values sealed.
    Column("spec", JSON, nullable=False),
    # The wish: `running`, `terminated` or `deleted` (permanently); and which launch the wish asks for: start and restart add one.
    Column("wish", String(16), nullable=False),
    Column("wished_launch", Integer, nullable=False),
    # Why the wish is to end: {code, type, parameters} and the user, filled with wish=terminated.
    Column("wish_reason", JSON, nullable=True),
    # What is: a state of api.md A.1, the launch it belongs to, and its message.
    Column("state", String(16), nullable=False),
    Column("state_message", Text, nullable=False, default=""),
    Column("launch", Integer, nullable=False, default=0),
    Column("start_time", BigInteger, nullable=False),
    Column("terminated_time", BigInteger, nullable=True),
    Column("last_restarted_time", BigInteger, nullable=True),
    Column("last_state_loss_time", BigInteger, nullable=True),
    Column("last_activity_time", BigInteger, nullable=True),
    Column("termination_reason", JSON, nullable=True),
    Column("pinned_at", BigInteger, nullable=True),
    # An unpinned cluster stays in the list as long as one that ended then.
    Column("unpinned_at", BigInteger, nullable=True),
    # The instance pools that its workers and its driver are taken from, and the node types of these; null without.
    Column("pool_id", String(80), nullable=True),
    Column("driver_pool_id", String(80), nullable=True),
    Column("pool_node_type", String(64), nullable=True),
    Column("driver_pool_node_type", String(64), nullable=True),
    # The policy that its wish names; null without.
    Column("policy_id", String(16), nullable=True),
    # The image track that its wish names (`etl/python:stable`); null without.
    Column("track", String(256), nullable=True),
    # SHA-256 of the caller and the token: a token belongs to who sent it. Cleared when the cluster has ended and the
    # token comes again.
    Column("idempotency_token", String(64), nullable=True),
    # Set by the launch: {spark_context_id, driver, executors, driver_node, data_plane, app_id, image: {reference, digest, local,
    # python, python_reason, java, r}, release, limits, spark: {ports}}; no secrets.
    Column("facts", JSON, nullable=False, default=dict),
    # Compare-and-set: every write of the row adds one.
    Column("version", Integer, nullable=False, default=0),
    Index("clusters_by_workspace", "workspace_id", "state", "start_time"),
    Index("clusters_by_start", "workspace_id", "start_time", "cluster_id"),
    Index("clusters_by_name", "workspace_id", "name", "cluster_id"),
    Index("clusters_by_creator", "workspace_id", "creator_id", "start_time", "cluster_id"),
    Index("clusters_by_token", "workspace_id", "idempotency_token", unique=True),
    Index("clusters_by_pool", "pool_id"),
    Index("clusters_by_driver_pool", "driver_pool_id"),
    Index("clusters_by_policy", "policy_id", "creator_id"),
    Index("clusters_by_track", "workspace_id", "track"),
)

#: One row a node of the current launch. `token_hash`: HMAC of the tunnel token of this incarnation.
nodes = Table(
    "nodes",
    metadata,
    Column("node_id", String(80), primary_key=True),
    Column("cluster_id", String(64), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("launch", Integer, nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    # Asked to go: it is deleted, and a successor with the next incarnation is made when the wish still wants the number.
    Column("leaving", Boolean, nullable=False, default=False),
    # What the launch has done with it, never where it could be asked: executor id, address, spark node document.
    Column("facts", JSON, nullable=False, default=dict),
)

events = Table(
    "cluster_events",
    metadata,
    Column("id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("cluster_id", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("type", String(48), nullable=False),
    Column("details", JSON, nullable=False, default=dict),
    Index("cluster_events_by_time", "cluster_id", "at"),
)

#: Ours: a step of a launch, on a node or on the whole cluster. `ended` is null while it runs; `outcome`: ok, failed, skipped,
#: info.
timeline = Table(
    "cluster_timeline",
    metadata,
    Column("id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("cluster_id", String(64), nullable=False),
    Column("launch", Integer, nullable=False),
    Column("step", String(48), nullable=False),
    Column("node", String(80), nullable=False, default=""),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
    Column("outcome", String(16), nullable=False, default="ok"),
    Column("details", JSON, nullable=False, default=dict),
    Index("cluster_timeline_by_launch", "cluster_id", "launch"),
)

#: What of a cluster's logs has been delivered: {place below the destination: [node, size, time of last write in ns]}, how often
#: in a row the destination has refused, and the last launch whose last lines were tried after its nodes were gone.
log_deliveries = Table(
    "log_deliveries",
    metadata,
    Column("cluster_id", String(64), primary_key=True),
    Column("since_launch", Integer, nullable=False),
    Column("delivered", JSON, nullable=False, default=dict),
    Column("last_attempted", BigInteger, nullable=True),
    Column("last_exception", Text, nullable=True),
    Column("failures", Integer, nullable=False, default=0),
    Column("ended_launch", Integer, nullable=False, default=0),
)

#: What the check of an image found, by its bytes, the release and the strictness: the same bytes are not read twice. `verdict`:
#: {"python": {..} or null, "python_reason", "java": {..} or null, "warnings": [..], "failure": null or {"code", "message", ..}}
image_checks = Table(
    "image_checks",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("release", String(80), primary_key=True),
    Column("strict", Boolean, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("verdict", JSON, nullable=False),
)

#: What is installed in an image, by the digest of its manifest: msgspec's JSON of an `Inventory`, compressed. `form`: which
#: reading of packages wrote it.
image_inventories = Table(
    "image_inventories",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("form", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("inventory", LargeBinary, nullable=False),
)

#: The known vulnerabilities of an image before anybody's decisions: msgspec's JSON of a `ScanResult`, compressed. `advisories`:
#: which data base said so; another one's word takes its place.
image_scans = Table(
    "image_scans",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("advisories", String(120), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("result", LargeBinary, nullable=False),
)

#: What images the clusters of a workspace may be made of: an `ImagePolicy`. Without a row nothing is demanded.
image_policies = Table(
    "image_policies",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("policy", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(320), nullable=False),
)

#: Images that an admin lets pass. `until`: the last day, YYYY-MM-DD (UTC); `rules`: names of rules, null: all.
image_exceptions = Table(
    "image_exceptions",
    metadata,
    Column("exception_id", String(16), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("image", String(1024), nullable=False),
    Column("rules", JSON, nullable=True),
    Column("reason", Text, nullable=False),
    Column("until", String(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(320), nullable=False),
    Index("image_exceptions_by_workspace", "workspace_id", "created_at"),
)

#: The token bucket of nodes that a workspace starts: how many it held at `at` (epoch ms); less than none after a large cluster.
node_tokens = Table(
    "node_tokens",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tokens", Float, nullable=False),
    Column("at", BigInteger, nullable=False),
)

#: Scripts that run on every node of every cluster of a workspace, in the order of `position` (0, 1, 2, without gaps).
global_init_scripts = Table(
    "global_init_scripts",
    metadata,
    Column("script_id", String(16), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("name", String(100), nullable=False),
    Column("script", LargeBinary, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("position", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(320), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(320), nullable=False),
    Index("global_init_scripts_by_position", "workspace_id", "position"),
)

#: Instance pools. `live_name` is null once the pool is deleted: names are unique among those that live. `facts`, written by the
#: pool's reconciler: {images: {place: what is known of it}, attempt, retry_at, errors: [{instance_id, message}]}.
instance_pools = Table(
    "instance_pools",
    metadata,
    Column("pool_id", String(80), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("live_name", String(100), nullable=True),
    Column("creator_id", BigInteger, nullable=False),
    Column("creator", String(320), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # The accepted request, whole; passwords of registries sealed, bound to the pool's id.
    Column("spec", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("facts", JSON, nullable=False, default=dict),
    Column("version", Integer, nullable=False, default=0),
    Index("instance_pools_by_name", "workspace_id", "live_name", unique=True),
)

#: A library that a cluster is to have, and how far that is; by `number` in the order in which they were asked for.
cluster_libraries = Table(
    "cluster_libraries",
    metadata,
    Column("number", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("cluster_id", String(64), nullable=False),
    # SHA-256 of the document: asked for twice is once.
    Column("key", String(64), nullable=False),
    # The library as it was sent: {"pypi": {"package": ..}}.
    Column("library", JSON, nullable=False),
    # With whose rights its file is read.
    Column("installer", String(320), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    # No more wished; it is there until the cluster restarts.
    Column("uninstall", Boolean, nullable=False, default=False),
    # Asked for again after it failed: processes of the attempt before do not count.
    Column("attempt", Integer, nullable=False, default=1),
    # The launch that the columns below are about; 0 before the first.
    Column("launch", Integer, nullable=False, default=0),
    Column("status", String(24), nullable=False),
    Column("messages", JSON, nullable=False, default=list),
    # By node: {"since": epoch ms} once it began there, with {"ok": bool} once it ended.
    Column("nodes", JSON, nullable=False, default=dict),
    Index("cluster_libraries_by_key", "cluster_id", "key", unique=True),
)

#: Instance profiles that clusters of a workspace may name.
instance_profiles = Table(
    "instance_profiles",
    metadata,
    Column("workspace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("arn", String(512), primary_key=True),
    Column("role_arn", String(512), nullable=True),
)

#: Policies of clusters. A default policy (of a family, in every workspace) has a row only once it was edited.
cluster_policies = Table(
    "cluster_policies",
    metadata,
    Column("policy_id", String(16), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    # `name_key` is the name as compared: without regard to case.
    Column("name", String(100), nullable=False),
    Column("name_key", String(400), nullable=False),
    Column("description", Text, nullable=True),
    # A definition of its own, or a family and what is changed of its definition: JSON texts as they were sent.
    Column("definition", Text, nullable=True),
    Column("family_id", String(64), nullable=True),
    Column("overrides", Text, nullable=True),
    Column("libraries", JSON, nullable=True),
    Column("max_clusters_per_user", Integer, nullable=True),
    Column("is_default", Boolean, nullable=False),
    Column("creator", String(320), nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Index("cluster_policies_by_name", "workspace_id", "name_key", unique=True),
)

#: Clusters that are to obey their policies again once they have ended or restart. `status`: ACTIVE, or INACTIVE when that failed.
policy_enforcements = Table(
    "policy_enforcements",
    metadata,
    Column("cluster_id", String(64), primary_key=True),
    Column("initiator", String(320), nullable=False),
    Column("initiated_at", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    # What was to change when it was asked for, [{field, previous_value, new_value}]; what changes is what is needed then.
    Column("changes", JSON, nullable=False),
)

#: Image tracks: names for digests that have passed. `rollout` makes them and says what they name; launches read them. `image`:
#: what it names now, `host/repository@sha256:..`; null until a roll-out has passed. `login`: {"username", "password"} of its
#: registry, the password a reference to a secret, resolved with the rights of `editor`.
image_tracks = Table(
    "image_tracks",
    metadata,
    Column("track_id", String(40), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    # `etl/python:stable`, without the scheme.
    Column("name", String(256), nullable=False),
    Column("comment", Text, nullable=False, default=""),
    Column("image", Text, nullable=True),
    Column("login", JSON, nullable=True),
    Column("creator", String(320), nullable=False),
    Column("editor", String(320), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("image_tracks_by_name", "workspace_id", "name", unique=True),
)

#: Every image that a track was made to name, in the order of `number`. `reason`: PROMOTED or ROLLED_BACK; `by`: whose roll-out.
image_track_changes = Table(
    "image_track_changes",
    metadata,
    Column("number", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("track_id", String(40), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("image", Text, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("rollout_id", String(40), nullable=False),
    Column("by", String(320), nullable=False),
    Index("image_track_changes_by_track", "track_id", "number"),
)
