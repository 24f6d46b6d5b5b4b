"""What a context's process may ask the control plane: secrets, files and the catalog's SQL, as the principal whose context it is.

The process holds a capability (256 random bits, stored as a hash, gone with the context); every call is decided here, as that
principal, with the rights they have at that moment. Called by the relay, through `server.py`. Values that were read are
remembered, so that `redaction` can keep them out of results.
"""

import base64
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from boathouse.commands import rows
from boathouse.commands.ground import Ground
from boathouse.commands.target import read_target
from boathouse.edge.errors import ApiError
from boathouse.relay.failures import Refused

#: What `dbutils.fs` asks for: a closed list.
FILE_METHODS = (
    "fs.ls", "fs.read", "fs.put", "fs.create", "fs.append", "fs.close", "fs.cp", "fs.mv", "fs.rm", "fs.mkdirs",
)  # fmt: skip

#: All methods that a node may call, with those of secrets and of the catalog.
METHODS = ("secrets.get", "secrets.list", "secrets.listScopes", "catalog.sql", *FILE_METHODS)

Method = Callable[[str, dict[str, Any], str], Any]


class Capabilities:
    """One for the control plane; shared by the relay's methods and the reconciler."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._lock = threading.Lock()
        self._values: dict[str, dict[tuple[str, str], set[str]]] = {}

    def mint(self, context_id: str) -> str:
        """A new capability in the place of an older one."""
        capability = secrets.token_urlsafe(32)
        with self._ground.store.transaction() as tx:
            rows.write_context(tx, context_id, capability_hash=rows.hash_of(capability))
        return capability

    def known_values(self, context: Any) -> set[str]:
        """The values of all secrets that this context has read, also before a restart of ours (then read again: a secret that
        changed or went away since is no longer known)."""
        with self._ground.store.read() as reader:
            read = rows.secrets_read(reader, context.context_id)
        values: set[str] = set()
        for scope, key in read:
            with self._lock:
                kept = set(self._values.get(context.context_id, {}).get((scope, key), ()))
            if not kept:
                try:
                    raw = self._ground.secrets.get(context.workspace_id, context.principal_id, scope, key)
                except ApiError:
                    continue  # deleted, or no longer theirs: there is nothing to compare with
                kept = _texts(raw)
                self._keep(context.context_id, scope, key, kept)
            values |= kept
        return values

    def drop(self, context_id: str) -> None:
        with self._lock:
            self._values.pop(context_id, None)

    def node_methods(self) -> Mapping[str, Method]:
        """For the relay's table of methods. Each refuses with `Refused`, whose message the user's code sees."""
        files = {name: self._file_method(name) for name in FILE_METHODS}
        return {
            "secrets.get": self._get, "secrets.list": self._list, "secrets.listScopes": self._list_scopes,
            "catalog.sql": self._sql, **files,
        }  # fmt: skip

    def _sql(self, node_id: str, params: dict[str, Any], capability: str) -> dict[str, Any]:
        context = self._holder(node_id, capability)
        catalog = self._ground.catalog
        if catalog is None:
            raise Refused("NOT_IMPLEMENTED", "The catalog is not served here.")
        statement = _text(params, "statement")
        return self._decide(lambda: catalog.sql(context.workspace_id, context.principal_id, statement))

    def _file_method(self, name: str) -> Method:
        def call(node_id: str, params: dict[str, Any], capability: str) -> Any:
            context = self._holder(node_id, capability)
            files = self._ground.files
            if files is None:
                raise Refused("NOT_IMPLEMENTED", "Files are not served here.")
            return self._decide(lambda: files.call(context.workspace_id, context.principal_id, name, params))

        return call

    def _get(self, node_id: str, params: dict[str, Any], capability: str) -> dict[str, str]:
        context = self._holder(node_id, capability)
        scope, key = _text(params, "scope"), _text(params, "key")
        raw = self._decide(lambda: self._ground.secrets.get(context.workspace_id, context.principal_id, scope, key))
        # Remembered before it is handed out: after a crash in between it is redacted for nothing, never shown.
        with self._ground.store.transaction() as tx:
            rows.note_secret(tx, context.context_id, scope, key)
        self._keep(context.context_id, scope, key, _texts(raw))
        answer = {"bytes": base64.b64encode(raw).decode()}
        try:
            answer["value"] = raw.decode()
        except UnicodeDecodeError:
            pass  # not text: `bytes` is all there is
        return answer

    def _list(self, node_id: str, params: dict[str, Any], capability: str) -> list[dict[str, str]]:
        context = self._holder(node_id, capability)
        scope = _text(params, "scope")
        found = self._decide(lambda: self._ground.secrets.keys(context.workspace_id, context.principal_id, scope))
        return [{"key": key} for key in found]

    def _list_scopes(self, node_id: str, params: dict[str, Any], capability: str) -> list[dict[str, str]]:
        context = self._holder(node_id, capability)
        found = self._decide(lambda: self._ground.secrets.scopes(context.workspace_id, context.principal_id))
        return [{"name": name} for name in found]

    def _holder(self, node_id: str, capability: str) -> Any:
        """The live context that this capability belongs to, called from its own node; `Refused` for any other."""
        with self._ground.store.read() as reader:
            context = rows.by_capability(reader, capability) if capability else None
            target = read_target(reader, context.cluster_id) if context is not None else None
        alive = context is not None and context.ended_at is None and not context.ending and context.node_id == node_id
        if not alive or target is None or not target.lives(context):
            raise Refused("no_capability", "This process is not part of a command context that is alive.")
        return context

    def _decide(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ApiError as error:
            raise Refused(str(error.error_code), error.message) from None

    def _keep(self, context_id: str, scope: str, key: str, values: set[str]) -> None:
        with self._lock:
            self._values.setdefault(context_id, {}).setdefault((scope, key), set()).update(values)


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise Refused("INVALID_PARAMETER_VALUE", f"{name} must be a string")
    return value


def _texts(raw: bytes) -> set[str]:
    """How a value can appear in text: as it is when it is text, and in base64, as the API for bytes hands it out."""
    texts = {base64.b64encode(raw).decode()} if len(raw) >= 6 else set()
    try:
        texts.add(raw.decode())
    except UnicodeDecodeError:
        return texts
    return texts
