"""What an endpoint function gets: the caller, the store, the services that `server.py` put in, and the audit."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, insert

from boathouse.edge.caller import Caller
from boathouse.edge.tables import audit
from boathouse.store import Reader, Store, Tx

T = TypeVar("T")

REDACTED = "[REDACTED]"

#: Names of body fields whose values never reach the audit, at any depth.
SECRET_FIELDS = frozenset(
    {
        "string_value",
        "bytes_value",
        "password",
        "secret",
        "token_value",
        "client_secret",
        "access_token",
        "command",
        "secret_access_key",
    }
)


class Services:
    """The things endpoints work with, by their type: relay, driver, releases, settings, ... Filled once by `server.py`."""

    def __init__(self, *services: Any) -> None:
        self._by_type: dict[type, Any] = {}
        for service in services:
            self.add(service)

    def add(self, service: Any, kind: type | None = None) -> None:
        self._by_type[kind or type(service)] = service

    def get(self, kind: type[T]) -> T:
        return self._by_type[kind]

    def find(self, kind: type[T]) -> T | None:
        """The service of this type, where there is one."""
        return self._by_type.get(kind)


@dataclass(slots=True)
class Ctx:
    """One request. Jobs, console and tests build one too: endpoints are plain functions."""

    store: Store
    caller: Caller
    services: Services = field(default_factory=Services)
    action: str = "internal"
    request_id: str = ""
    source: str = ""
    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Any = None
    #: What stands in the path, by name: of a DELETE it is all that tells the object.
    in_path: Mapping[str, str] = field(default_factory=dict)
    #: Raises ApiError when the caller's credential has ended since the request began.
    confirm: Callable[[Reader, Caller], None] | None = None

    @property
    def workspace_id(self) -> int:
        return self.caller.workspace_id

    @property
    def account_id(self) -> str:
        return self.caller.account_id

    def service(self, kind: type[T]) -> T:
        """The service of this type."""
        return self.services.get(kind)

    def read(self) -> Any:
        """A context manager with a snapshot of the store."""
        return self.store.read()

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A write that leaves its audit record in the same transaction. Raises ApiError 403 when the caller's credential ended
        while the request was under way: what it has not written by then, it does not write."""
        with self.store.transaction() as tx:
            if self.confirm is not None:
                self.confirm(tx, self.caller)
            yield tx
            record(tx, self, 200)


_INSERT = insert(audit)


def record(tx: Tx | Connection, ctx: Ctx, status: int, at: int | None = None) -> None:
    """Write the audit record of `ctx`'s request; secret values in the request are left out."""
    tx.execute(
        _INSERT,
        {
            "at": ctx.store.clock() if at is None else at,
            "workspace_id": ctx.caller.workspace_id,
            "principal": ctx.caller.name,
            "action": ctx.action,
            "request_id": ctx.request_id,
            "status": status,
            "source": ctx.source,
            "request": msgspec.json.encode(redact(asked(ctx.in_path, ctx.params))).decode(),
        },
    )


def asked(in_path: Mapping[str, str], params: Any) -> Any:
    """Body or query of a request, and what its path names: `name_arg` where the body has another `name`."""
    said = msgspec.to_builtins(params) if params else {}
    if not isinstance(said, dict):
        return said
    return said | {name if said.get(name, value) == value else f"{name}_arg": value for name, value in in_path.items()}


def redact(value: Any) -> Any:
    """`value` without the values of secret fields; references such as `{{secrets/a/b}}` stay readable."""
    if isinstance(value, dict):
        return {
            key: REDACTED if key in SECRET_FIELDS and not _is_reference(item) else redact(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact(item) for item in value]
    return value


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{{secrets/") and value.endswith("}}")
