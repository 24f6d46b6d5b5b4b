"""The SQL of secrets, and the one way to a scope: by saying who asks and what for.

Called by the endpoints and by `references`; knows no HTTP. Names compare without regard to case.
"""

import msgspec
from sqlalchemy import and_, delete, func, insert, select, update

from boathouse.identity import principals as identity
from boathouse.identity.tables import principals
from boathouse.store import Reader, Tx
from boathouse.workspace.sealing import Sealer, binding
from boathouse.workspace.tables import secret_acls, secret_scopes, secrets

READ, WRITE, MANAGE = "READ", "WRITE", "MANAGE"

#: Each permission contains those before it.
RANK = {READ: 1, WRITE: 2, MANAGE: 3}


class NoScope(Exception):
    """There is no such scope in the workspace."""


class Forbidden(Exception):
    """The asker has less than the permission that the call needs. `needs` is it."""

    def __init__(self, needs: str) -> None:
        super().__init__(needs)
        self.needs = needs


class Asker(msgspec.Struct, frozen=True):
    """On whose behalf a scope is looked up: a principal with all its groups, by id. Admins may do everything with
    every scope."""

    principal_id: int
    group_ids: frozenset[int]
    admin: bool


class Scope(msgspec.Struct, frozen=True):
    scope_id: int
    workspace_id: int
    name: str
    created_at: int


class Secret(msgspec.Struct, frozen=True):
    """`value` is sealed."""

    key: str
    value: str
    version: int
    updated_at: int


def asker(reader: Reader, workspace_id: int, principal_id: int) -> Asker:
    """The principal as it is now, with its groups in this workspace."""
    groups = identity.groups_of(reader, principal_id, workspace_id)
    admin = any(group.workspace_id == workspace_id and group.name == identity.ADMINS for group in groups)
    return Asker(principal_id, frozenset(group.group_id for group in groups), admin)


def scope_for(reader: Reader, workspace_id: int, name: str, who: Asker, needs: str) -> Scope:
    """The scope, for somebody who wants to do what `needs` (READ, WRITE, MANAGE) allows. Raises NoScope, Forbidden."""
    row = reader.execute(
        select(secret_scopes.c.scope_id, secret_scopes.c.workspace_id, secret_scopes.c.name, secret_scopes.c.created_at).where(
            secret_scopes.c.workspace_id == workspace_id, secret_scopes.c.name_key == name.casefold()
        )
    ).first()
    if row is None:
        raise NoScope
    scope = Scope(*row)
    if not who.admin:
        mine = secret_acls.c.principal_id.in_([who.principal_id, *who.group_ids])
        given = reader.execute(select(secret_acls.c.permission).where(secret_acls.c.scope_id == scope.scope_id, mine))
        if max((RANK[row.permission] for row in given), default=0) < RANK[needs]:
            raise Forbidden(needs)
    return scope


def scopes_of(reader: Reader, workspace_id: int, who: Asker) -> list[Scope]:
    """The scopes in which somebody may at least read, by name."""
    query = select(
        secret_scopes.c.scope_id, secret_scopes.c.workspace_id, secret_scopes.c.name, secret_scopes.c.created_at
    ).where(secret_scopes.c.workspace_id == workspace_id)
    if not who.admin:
        mine = select(secret_acls.c.scope_id).where(secret_acls.c.principal_id.in_([who.principal_id, *who.group_ids]))
        query = query.where(secret_scopes.c.scope_id.in_(mine))
    return [Scope(*row) for row in reader.execute(query.order_by(secret_scopes.c.name_key))]


def exists(reader: Reader, workspace_id: int, name: str) -> bool:
    """Whether a name is taken, whoever may see it."""
    there = and_(secret_scopes.c.workspace_id == workspace_id, secret_scopes.c.name_key == name.casefold())
    return reader.execute(select(secret_scopes.c.scope_id).where(there)).first() is not None


def count_scopes(reader: Reader, workspace_id: int) -> int:
    query = select(func.count()).select_from(secret_scopes).where(secret_scopes.c.workspace_id == workspace_id)
    return reader.execute(query).scalar_one()


def count_secrets(reader: Reader, scope_id: int) -> int:
    return reader.execute(select(func.count()).select_from(secrets).where(secrets.c.scope_id == scope_id)).scalar_one()


def add_scope(tx: Tx, workspace_id: int, name: str, manager_id: int) -> None:
    """Make a scope that one principal (user, service principal or group) may manage."""
    scope_id = tx.execute(
        insert(secret_scopes)
        .values(workspace_id=workspace_id, name=name, name_key=name.casefold(), created_at=tx.store.clock())
        .returning(secret_scopes.c.scope_id)
    ).scalar_one()
    put_acl(tx, Scope(scope_id, workspace_id, name, 0), manager_id, MANAGE)


