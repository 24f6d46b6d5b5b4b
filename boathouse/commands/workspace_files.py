"""`dbutils.fs` for command contexts: `ground.ContextFiles` on the workspace room. Parameters come from code that may be hostile:
each is checked, and every call is decided as the context's principal with the rights of the moment."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from boathouse.edge.errors import ApiError, denied, invalid, not_found
from boathouse.identity import principals
from boathouse.store import Store
from boathouse.store.blobs import Blobs
from boathouse.workspace.files.shell import MAX_PIECE, Shell
from boathouse.workspace.locations import LocationError, Locations, Reader


class WorkspaceFiles:
    """See `ground.ContextFiles`."""

    def __init__(self, store: Store, blobs: Blobs, locations: Locations) -> None:
        self._store, self._blobs, self._locations = store, blobs, locations

    def call(self, workspace_id: int, principal_id: int, method: str, params: Mapping[str, Any]) -> Any:
        with self._store.read() as reader:
            who = principals.by_id(reader, principal_id)
        if who is None:
            raise denied("The owner of this context is no longer an active member of the workspace")
        shell = Shell(self._store, self._blobs, self._locations, Reader(workspace_id, who.name), principal_id)
        try:
            return _METHODS[method](shell, params)
        except LocationError as error:
            if error.kind == "missing":
                raise not_found(error.message) from None
            if error.kind == "denied":
                raise denied(error.message) from None
            raise ApiError(400, "BAD_REQUEST", error.message) from None


def _text(params: Mapping[str, Any], name: str = "path") -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"{name} must be a text")
    return value


def _flag(params: Mapping[str, Any], name: str) -> bool:
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"{name} must be True or False")
    return value


def _number(params: Mapping[str, Any], name: str) -> int:
    value = params.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise invalid(f"{name} must be a number that is not negative")
    return value


def _bytes(params: Mapping[str, Any]) -> bytes:
    try:
        found = base64.b64decode(_text(params, "bytes") if params.get("bytes") else "", validate=True)
    except (binascii.Error, ValueError):
        raise invalid("bytes must be base64") from None
    if len(found) > MAX_PIECE:
        raise invalid(f"bytes has more than {MAX_PIECE} bytes")
    return found


def _read(shell: Shell, params: Mapping[str, Any]) -> dict[str, str]:
    found = shell.read(_text(params), _number(params, "offset"), _number(params, "length"))
    return {"bytes": base64.b64encode(found).decode()}


_METHODS = {
    "fs.ls": lambda shell, params: shell.ls(_text(params)),
    "fs.read": _read,
    "fs.put": lambda shell, params: shell.put(_text(params), _bytes(params), _flag(params, "overwrite")),
    "fs.create": lambda shell, params: {"handle": shell.create(_text(params), _flag(params, "overwrite"))},
    "fs.append": lambda shell, params: shell.append(_number(params, "handle"), _bytes(params)),
    "fs.close": lambda shell, params: shell.close(_number(params, "handle")),
    "fs.cp": lambda shell, params: shell.cp(_text(params, "from"), _text(params, "to"), _flag(params, "recurse")),
    "fs.mv": lambda shell, params: shell.mv(_text(params, "from"), _text(params, "to"), _flag(params, "recurse")),
    "fs.rm": lambda shell, params: {"removed": shell.rm(_text(params), _flag(params, "recurse"))},
    "fs.mkdirs": lambda shell, params: shell.mkdirs(_text(params)),
}
