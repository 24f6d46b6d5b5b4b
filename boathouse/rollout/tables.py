"""The tables of roll-outs: what was asked for and how far it is, its timeline, its clusters, and what starts roll-outs by itself.

`api` and `triggers_api` write wishes, `reconciler` and `triggers` what came of them. Times in epoch ms. No secrets:
specifications hold references to them.
"""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, Text

from boathouse.store import metadata

rollouts = Table(
    "rollouts",
    metadata,
    Column("rollout_id", String(40), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("track_id", String(40), nullable=False),
    # The track's name, for those that outlive it.
    Column("track", String(256), nullable=False),
    # The track while the roll-out is under way, null afterwards: one at a time.
    Column("live_track", String(40), nullable=True),
    # As whom everything is done, and what started it: `call` or a trigger's id.
    Column("owner_id", BigInteger, nullable=False),
    Column("owner", String(320), nullable=False),
    Column("started_by", String(40), nullable=False),
    # Who fired the trigger by hand.
    Column("fired_by_id", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    # The accepted request, whole, without the track.
    Column("spec", JSON, nullable=False),
    # A state of `plan`, since when it is in it, and the end that CLEANING and ROLLING_BACK lead to.
    Column("state", String(16), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    # {by, at, comment} of who approved, and of who cancelled.
    Column("approved", JSON, nullable=True),
    Column("cancelled", JSON, nullable=True),
    # What is tried: the reference (of a build: where it was pushed), and {reference, digest, pinned, plain_http} once it is
    # known.
    Column("reference", Text, nullable=False, default=""),
    Column("image", JSON, nullable=False, default=dict),
    Column("canary_workspace_id", BigInteger, nullable=False),
    Column("canary_id", String(64), nullable=False, default=""),
    Column("context_id", String(32), nullable=False, default=""),
    Column("command_id", String(32), nullable=False, default=""),
    # What the canary's command said.
    Column("canary_result", JSON, nullable=True),
    # What the track named before the promotion, pinned.
    Column("previous", Text, nullable=False, default=""),
    # Compare-and-set: every write of the row adds one.
    Column("version", Integer, nullable=False, default=0),
    Index("rollouts_by_live_track", "live_track", unique=True),
    Index("rollouts_by_track", "workspace_id", "track", "created_at"),
)

#: The timeline: a step of a roll-out. `outcome`: running, ok, failed.
rollout_steps = Table(
    "rollout_steps",
    metadata,
    Column("id", Integer().with_variant(BigInteger, "postgresql"), primary_key=True, autoincrement=True),
    Column("rollout_id", String(40), nullable=False),
    Column("step", String(48), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
    Column("outcome", String(16), nullable=False),
    Column("details", JSON, nullable=False, default=dict),
    Index("rollout_steps_by_step", "rollout_id", "step", unique=True),
)

#: Clusters that followed the track when it was promoted. `state`: see `waves`; `launch`: the launch that the restart is.
rollout_clusters = Table(
    "rollout_clusters",
    metadata,
    Column("rollout_id", String(40), primary_key=True),
    Column("cluster_id", String(64), primary_key=True),
    Column("wave", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("launch", Integer, nullable=False, default=0),
    Column("at", BigInteger, nullable=False),
    Column("message", Text, nullable=False, default=""),
)

#: What starts roll-outs. `seen`: what it knows of the world ({"digest"} of a base, {"advisories", "findings"}); `waiting`: why
#: one is due that has not begun.
rollout_triggers = Table(
    "rollout_triggers",
    metadata,
    Column("trigger_id", String(40), primary_key=True),
    Column("workspace_id", BigInteger, nullable=False),
    Column("track_id", String(40), nullable=False),
    Column("track", String(256), nullable=False),
    Column("owner_id", BigInteger, nullable=False),
    Column("owner", String(320), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("condition", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("next_at", BigInteger, nullable=True),
    Column("seen", JSON, nullable=False, default=dict),
    Column("waiting", Text, nullable=False, default=""),
    # Who fired it by hand, until the roll-out begins.
    Column("fired_by_id", BigInteger, nullable=True),
    Column("message", Text, nullable=False, default=""),
    Column("last_rollout_id", String(40), nullable=True),
    Column("version", Integer, nullable=False, default=0),
    Index("rollout_triggers_by_track", "track_id"),
)
