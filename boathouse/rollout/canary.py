"""The canary: an ordinary cluster with the new image, made, used and ended by the functions of the API, as the owner of the
roll-out.

Every verb may come twice: the cluster has a name that is made of the roll-out's id, and is looked for before it is made. Its
name is the only thing by which it is found when it is to end.
"""

import json
from typing import Any

import msgspec
from sqlalchemy import and_, select

from boathouse.commands import commands as command_verbs
from boathouse.commands import contexts as context_verbs
from boathouse.commands import results
from boathouse.commands import rows as command_rows
from boathouse.compute import clusters as cluster_verbs
from boathouse.compute import states
from boathouse.compute.tables import clusters
from boathouse.compute.tracks import Track
from boathouse.edge import Ctx
from boathouse.rollout import sights
from boathouse.rollout.plan import CanarySeen
from boathouse.store import Reader
from boathouse.wire.commands import CreateContext
from boathouse.wire.compute import ClusterId, CreateCluster, DockerBasicAuth, DockerImage
from boathouse.wire.rollout import Canary

#: What is kept of what a canary's command said, in bytes.
KEPT = 20_000


def name_of(rollout_id: str) -> str:
    """The name of the cluster of a roll-out."""
    return f"canary of {rollout_id}"


def existing(reader: Reader, workspace_id: int, owner_id: int, rollout_id: str) -> list[str]:
    """The canaries of a roll-out that are there: one, or two when the control plane was killed at a bad moment."""
    mine = and_(
        clusters.c.workspace_id == workspace_id, clusters.c.name == name_of(rollout_id), clusters.c.creator_id == owner_id,
        clusters.c.wish != states.WISH_DELETED, clusters.c.source != states.POOL,
    )  # fmt: skip
    return list(reader.execute(select(clusters.c.cluster_id).where(mine).order_by(clusters.c.created_at)).scalars())


def make(ctx: Ctx, row: Any, canary: Canary, track: Track) -> str:
    """Have the canary of a roll-out; its cluster id. Raises ApiError where the API refuses it."""
    with ctx.read() as reader:
        found = existing(reader, ctx.workspace_id, row.owner_id, row.rollout_id)
    if found:
        return found[0]
    wish = msgspec.convert(msgspec.to_builtins(canary.cluster), CreateCluster)
    auth = wish.docker_image.basic_auth if wish.docker_image else None
    if auth is None and track.password and track.workspace_id == ctx.workspace_id:
        auth = DockerBasicAuth(username=track.username, password=track.password)
    wish.docker_image = DockerImage(url=row.image["pinned"], basic_auth=auth)
    wish.cluster_name = name_of(row.rollout_id)
    return cluster_verbs.create(ctx, wish).cluster_id


def open_context(ctx: Ctx, cluster_id: str, canary: Canary) -> str:
    """A context on the canary; its id. Raises ApiError."""
    return context_verbs.create(ctx, CreateContext(cluster_id=cluster_id, language=canary.language)).id


def send(ctx: Ctx, cluster_id: str, context_id: str, canary: Canary) -> str:
    """Have the command run in the context, once; its id. Raises ApiError."""
    with ctx.read() as reader:
        sent = command_rows.first_command(reader, context_id)
    if sent is not None:
        return sent.command_id
    body = {"clusterId": cluster_id, "contextId": context_id, "language": canary.language, "command": canary.command}
    return command_verbs.execute(ctx, json.dumps(body).encode()).id


def end(ctx: Ctx, row: Any) -> None:
    """Have no canary of the roll-out any more. Raises ApiError."""
    with ctx.read() as reader:
        found = existing(reader, ctx.workspace_id, row.owner_id, row.rollout_id)
    for cluster_id in found:
        cluster_verbs.permanent_delete(ctx, ClusterId(cluster_id))


def look(reader: Reader, row: Any, now: int) -> CanarySeen:
    """The canary of a roll-out as it is now."""
    if not row.canary_id:
        return CanarySeen()
    found = reader.execute(select(clusters).where(clusters.c.cluster_id == row.canary_id)).first()
    if found is None or found.wish == states.WISH_DELETED:
        return CanarySeen()
    reason = found.termination_reason or found.wish_reason or {}
    end_of_it = f"{reason.get('code', '')} {(reason.get('parameters') or {}).get('databricks_error_message', '')}".strip()
    context = command_rows.find_context(reader, row.context_id) if row.context_id else None
    command = command_rows.find_command(reader, row.context_id, row.command_id) if row.command_id else None
    answer = _bounded(command.results) if command is not None and command.results else {}
    if context is not None and context.reason:
        answer.setdefault("cause", context.reason)
    return CanarySeen(
        cluster=sights.of_cluster(found, now),
        end=end_of_it,
        context="" if context is None else context.status,
        command="" if command is None else command.status,
        answer=answer,
        failed=answer.get("resultType") == "error",
    )


def _bounded(text: str) -> dict[str, Any]:
    """What a command said, cut to what is kept."""
    return json.loads(results.encode(json.loads(text), KEPT))
