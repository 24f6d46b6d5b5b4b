"""API 1.2 contexts: create, status, destroy. They write rows; `reconciler.py` starts and ends what runs."""

from functools import partial

from boathouse.commands import refusals, rows, waiting
from boathouse.commands.access import own_context, running, why_ended
from boathouse.commands.ground import Ground
from boathouse.commands.target import Target
from boathouse.compute import activity
from boathouse.edge import Ctx, endpoint
from boathouse.wire.commands import ContextQuery, ContextStatus, CreateContext, Created, DestroyContext

#: Contexts that may be open on one cluster, as on the platform.
MAX_CONTEXTS = 145


def language_served(target: Target, language: str) -> None:
    """Refuse by name a language that this cluster cannot run."""
    if language == "r" and not target.r:
        raise refusals.no_r(target.cluster_id)
    if language == "python" and not target.python:
        raise refusals.no_python(target.cluster_id, target.why_no_python)


@endpoint("POST", "/api/1.2/contexts/create", error_shape=refusals.shape)
def create(ctx: Ctx, body: CreateContext) -> Created:
    """Record the wish for a context; it is Pending until its process is there."""
    context_id = rows.new_context_id()
    with ctx.transaction() as tx:
        target = running(ctx, tx, body.cluster_id)
        language_served(target, body.language)
        if rows.count_live(tx, target.cluster_id, target.launch) >= MAX_CONTEXTS:
            raise refusals.too_many(target.cluster_id, MAX_CONTEXTS)
        rows.insert_context(
            tx,
            {
                "context_id": context_id, "workspace_id": target.workspace_id, "cluster_id": target.cluster_id,
                "launch": target.launch, "node_id": target.node_id, "language": body.language,
                "principal_id": ctx.caller.principal_id, "principal": ctx.caller.name,
            },
        )  # fmt: skip
        activity.touch(tx, target.cluster_id)
    return Created(id=context_id)


@endpoint("GET", "/api/1.2/contexts/status", error_shape=refusals.shape)
async def status(ctx: Ctx, query: ContextQuery) -> ContextStatus:
    """Pending, Running, or Error once it has ended by itself or with its cluster's launch. Stays a moment while it is Pending."""
    look = partial(_status, ctx, query)
    return await ctx.service(Ground).changes.until(query.context_id, look, lambda seen: seen.status != "Pending", waiting.HOLD)


def _status(ctx: Ctx, query: ContextQuery) -> ContextStatus:
    with ctx.read() as reader:
        target, context = own_context(ctx, reader, query.cluster_id, query.context_id)
    return ContextStatus(id=context.context_id, status="Error" if why_ended(target, context) else context.status)


@endpoint("POST", "/api/1.2/contexts/destroy", error_shape=refusals.shape)
def destroy(ctx: Ctx, body: DestroyContext) -> Created:
    """End a context and all that runs in it. From the answer on nobody finds it any more."""
    with ctx.transaction() as tx:
        _, context = own_context(ctx, tx, body.cluster_id, body.context_id)
        rows.ask_end(tx, context.context_id)
    return Created(id=body.context_id)
