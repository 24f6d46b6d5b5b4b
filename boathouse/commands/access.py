"""May this caller use this cluster, this context? Asked at every call, where the rows are looked up.

The cluster's rights are compute's; on top of them a context belongs to whoever made it, because all of its
code acts as them.
"""

from typing import Any

from boathouse.commands import refusals, rows
from boathouse.commands.target import Target, read_target
from boathouse.compute import access
from boathouse.compute.states import LAUNCHING
from boathouse.edge import Ctx
from boathouse.store import Reader


def attachable(ctx: Ctx, reader: Reader, cluster_id: str) -> Target:
    """The cluster, if the caller may attach to it. Whether it runs is another question."""
    target = read_target(reader, cluster_id)
    if target is None or target.workspace_id != ctx.workspace_id:
        raise refusals.cluster_not_found(cluster_id)
    access.find(reader, ctx.caller, cluster_id, "attach")
    return target


def running(ctx: Ctx, reader: Reader, cluster_id: str) -> Target:
    """The cluster, if the caller may attach and it takes commands now."""
    target = attachable(ctx, reader, cluster_id)
    if target.simulated:
        raise refusals.simulated(cluster_id)
    if not target.serving:
        if target.state in LAUNCHING:  # which leads to serving by itself: a client may try again
            raise refusals.not_ready(cluster_id, target.state)
        raise refusals.not_running(cluster_id, target.state, target.state_message)
    return target


def own_context(ctx: Ctx, reader: Reader, cluster_id: str, context_id: str) -> tuple[Target, Any]:
    """The caller's own context and its cluster, alive or ended; ContextNotFound when it is another's cluster or was destroyed."""
    target = attachable(ctx, reader, cluster_id)
    context = rows.find_context(reader, context_id)
    if context is None or context.cluster_id != cluster_id or context.ending:
        raise refusals.context_not_found(cluster_id, context_id)
    if context.principal_id != ctx.caller.principal_id:
        raise refusals.not_yours(context_id, context.principal)
    return target, context


def why_ended(target: Target, context: Any) -> str:
    """Why the context takes no commands any more; empty while it does."""
    if context.ended_at is not None:
        return context.reason or "it has ended"
    if target.lives(context):
        return ""
    return f"it ended with the launch of the cluster it was made in (the cluster is {target.state} now)"
