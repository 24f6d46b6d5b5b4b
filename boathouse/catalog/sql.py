"""What a statement of SQL does in the catalog, as one principal: the same rules and rows as the REST calls."""

import msgspec

from boathouse.catalog import access, changes, grants, statements
from boathouse.catalog.access import Asker, Found
from boathouse.catalog.assignment import DEFAULT
from boathouse.catalog.privileges import METASTORE, words
from boathouse.catalog.statements import AlterOwner, BadStatement, Grant, ShowGrants, Statement
from boathouse.edge.errors import ApiError, invalid
from boathouse.store import Reader, Tx
from boathouse.wire.catalog import PermissionsChange

#: The columns of SHOW GRANTS.
SHOWN = ("Principal", "ActionType", "ObjectType", "ObjectKey")


class Table(msgspec.Struct, frozen=True):
    """What a statement shows; without columns nothing."""

    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = msgspec.field(default_factory=list)


def parsed(text: str) -> Statement:
    """As `statements.parse`. Raises ApiError 400."""
    try:
        return statements.parse(text)
    except BadStatement as error:
        raise ApiError(400, "PARSE_SYNTAX_ERROR", f"{error}.") from None


def change(tx: Tx, asker: Asker, statement: Grant | AlterOwner) -> None:
    """Carry out a statement that changes something. Raises ApiError."""
    if isinstance(statement, Grant):
        named = list(statement.privileges)
        asked = PermissionsChange(
            principal=statement.principal, add=[] if statement.revoke else named, remove=named if statement.revoke else []
        )
        grants.apply(tx, _look(tx, asker, statement.on), [asked])
        return
    if statement.of.kind == METASTORE:
        raise invalid("The owner of a metastore is changed by w.metastores.update.")
    changes.change(tx, _look(tx, asker, statement.of).manage(), owner=statement.owner)


def show(reader: Reader, asker: Asker, statement: ShowGrants) -> Table:
    """What SHOW GRANTS shows: also what was granted above, with where. Raises ApiError."""
    found = _look(reader, asker, statement.on).see(browse=True)
    here = (found.kind, found.path[-1].name)
    rows: list[tuple[str, ...]] = []
    for name, held in grants.effective(reader, found, statement.principal).items():
        for each in held:
            at = (each.inherited_from_type, each.inherited_from_name or "") if each.inherited_from_type else here
            rows.append((name, words(each.privilege), *at))
    return Table(SHOWN, rows)


def _look(reader: Reader, asker: Asker, on: statements.Securable) -> Found:
    if on.kind == METASTORE:
        return access.metastore(reader, asker)
    return access.look(reader, asker, on.kind, statements.full_name(on, asker.metastore.default_catalog, DEFAULT))
