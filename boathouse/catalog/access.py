"""Looking something up as somebody: the one way to what is in a metastore. Each look-up says what for, and is refused here.

`Asker` is who asks, from which workspace; `see`, `manage` and `use` of what `look` found give it, or raise ApiError: 403 in the
words of `privileges`, 404 for what is not there. Somebody who may not use a catalog or schema hears 403 for whatever they name in
it, whether it is there or not.
"""

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import select

from boathouse.catalog import assignment, grant_rows, grantees, names, privileges, securables
from boathouse.catalog.assignment import Metastore
from boathouse.catalog.privileges import Binding, Level
from boathouse.catalog.securables import Securable
from boathouse.catalog.tables import workspace_bindings
from boathouse.edge.caller import Caller
from boathouse.edge.context import Ctx
from boathouse.edge.errors import ApiError, denied, invalid
from boathouse.identity import principals
from boathouse.store import Reader, Store

#: Rows looked at in one query while a page of what may be seen is filled.
_BATCH = 500


class Asker(msgspec.Struct, frozen=True):
    """On whose behalf, and from which workspace. `ids`: theirs, those of all their groups, and all account users'."""

    workspace_id: int
    name: str
    principal_id: int
    ids: frozenset[int]
    account_admin: bool
    metastore: Metastore

    @property
    def metastore_admin(self) -> bool:
        """The owner of the metastore, or in the group that owns it; account admins where nobody owns it."""
        owner = self.metastore.owner_id
        return owner in self.ids or (owner == grantees.SYSTEM_USER_ID and self.account_admin)


def of_caller(ctx: Ctx) -> Asker:
    """The caller of a request; the workspace's metastore is made when it is first asked for. Raises ApiError 404 without one."""
    caller = ctx.caller
    metastore = provide(ctx.store, caller.workspace_id)
    if metastore is None:
        raise no_metastore()
    return Asker(caller.workspace_id, caller.name, caller.principal_id, ids_of(caller), caller.account_admin, metastore)


def of_principal(reader: Reader, workspace_id: int, principal_id: int, name: str) -> Asker | None:
    """A member of a workspace as they are now; None where the workspace has no metastore."""
    metastore = assignment.of(reader, workspace_id)
    if metastore is None:
        return None
    admin = principals.is_account_admin(reader, principal_id)
    groups = (group.group_id for group in principals.groups_of(reader, principal_id, workspace_id))
    ids = frozenset((grantees.ACCOUNT_USERS_ID, principal_id, *groups))
    return Asker(workspace_id, name, principal_id, ids, admin, metastore)


def ids_of(caller: Caller) -> frozenset[int]:
    """The ids that the caller has grants and things by: theirs, those of all their groups, and all account users'."""
    return frozenset((grantees.ACCOUNT_USERS_ID, *caller.ids))


def provide(store: Store, workspace_id: int) -> Metastore | None:
    """The metastore of a workspace, made when it is first asked for; None where it was taken away."""
    with store.read() as reader:
        found = assignment.of(reader, workspace_id)
        if found is not None or assignment.unassigned(reader, workspace_id):
            return found
    with store.transaction() as tx:
        return assignment.provide(tx, workspace_id)


def no_metastore() -> ApiError:
    return ApiError(404, "METASTORE_DOES_NOT_EXIST", "No metastore assigned for the current workspace.")


class Found(msgspec.Struct, frozen=True):
    """Something with the way to it: `chain` from the catalog (or itself) down; empty for the metastore. `path` is the same as
    `privileges` takes it, the metastore first."""

    asker: Asker
    chain: tuple[Securable, ...]
    path: tuple[Level, ...]

    @property
    def it(self) -> Securable:
        return self.chain[-1]

    @property
    def securable_id(self) -> str:
        return self.chain[-1].securable_id if self.chain else self.asker.metastore.metastore_id

    @property
    def kind(self) -> str:
        return self.path[-1].kind

    def see(self, browse: bool = False) -> "Found":
        """This, when it may be seen. Raises ApiError 403."""
        return self._unless(privileges.refusal_to_see(self.path, browse))

    def manage(self) -> "Found":
        """This, when it may be granted on, changed and dropped. Raises ApiError 403."""
        return self._unless(privileges.refusal_to_manage(self.path))

    def manage_anywhere(self) -> "Found":
        """As `manage`, also from a workspace that it is closed to. Raises ApiError 403."""
        return self if privileges.manages(self.path) else self.manage()

    def use(self, *needed: str) -> "Found":
        """This, when all these privileges are held on it. Raises ApiError 403."""
        for privilege in needed:
            self._unless(privileges.refusal_to_use(self.path, privilege))
        return self

    def _unless(self, refusal: str | None) -> "Found":
        if refusal is not None:
            raise denied(refusal)
        return self

    @property
    def browse_only(self) -> bool:
        """Whether nothing but BROWSE shows it to the asker."""
        return not privileges.sees(self.path)


