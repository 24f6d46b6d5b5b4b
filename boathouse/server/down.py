"""Ends everything that a data directory launched: by the same wishes and the same reconcilers as always, then by a sweep."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from boathouse.compute import clusters, states
from boathouse.compute.look import clusters_with_work
from boathouse.compute.tables import clusters as rows
from boathouse.edge import Caller, Ctx
from boathouse.server.control import ControlPlane
from boathouse.server.parts import Parts, StartError, opened
from boathouse.settings import Settings
from boathouse.store.directory import DataDirectory
from boathouse.wire.compute import ClusterId

STOP_SECONDS, END_SECONDS = 30.0, 180.0

#: How many of those that have to end are named at once.
NAMED = 5


#: Hears which step begins, and what of it is done.
Say = Callable[[str], None]


def down(settings: Settings, say: Say = lambda line: None) -> tuple[list[str], list[str]]:
    """The clusters that were ended, and what the sweep removed. A server that runs on the directory is stopped first.

    Raises StartError when the server does not stop, or when clusters do not end in time.
    """
    _stop_server(settings, say)
    say("look at what is there")
    with opened(settings, lock=True) as parts:
        plane = ControlPlane(parts)
        changed = threading.Event()
        parts.store.on_commit(changed.set)
        plane.start()
        try:
            plane.end_pools()
            ended = _end_all(parts, plane)
            _wait_for_end(parts, changed, say)
            say("remove what is left on the machine")
            return ended, list(plane.sweep_everything())
        finally:
            plane.stop()


def _alive(parts: Parts) -> list[str]:
    with parts.store.read() as reader:
        return clusters_with_work(reader)


def _end_all(parts: Parts, plane: ControlPlane) -> list[str]:
    home = parts.ready.home
    with parts.store.read() as reader:
        # Those that were deleted for good end by themselves, and nobody can name them any more.
        here = sa.and_(rows.c.state != states.TERMINATED, rows.c.wish != states.WISH_DELETED, rows.c.source != states.POOL)
        alive = reader.execute(sa.select(rows.c.cluster_id, rows.c.workspace_id).where(here)).all()
    for cluster_id, workspace_id in alive:
        caller = Caller(home.admin_id, home.admin, "user", workspace_id, admin=True)
        ctx = Ctx(parts.store, caller, plane.services, action="boathouse.down")
        clusters.delete(ctx, ClusterId(cluster_id=cluster_id))
    return [cluster_id for cluster_id, _ in alive]


def _wait_for_end(parts: Parts, changed: threading.Event, say: Say) -> None:
    deadline = time.monotonic() + END_SECONDS
    before = 0
    while alive := _alive(parts):
        if len(alive) != before:
            before = len(alive)
            more = f" and {before - NAMED} more" if before > NAMED else ""
            say(f"wait for the end of {before}: {', '.join(alive[:NAMED])}{more}")
        left = deadline - time.monotonic()
        if left <= 0 or not changed.wait(left):
            raise StartError(f"clusters did not end within {END_SECONDS:.0f} s: {', '.join(alive)}; see `boathouse doctor`")
        changed.clear()


def _stop_server(settings: Settings, say: Say) -> None:
    """Stop the `boathouse up` that holds the directory, and wait until it has let go."""
    directory = DataDirectory(settings.data)
    holder = directory.holder()
    if holder is None:
        return
    say(f"stop the server (process {holder})")
    try:
        pidfd = os.pidfd_open(holder)
    except ProcessLookupError:
        return  # it ended meanwhile
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], STOP_SECONDS)[0]:
            raise StartError(f"the server (process {holder}) did not stop within {STOP_SECONDS:.0f} s")
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