def remove_scope(tx: Tx, scope: Scope) -> None:
    """Remove a scope with its secrets and permissions."""
    for table in (secrets, secret_acls, secret_scopes):
        tx.execute(delete(table).where(table.c.scope_id == scope.scope_id))


def get(reader: Reader, scope: Scope, key: str) -> Secret | None:
    """A secret with its sealed value."""
    row = reader.execute(
        select(secrets.c.name, secrets.c.value, secrets.c.version, secrets.c.updated_at).where(
            secrets.c.scope_id == scope.scope_id, secrets.c.name_key == key.casefold()
        )
    ).first()
    return Secret(*row) if row is not None else None


def list_all(reader: Reader, scope: Scope) -> list[Secret]:
    """All secrets of a scope by key; sealed values included."""
    query = select(secrets.c.name, secrets.c.value, secrets.c.version, secrets.c.updated_at)
    return [
        Secret(*row) for row in reader.execute(query.where(secrets.c.scope_id == scope.scope_id).order_by(secrets.c.name_key))
    ]


def _aad(workspace_id: int, scope_id: int, name_key: str, version: int) -> str:
    return binding("secret", workspace_id, scope_id, name_key, version)


def put(tx: Tx, sealer: Sealer, scope: Scope, key: str, value: bytes) -> None:
    """Write a secret, new or anew; each writing is a version of its own."""
    old = get(tx, scope, key)
    version = old.version + 1 if old is not None else 1
    sealed = sealer.seal_bytes(value, _aad(scope.workspace_id, scope.scope_id, key.casefold(), version))
    there = and_(secrets.c.scope_id == scope.scope_id, secrets.c.name_key == key.casefold())
    fresh = {"value": sealed, "version": version, "updated_at": tx.store.clock()}
    if old is not None:
        tx.execute(update(secrets).where(there).values(**fresh))
        return
    tx.execute(
        insert(secrets).values(
            scope_id=scope.scope_id, name_key=key.casefold(), workspace_id=scope.workspace_id, name=key, **fresh
        )
    )


def unseal(sealer: Sealer, scope: Scope, secret: Secret) -> bytes:
    """The value of a secret that `get` gave."""
    return sealer.unseal_bytes(secret.value, _aad(scope.workspace_id, scope.scope_id, secret.key.casefold(), secret.version))


def remove(tx: Tx, scope: Scope, key: str) -> bool:
    """Remove a secret; False when there was none."""
    there = and_(secrets.c.scope_id == scope.scope_id, secrets.c.name_key == key.casefold())
    return bool(tx.execute(delete(secrets).where(there)).rowcount)


def rewrap_all(tx: Tx, sealer: Sealer) -> int:
    """Bring every secret under the current KEK; returns how many were under another."""
    done = 0
    query = select(secrets.c.scope_id, secrets.c.name_key, secrets.c.workspace_id, secrets.c.version, secrets.c.value)
    for row in tx.execute(query).all():
        fresh = sealer.rewrap(row.value, _aad(row.workspace_id, row.scope_id, row.name_key, row.version))
        if fresh != row.value:
            there = and_(secrets.c.scope_id == row.scope_id, secrets.c.name_key == row.name_key)
            tx.execute(update(secrets).where(there).values(value=fresh))
            done += 1
    return done


def put_acl(tx: Tx, scope: Scope, principal_id: int, permission: str) -> None:
    """Give a principal a permission, in place of what it had."""
    remove_acl(tx, scope, principal_id)
    tx.execute(
        insert(secret_acls).values(
            scope_id=scope.scope_id, principal_id=principal_id, workspace_id=scope.workspace_id, permission=permission
        )
    )


def remove_acl(tx: Tx, scope: Scope, principal_id: int) -> bool:
    """Take a principal's permission away; False when it had none."""
    there = and_(secret_acls.c.scope_id == scope.scope_id, secret_acls.c.principal_id == principal_id)
    return bool(tx.execute(delete(secret_acls).where(there)).rowcount)


class Acl(msgspec.Struct, frozen=True):
    principal_id: int
    principal: str
    permission: str


def acls(reader: Reader, scope: Scope) -> list[Acl]:
    """All permissions that a scope gives, by the principals' names; what a principal had ends when it leaves
    (`departures`)."""
    rows = reader.execute(
        select(secret_acls.c.principal_id, principals.c.name, secret_acls.c.permission)
        .join(principals, principals.c.principal_id == secret_acls.c.principal_id)
        .where(secret_acls.c.scope_id == scope.scope_id)
        .order_by(principals.c.name_key, secret_acls.c.principal_id)
    )
    return [Acl(*row) for row in rows]
