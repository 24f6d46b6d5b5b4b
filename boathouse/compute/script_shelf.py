"""The content of init scripts: global ones from the store, a cluster's from wherever they are.

Read in the control plane, with the rights of whoever edited the cluster last, once a launch: all nodes run the same bytes.
Called by `launch_inputs` for the list and by `launch` for the bytes.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Protocol

import msgspec
from sqlalchemy import select

from boathouse.compute.init_scripts import LARGEST_SCRIPT, kind_of
from boathouse.compute.tables import global_init_scripts
from boathouse.compute.world import InitScript
from boathouse.store import Store
from boathouse.wire.compute import ClusterSpec
from boathouse.workspace.clouds.places import S3Options
from boathouse.workspace.locations import LocationError, Locations, Reader


class ScriptUnavailable(Exception):
    """A script's content cannot be had. The message says which and why, never a credential."""


class ScriptPending(Exception):
    """The content is still on its way; ask again."""


#: Seconds that a launch waits for a content at once: where it comes from may be slow, and a round of the launch holds a thread
#: that other clusters need.
PATIENCE = 0.25


class ScriptShelf(Protocol):
    """Where global scripts are listed and every script's content is read; `Scripts` has this shape."""

    def global_scripts(self, workspace_id: int) -> tuple[InitScript, ...]: ...

    def content(self, script: InitScript, spec: ClusterSpec, reader: Reader) -> bytes: ...


class NoScripts:
    """A control plane without global scripts and locations (tests of the launch)."""

    def global_scripts(self, workspace_id: int) -> tuple[InitScript, ...]:
        return ()

    def content(self, script: InitScript, spec: ClusterSpec, reader: Reader) -> bytes:
        return b""


class Scripts:
    """The store's global scripts and the locations."""

    def __init__(self, store: Store, locations: Locations) -> None:
        self._store, self._locations = store, locations

    def global_scripts(self, workspace_id: int) -> tuple[InitScript, ...]:
        """The enabled ones, in their order."""
        table = global_init_scripts
        chosen = select(table.c.script_id, table.c.name).where(table.c.workspace_id == workspace_id, table.c.enabled.is_(True))
        with self._store.read() as reader:
            rows = reader.execute(chosen.order_by(table.c.position)).all()
        return tuple(InitScript("global", row.name, row.script_id) for row in rows)

    def content(self, script: InitScript, spec: ClusterSpec, reader: Reader) -> bytes:
        """The script's bytes. Raises ScriptUnavailable."""
        if script.scope == "global":
            table = global_init_scripts
            with self._store.read() as snapshot:
                wanted = select(table.c.script).where(
                    table.c.workspace_id == reader.workspace_id, table.c.script_id == script.place
                )
                found = snapshot.execute(wanted).scalar()
            if found is None:
                raise ScriptUnavailable("it was deleted while the cluster started")
            return found
        info = (spec.init_scripts or [])[int(script.place)]
        kind = kind_of(info)
        place = getattr(info, kind)
        destination = place.destination
        if kind == "workspace" and not destination.startswith("/Workspace/"):
            destination = f"/Workspace{destination}"
        s3 = None
        if kind == "s3":
            s3 = S3Options(place.region, place.endpoint)
        try:
            return b"".join(self._locations.read(destination, reader, limit=LARGEST_SCRIPT, s3=s3))
        except LocationError as error:
            raise ScriptUnavailable(error.message) from None


class LaunchScripts:
    """The scripts of one launch, in the order in which they run. Their content is read once, in a thread of its own, and kept."""

    def __init__(self, listed: tuple[InitScript, ...], read: Callable[[InitScript], bytes]) -> None:
        self.listed, self._read = listed, read
        self._guard = threading.Lock()
        self._kept: dict[int, Future[bytes]] = {}

    def content(self, number: int) -> bytes:
        """The bytes of the script at this place of the order. Raises ScriptUnavailable, ScriptPending."""
        with self._guard:
            found = self._kept.get(number)
            if found is None:
                found = self._kept[number] = Future()
                threading.Thread(target=self._fetch, args=(number, found), name="init-script", daemon=True).start()
        wait([found], PATIENCE)
        if not found.done():
            raise ScriptPending
        if found.exception() is not None:
            with self._guard:
                self._kept.pop(number, None)  # told now; who asks again has it read anew
        return found.result()

    def _fetch(self, number: int, found: Future[bytes]) -> None:
        try:
            found.set_result(self._read(self.listed[number]))
        except Exception as error:  # raised by `content`
            found.set_exception(error)

    def recorded(self) -> list[dict[str, str]]:
        """What a launch remembers: the global scripts that it began with, whatever becomes of their list meanwhile."""
        return [{"name": script.name, "script_id": script.place} for script in self.listed if script.scope == "global"]


def of_launch(
    spec: ClusterSpec, workspace_id: int, editor: str, recorded: list[Mapping[str, str]] | None, shelf: ScriptShelf
) -> LaunchScripts:
    """The scripts of a launch; `recorded`: what it remembers of its beginning, None when it begins now."""
    if recorded is None:
        first = shelf.global_scripts(workspace_id)
    else:
        first = tuple(InitScript("global", each["name"], each["script_id"]) for each in recorded)
    own = []
    for at, info in enumerate(spec.init_scripts or []):
        kind = kind_of(info)
        destination = getattr(info, kind).destination
        inside = destination.removeprefix("file:") if kind == "file" else ""
        told = msgspec.to_builtins(info)
        own.append(InitScript("cluster", destination, str(at), inside, {key: each for key, each in told.items() if each}))
    reader = Reader(workspace_id, editor)
    return LaunchScripts((*first, *own), lambda script: shelf.content(script, spec, reader))
