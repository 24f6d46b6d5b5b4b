"""Command execution, API 1.2: the one API that still writes its fields in camel case."""

from typing import Literal

import msgspec

from boathouse.wire.base import Wire

Language = Literal["python", "scala", "sql", "r"]


class CreateContext(Wire, rename="camel"):
    cluster_id: str
    language: Language


class DestroyContext(Wire, rename="camel"):
    cluster_id: str
    context_id: str


class ContextQuery(Wire, rename="camel"):
    cluster_id: str
    context_id: str


class ExecuteCommand(Wire, rename="camel"):
    cluster_id: str
    context_id: str
    command: str
    # Left out: the language of the context.
    language: Language | None = None


class CommandQuery(Wire, rename="camel"):
    cluster_id: str
    context_id: str
    command_id: str


class CancelCommand(CommandQuery, rename="camel"):
    pass


class Created(Wire):
    """The answer of contexts/create and commands/execute, and of the two old calls that name what they did."""

    id: str


class ContextStatus(Wire):
    id: str
    status: str


class CommandStatus(Wire):
    """`results` is null until the command has ended, as the platform answers."""

    id: str
    status: str
    results: msgspec.Raw


class SparkUiTicket(Wire):
    """Ours: where a browser enters the Spark UI once. `expires_at` in epoch milliseconds."""

    url: str
    expires_at: int
