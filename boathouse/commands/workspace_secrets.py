"""The workspace's secrets for command contexts: `ground.ContextSecrets` on the workspace room.

The principal is known by its id, because a name may change while a context lives; rights are those of the moment.
"""

from collections.abc import Iterable

from boathouse.edge.errors import ApiError, denied, not_found
from boathouse.identity import principals
from boathouse.store import Reader, Store
from boathouse.workspace import secret_store
from boathouse.workspace.references import SecretDenied, SecretError, SecretMissing, Secrets


class WorkspaceSecrets:
    """See `ground.ContextSecrets`."""

    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store, self._secrets = store, secrets

    def get(self, workspace_id: int, principal_id: int, scope: str, key: str) -> bytes:
        with self._store.read() as reader:
            name = self._member(reader, workspace_id, principal_id).name
        try:
            return self._secrets.get_bytes(workspace_id, name, scope, key, why="secrets.getInCommand")
        except SecretMissing as error:
            raise not_found(str(error)) from None
        except SecretDenied as error:
            raise denied(str(error)) from None
        except SecretError as error:
            raise ApiError(400, "BAD_REQUEST", str(error)) from None

    def keys(self, workspace_id: int, principal_id: int, scope: str) -> Iterable[str]:
        with self._store.read() as reader:
            who = self._member(reader, workspace_id, principal_id)
            asker = secret_store.asker(reader, workspace_id, principal_id)
            try:
                found = secret_store.scope_for(reader, workspace_id, scope, asker, secret_store.READ)
            except secret_store.NoScope:
                raise not_found(f"Scope {scope} does not exist") from None
            except secret_store.Forbidden:
                raise denied(f"User {who.name} does not have READ permission on scope {scope}") from None
            return [secret.key for secret in secret_store.list_all(reader, found)]

    def scopes(self, workspace_id: int, principal_id: int) -> Iterable[str]:
        with self._store.read() as reader:
            self._member(reader, workspace_id, principal_id)
            asker = secret_store.asker(reader, workspace_id, principal_id)
            return [scope.name for scope in secret_store.scopes_of(reader, workspace_id, asker)]

    def _member(self, reader: Reader, workspace_id: int, principal_id: int) -> principals.Principal:
        """The principal, if it may still do anything in this workspace."""
        who = principals.by_id(reader, principal_id)
        if who is None or not who.active or not principals.assigned(reader, principal_id, workspace_id):
            raise denied("The owner of this context is no longer an active member of the workspace")
        return who
