"""What all changes of securables have in common: a new name, a new owner, other details, the end."""

from typing import Any

from boathouse.catalog import access, grantees, securables, shown
from boathouse.catalog.access import Asker, Found
from boathouse.catalog.securables import NameTaken, Securable
from boathouse.edge.errors import ApiError
from boathouse.store import Tx

#: The platform's words for where a name came from, by kind.
FIELD = {
    "CATALOG": "CatalogInfo.name", "SCHEMA": "SchemaInfo.name", "TABLE": "TableInfo.name", "VOLUME": "VolumeInfo.name",
    "FUNCTION": "FunctionInfo.name", "EXTERNAL_LOCATION": "ExternalLocationInfo.name",
    "STORAGE_CREDENTIAL": "StorageCredentialInfo.name", "CONNECTION": "ConnectionInfo.name",
}  # fmt: skip


def name(kind: str, text: str, verb: str = "Create") -> str:
    """A name for a securable of this kind, as it is kept. Raises ApiError 400."""
    return shown.checked(text, verb + kind.replace("_", " ").title().replace(" ", ""), FIELD[kind])


def create(tx: Tx, parent: Found, kind: str, text: str, document: dict[str, Any], **more: Any) -> Found:
    """Write a securable of the asker's in something. Raises ApiError 400, 409."""
    asker = parent.asker
    fresh = name(kind, text)
    into = parent.chain[-1] if parent.chain else None
    try:
        made = securables.create(
            tx, asker.metastore.metastore_id, into, kind, fresh, asker.principal_id, asker.name, document, **more
        )
    except NameTaken:
        raise access.taken(kind, f"{into.full_name}.{fresh}" if into else fresh) from None
    return access.look(tx, asker, kind, made.full_name)


def change(
    tx: Tx, found: Found, *, new_name: str | None = None, owner: str | None = None, isolated: bool | None = None,
    document: dict[str, Any] | None = None,
) -> Found:  # fmt: skip
    """Change what is given; the asker must have been let to (`Found.manage`). Raises ApiError 400, 404, 409."""
    it, asker = found.it, found.asker
    values: dict[str, Any] = {}
    if new_name is not None:
        values["name"] = name(it.kind, new_name, "Update")
    if owner is not None:
        values["owner_id"] = grantees.get(tx, asker.metastore.account_id, owner)
    if isolated is not None:
        values["isolated"] = isolated
    if document:
        values["document"] = {**it.document, **document}
    try:
        changed = securables.change(tx, it, asker.name, **values)
    except NameTaken:
        raise access.taken(it.kind, it.full_name[: -len(it.name)] + values["name"]) from None
    return refreshed(tx, found, changed)


def refreshed(tx: Tx, found: Found, changed: Securable) -> Found:
    """The same thing after a change, to be shown: whoever gave it away sees it once more."""
    return Found(found.asker, (*found.chain[:-1], changed), found.path)


def remove(tx: Tx, found: Found, force: bool) -> None:
    """End it; with `force` also what lies in it. Raises ApiError 400."""
    counts = securables.count_in(tx, found.it.securable_id)
    if counts and not force:
        raise shown.not_empty(found.kind, found.it.full_name, counts)
    securables.remove(tx, found.it)


def refuse(message: str) -> ApiError:
    """400 INVALID_STATE."""
    return ApiError(400, "INVALID_STATE", message)


__all__ = ["Asker", "change", "create", "name", "refuse", "refreshed", "remove"]