def metastore(reader: Reader, asker: Asker) -> Found:
    """The asker's metastore."""
    return Found(asker, (), (_metastore_level(reader, asker),))


def _metastore_level(reader: Reader, asker: Asker) -> Level:
    metastore_id = asker.metastore.metastore_id
    granted = grant_rows.held(reader, asker.ids, [metastore_id]).get(metastore_id, frozenset())
    return Level(privileges.METASTORE, asker.metastore.name, asker.metastore_admin, granted)


def look(reader: Reader, asker: Asker, kind: str, full_name: str) -> Found:
    """Something by its full name; what for is asked of what this returns. Raises ApiError 400, 403, 404."""
    try:
        parts = names.split(kind, full_name)
    except names.BadName as error:
        raise invalid(str(error)) from None
    on_the_way = names.above(parts)
    chain = securables.chain(reader, asker.metastore.metastore_id, kind, on_the_way)
    path = _path(reader, asker, chain)
    if len(chain) < len(on_the_way):
        refusal = privileges.missing_use(path, len(path)) if not privileges.manages(path) else None
        if refusal is not None:
            raise denied(refusal)
        kinds = [*("CATALOG", "SCHEMA")[: len(parts) - 1], kind]
        raise missing(kinds[len(chain)], on_the_way[len(chain)])
    return Found(asker, tuple(chain), path)


def _path(reader: Reader, asker: Asker, chain: Sequence[Securable]) -> tuple[Level, ...]:
    metastore_id = asker.metastore.metastore_id
    held = grant_rows.held(reader, asker.ids, [metastore_id, *(it.securable_id for it in chain)])
    top = Level(privileges.METASTORE, asker.metastore.name, asker.metastore_admin, held.get(metastore_id, frozenset()))
    return (top, *(_level(reader, asker, it, held) for it in chain))


def _level(reader: Reader, asker: Asker, it: Securable, held: grant_rows.Held) -> Level:
    granted = held.get(it.securable_id, frozenset())
    return Level(it.kind, it.full_name, it.owner_id in asker.ids, granted, _binding(reader, asker, it))


def _binding(reader: Reader, asker: Asker, it: Securable) -> Binding:
    if not it.isolated:
        return "OPEN"
    bound = workspace_bindings.c
    here = bound.securable_id == it.securable_id, bound.workspace_id == asker.workspace_id
    row = reader.execute(select(bound.read_only).where(*here)).first()
    return "CLOSED" if row is None else "READ_ONLY" if row[0] else "OPEN"


def below(
    reader: Reader, parent: Found, kind: str, after: str = "", *, browse: bool = False, unbound: bool = False
) -> Iterator[Found]:
    """What of a kind lies in something and may be seen, by name, from the first after `after`. `unbound`: also what this
    workspace cannot use, for those who manage it."""
    asker = parent.asker
    # What shows a child on which nothing was granted shows all of them.
    everything = privileges.sees((*parent.path, Level(kind, "")), browse) or privileges.manages(parent.path)
    held = grant_rows.held_in(reader, asker.ids, parent.securable_id)
    while True:
        batch = securables.children(reader, parent.securable_id, kind, after, _BATCH, of=None if everything else asker.ids)
        for it in batch:
            path = (*parent.path, _level(reader, asker, it, held))
            closed = path[-1].binding == "CLOSED"
            if privileges.sees(path, browse) or (closed and unbound and privileges.manages(path)):
                yield Found(asker, (*parent.chain, it), path)
        if len(batch) < _BATCH:
            return
        after = batch[-1].name


def missing(kind: str, full_name: str) -> ApiError:
    """404 in the words for its kind."""
    code = "RESOURCE_DOES_NOT_EXIST" if kind == privileges.VOLUME else f"{kind}_DOES_NOT_EXIST"
    return ApiError(404, code, f"{kind.replace('_', ' ').capitalize()} '{full_name[:300]}' does not exist.")


def taken(kind: str, full_name: str) -> ApiError:
    """409 in the words for its kind."""
    code = f"{kind}_ALREADY_EXISTS"
    return ApiError(409, code, f"{kind.replace('_', ' ').capitalize()} '{full_name[:300]}' already exists")
