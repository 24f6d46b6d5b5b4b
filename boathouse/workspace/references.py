"""References to secrets, `{{secrets/<scope>/<key>}}`: told apart from other text (pure), and resolved with somebody's
rights.

The launch resolves those of a cluster's specification and `dbutils.secrets` those that code asks for, each time with
the rights that the principal has at that moment. Every resolving leaves an audit record."""

import re

import msgspec

from boathouse.edge.caller import Caller
from boathouse.edge.context import Ctx, record
from boathouse.identity import principals
from boathouse.store import Store
from boathouse.workspace import secret_store
from boathouse.workspace.sealing import Sealer, Unsealable

#: Scope and key of a secret: letters, digits, `_ . @ -`, 1 to 128 of them (reference api E).
NAME = re.compile(r"[A-Za-z0-9_.@-]{1,128}")

_REFERENCE = re.compile(r"\{\{secrets/([^{}/\s]+)/([^{}/\s]+)\}\}")


class Reference(msgspec.Struct, frozen=True):
    scope: str
    key: str

    def __str__(self) -> str:
        return f"{{{{secrets/{self.scope}/{self.key}}}}}"


class SecretError(Exception):
    """A secret that cannot be had; the message names the reference and never a value."""


class SecretMissing(SecretError):
    """There is no such scope or key, or the text is no reference."""


class SecretDenied(SecretError):
    """The principal may not read the scope, or is gone, inactive or not in the workspace."""


def parse(text: str) -> Reference | None:
    """The reference that `text` is as a whole, or None for any other text."""
    match = _REFERENCE.fullmatch(text)
    if match is None or not (NAME.fullmatch(match[1]) and NAME.fullmatch(match[2])):
        return None
    return Reference(match[1], match[2])


def looks_like(text: str) -> bool:
    """Whether somebody meant `text` as a reference: those that `parse` refuses are mistakes, not values."""
    return text.startswith("{{secrets/") and text.endswith("}}")


class Secrets:
    """The secrets of all workspaces, for callers in the process. `server.py` puts one into the services."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store, self._sealer = store, sealer

    def resolve(self, workspace_id: int, principal: str, reference: str, why: str = "secrets.resolve") -> str:
        """The text of the secret that `{{secrets/<scope>/<key>}}` names, with the rights of the principal of that name.
        Raises SecretMissing, SecretDenied; SecretError when the value is not text."""
        parsed = parse(reference)
        if parsed is None:
            raise SecretMissing(f"'{reference[:300]}' is not of the form {{{{secrets/<scope>/<key>}}}}")
        value = self.get_bytes(workspace_id, principal, parsed.scope, parsed.key, why)
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise SecretError(f"The value of {parsed} is not text in UTF-8") from None

    def get_bytes(self, workspace_id: int, principal: str, scope: str, key: str, why: str = "secrets.resolve") -> bytes:
        """As `resolve`, by scope and key, for any value."""
        what = Reference(scope, key)
        with self._store.read() as reader:
            who = principals.in_workspace(reader, workspace_id, principal, (principals.USER, principals.SERVICE_PRINCIPAL))
            if who is None or not who.active:
                raise SecretDenied(f"{principal} is not an active member of the workspace, so {what} cannot be read")
            asker = secret_store.asker(reader, workspace_id, who.principal_id)
            try:
                found = secret_store.scope_for(reader, workspace_id, scope, asker, secret_store.READ)
            except secret_store.NoScope:
                raise SecretMissing(f"Scope {scope} of {what} does not exist") from None
            except secret_store.Forbidden:
                raise SecretDenied(f"{principal} does not have READ permission on scope {scope} of {what}") from None
            secret = secret_store.get(reader, found, key)
        if secret is None:
            raise SecretMissing(f"Key {key} of {what} does not exist")
        caller = Caller(who.principal_id, who.name, who.kind, workspace_id, admin=asker.admin)
        with self._store.transaction() as tx:
            record(tx, Ctx(self._store, caller, action=why, params={"scope": found.name, "key": secret.key}), 200)
        try:
            return secret_store.unseal(self._sealer, found, secret)
        except Unsealable as error:
            raise SecretError(f"The value of {what} cannot be opened: {error}") from None

    def rotate(self) -> int:
        """Make a new key-encryption key and bring all secrets under it; returns how many. A crash half way loses
        nothing: the old key stays, and the next call goes on."""
        self._sealer.new_kek()
        with self._store.transaction() as tx:
            return secret_store.rewrap_all(tx, self._sealer)
