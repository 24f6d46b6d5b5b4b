"""API 1.2 commands: execute, status, cancel. They write rows; `reconciler.py` runs them, one at a time in each context."""

from functools import partial

import msgspec

from boathouse.commands import refusals, results, rows, waiting
from boathouse.commands.access import own_context, running, why_ended
from boathouse.commands.contexts import language_served
from boathouse.commands.forms import execute_request
from boathouse.commands.ground import Ground
from boathouse.compute import activity
from boathouse.edge import Ctx, endpoint
from boathouse.edge.errors import invalid
from boathouse.wire.commands import CancelCommand, CommandQuery, CommandStatus, Created

#: Commands that may wait in one context.
MAX_QUEUED = 1000

ENDED = ("Finished", "Cancelled", "Error")

#: What a command may weigh.
BODY_LIMIT = 8 << 20

CANCELLED = results.encode(results.failure("Command was cancelled"))
SKIPPED = results.encode(results.failure("Command was cancelled before it ran"))


@endpoint("POST", "/api/1.2/commands/execute", error_shape=refusals.shape, body_limit=BODY_LIMIT)
def execute(ctx: Ctx, raw: bytes) -> Created:
    """Queue a command. Once answered it will run, or its status will say why not."""
    body = execute_request(ctx.headers, raw)
    ctx.params = body
    if "\0" in body.command:
        raise invalid("Invalid value for field 'command': it contains a NUL character, which no language served here allows.")
    with ctx.transaction() as tx:
        target, context = own_context(ctx, tx, body.cluster_id, body.context_id)
        running(ctx, tx, body.cluster_id)
        if why := why_ended(target, context):
            raise refusals.context_not_found(body.cluster_id, body.context_id, why)
        language = body.language or context.language
        language_served(target, language)
        if rows.count_waiting(tx, context.context_id) >= MAX_QUEUED:
            raise refusals.queue_full(context.context_id, MAX_QUEUED)
        command_id = rows.insert_command(tx, context.context_id, language, body.command)
        activity.touch(tx, target.cluster_id)
    return Created(id=command_id)


@endpoint("GET", "/api/1.2/commands/status", error_shape=refusals.shape)
async def status(ctx: Ctx, query: CommandQuery) -> CommandStatus:
    """Where a command stands, and its results once it has ended (also after its context has). Stays a moment while it has not."""
    look = partial(_status, ctx, query)
    return await ctx.service(Ground).changes.until(query.context_id, look, lambda seen: seen.status in ENDED, waiting.HOLD)


def _status(ctx: Ctx, query: CommandQuery) -> CommandStatus:
    with ctx.read() as reader:
        _, context = own_context(ctx, reader, query.cluster_id, query.context_id)
        command = rows.find_command(reader, context.context_id, query.command_id)
    if command is None:
        raise refusals.command_not_found(query.context_id, query.command_id)
    # The stored results are JSON already, up to 20 MB of it.
    return CommandStatus(id=command.command_id, status=command.status, results=msgspec.Raw((command.results or "null").encode()))


@endpoint("POST", "/api/1.2/commands/cancel", error_shape=refusals.shape)
def cancel(ctx: Ctx, body: CancelCommand) -> Created:
    """Stop a command. Twice is once; one that has ended otherwise is refused, for its status will never be Cancelled."""
    with ctx.transaction() as tx:
        _, context = own_context(ctx, tx, body.cluster_id, body.context_id)
        command = rows.find_command(tx, context.context_id, body.command_id)
        if command is None:
            raise refusals.command_not_found(body.context_id, body.command_id)
        if command.status in ("Finished", "Error"):
            raise refusals.already_ended(command.command_id, command.status)
        rows.ask_cancel(tx, command.command_id, context.context_id, SKIPPED)
    return Created(id=body.command_id)
