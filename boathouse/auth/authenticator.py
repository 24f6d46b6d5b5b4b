"""From a request's headers to its caller: the `Authenticator` that `server.py` hands to the edge.

On the path of every request, so what it finds is kept in memory until identities change: at once for changes made in
this process, within `look_every` seconds for those of another (it then looks at the stored revision). Texts are those
of reference api 0.2."""

import base64
import binascii
import threading
import time
from collections.abc import Mapping

from boathouse.auth import callers, credentials, ip_gate
from boathouse.auth.azure import AzureTenant, Bearer
from boathouse.auth.ip_gate import Gate
from boathouse.auth.keys import Keys
from boathouse.auth.permissions import authorization
from boathouse.edge.caller import Caller
from boathouse.edge.errors import ApiError, bad_token, no_credential, not_found
from boathouse.identity import principals, revision, workspaces
from boathouse.store import Reader, Store

#: Callers kept in memory at most; beyond it all are forgotten and found again.
KEPT = 10_000

_FOREVER = 1 << 62


class Authenticator:
    """Callable as `boathouse.edge.caller.Authenticator`. Safe to use from many threads."""

    def __init__(self, store: Store, keys: Keys, look_every: float = 1.0, azure: AzureTenant | None = None) -> None:
        self._store, self._keys, self._look_every, self._azure = store, keys, look_every, azure
        self._lock = threading.Lock()
        self._callers: dict[tuple[str, str, str | None], tuple[Caller, int, Gate | None]] = {}
        self._generation = 0
        self._seen_here = revision.in_process(store)
        self._seen_stored = -1
        self._look_at = 0.0

    def __call__(self, headers: Mapping[str, str], host: str, source: str = "", account_id: str | None = None) -> Caller:
        """Raises ApiError: 401 without a usable credential, 403 for a token that does not hold, 404 for an unknown
        workspace or account. With an `account_id` neither headers nor host choose a workspace: the caller is the account's."""
        token = bearer(headers.get("authorization", ""))
        if token is None:
            raise no_credential()
        named = headers.get("x-databricks-workspace-id") or headers.get("x-databricks-org-id") or deployment(host)
        choice = named if account_id is None else ""
        self._forget_if_changed()
        key = (credentials.hash_of(self._keys, token), choice, account_id)
        generation = self._generation
        kept = self._callers.get(key)
        if kept is None:
            # Asked before the store is read: the tenant's keys may have to be fetched.
            bearer_of_tenant = self._azure.bearer(token, self._store.clock()) if self._azure and token.count(".") == 2 else None
            with self._store.read() as reader:
                found, until = self._find(reader, *key, bearer_of_tenant)
                kept = found, until, ip_gate.in_force(reader, found.account_id, found.workspace_id)
            with self._lock:
                if generation == self._generation and revision.in_process(self._store) == self._seen_here:
                    if len(self._callers) >= KEPT:
                        self._callers.clear()
                    self._callers[key] = kept
        caller, expires_at, gate = kept
        if self._store.clock() >= expires_at:
            raise bad_token()
        if gate is not None and not gate.admits(source):
            raise ip_gate.blocked(source, caller.account_id, caller.workspace_id)
        return caller

    def confirm(self, reader: Reader, caller: Caller) -> None:
        """Asked again when a request begins to write: raises ApiError 403 when its token was ended, or its principal disabled,
        after it was let in. A token that expires while a request is under way does not end it."""
        if not credentials.still_there(reader, caller.principal_id, caller.token_id, caller.workspace_id):
            raise bad_token()

    def admit(self, host: str, source: str, account_id: str | None = None) -> None:
        """Asked where no credential is needed (the log-in pages, the token endpoints): raises ApiError 403 for an address that
        may not call the account of the path, or else the workspace of the host. A host of no workspace is told so later."""
        with self._store.read() as reader:
            if account_id is not None:
                ip_gate.check(reader, source, account_id, ip_gate.ACCOUNT)
                return
            workspace = _chosen(reader, deployment(host), 0)
            if workspace is not None:
                ip_gate.check(reader, source, workspace.account_id, workspace.workspace_id)

    def _forget_if_changed(self) -> None:
        here = revision.in_process(self._store)
        now = time.monotonic()
        if here == self._seen_here and now < self._look_at:
            return
        with self._store.read() as reader:
            stored = revision.stored(reader)
        with self._lock:
            if here != self._seen_here or stored != self._seen_stored:
                self._callers.clear()
                self._generation += 1
            self._seen_here, self._seen_stored, self._look_at = here, stored, now + self._look_every

    def _find(
        self, reader: Reader, token_hash: str, choice: str, account_id: str | None = None, of_tenant: Bearer | None = None
    ) -> tuple[Caller, int]:
        token = credentials.find(reader, token_hash) if of_tenant is None else _of_tenant(reader, of_tenant)
        if token is None or token.expired(self._store.clock()):
            raise bad_token()
        principal = principals.by_id(reader, token.principal_id)
        if principal is None or not principal.active:
            raise bad_token()
        until = _FOREVER if token.expires_at == credentials.NEVER else token.expires_at
        if account_id is not None:
            return _of_account(reader, token, principal, account_id), until
        workspace = _chosen(reader, choice, token.workspace_id)
        if workspace is None or workspace.account_id != principal.account_id or workspace.status != workspaces.RUNNING:
            raise not_found(f"Workspace {choice[:64]} does not exist.")
        if token.workspace_id not in (0, workspace.workspace_id):
            raise bad_token()
        if not principals.active_in(reader, principal, workspace.workspace_id):
            raise bad_token()
        _check_personal(reader, token, workspace.workspace_id)
        caller = callers.as_member(reader, principal, workspace.workspace_id, token.token_id or None)
        if caller is None:
            raise ApiError(403, "PERMISSION_DENIED", f"Unauthorized access to Org: {workspace.workspace_id}")
        if token.kind == credentials.PAT:
            authorization.refuse_without_tokens(reader, caller)
        return caller, until


def _of_tenant(reader: Reader, bearer: Bearer) -> credentials.Token | None:
    """A token of the tenant as if it were stored. All workspaces have one account here, the first one's."""
    home = workspaces.first(reader)
    found = principals.by_name(reader, home.account_id, bearer.name, [bearer.kind]) if home is not None else None
    if found is None:
        return None
    return credentials.Token("", credentials.ENTRA, 0, found.principal_id, "", 0, bearer.expires_at)


def _check_personal(reader: Reader, token: credentials.Token, workspace_id: int) -> None:
    """A personal access token ends when its principal leaves the workspace, and sleeps while the workspace wants none."""
    if token.kind != credentials.PAT:
        return
    if token.created_at <= principals.left_at(reader, token.principal_id, workspace_id):
        raise bad_token()
    if workspaces.conf(reader, workspace_id, "enableTokensConfig") == "false":
        raise ApiError(403, "FEATURE_DISABLED", "Personal access tokens are disabled in this workspace.")


def _of_account(reader: Reader, token: credentials.Token, principal: principals.Principal, account_id: str) -> Caller:
    """The caller as the account sees it. Every active principal of the account may enter; what it may do there, each endpoint
    asks. A personal access token, which is a workspace's, opens the account for its admins only (decision 0018)."""
    if principal.account_id != account_id:
        raise not_found(f"Account {account_id[:64]} does not exist.")
    admin = principals.is_account_admin(reader, principal.principal_id)
    if token.kind == credentials.PAT:
        if not principals.assigned(reader, principal.principal_id, token.workspace_id):
            raise bad_token()
        if not principals.active_in(reader, principal, token.workspace_id):
            raise bad_token()
        _check_personal(reader, token, token.workspace_id)
        if not admin:
            text = "A personal access token opens the account's API for account admins only; use OAuth."
            raise ApiError(403, "PERMISSION_DENIED", text)
    groups = principals.groups_of(reader, principal.principal_id, 0)
    return Caller(
        principal_id=principal.principal_id, name=principal.name, kind=principal.kind, workspace_id=0, account_admin=admin,
        groups=frozenset(group.name for group in groups), token_id=token.token_id or None, account_id=account_id,
        group_ids=frozenset(group.group_id for group in groups),
    )  # fmt: skip


def _chosen(reader: Reader, choice: str, of_token: int) -> workspaces.Workspace | None:
    if not choice:
        return workspaces.get(reader, of_token) if of_token else workspaces.first(reader)
    if choice.isascii() and choice.isdigit():
        number = int(choice[:20])
        return workspaces.get(reader, number) if number < 1 << 63 else None
    return workspaces.by_deployment(reader, choice.removesuffix(".localhost")) if choice.endswith(".localhost") else None


def bearer(authorization: str) -> str | None:
    """The token of an Authorization header: `Bearer <token>`, or `Basic` with the user `token`. None when there is
    neither."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value or None
    if scheme.lower() == "basic":
        user, password = basic(value) or ("", "")
        return password or None if user == "token" else None
    return None


def basic(value: str) -> tuple[str, str] | None:
    """User and password of HTTP Basic; None when it is not readable."""
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def deployment(host: str) -> str:
    """`<deployment>.localhost` of a Host header (with or without port), or "" for hosts that choose no workspace."""
    name = host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host
    return name if name.endswith(".localhost") and name.count(".") == 1 else ""
