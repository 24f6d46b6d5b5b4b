"""Puts the rooms together and runs them in one process: the only module that knows them all.

`up` answers calls as soon as the database is open; the engine is looked for beside that, and launches begin when it is there.
"""

import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from boathouse.auth import bootstrap
from boathouse.auth.keys import Keys
from boathouse.identity.bootstrap import Founding
from boathouse.settings import Settings
from boathouse.store import Store
from boathouse.store.directory import DataDirectory, DirectoryError, write_ready
from boathouse.store.schema import SchemaError, migrate

log = logging.getLogger("boathouse")


class StartError(Exception):
    """The server cannot start; the message names the cause and the fix."""


@dataclass
class Parts:
    """What is open before anything runs: directory, store, keys, and what the first start founded."""

    settings: Settings
    directory: DataDirectory
    store: Store
    keys: Keys
    ready: bootstrap.Ready

    def rotate_token(self) -> str:
        return bootstrap.rotate(self.store, self.keys)


@contextlib.contextmanager
def opened(settings: Settings, lock: bool = False) -> Iterator[Parts]:
    """The data directory, its database at this version's schema, its keys. Raises StartError."""
    try:
        directory = DataDirectory(settings.data)
        if lock:
            directory.lock()
    except DirectoryError as error:
        raise StartError(str(error)) from None
    store = Store(settings.store_url)
    try:
        migrate(store)
        keys = Keys(directory.path / "keys")
        ready = bootstrap.bootstrap(store, keys, Founding(admin=settings.admin, cloud=settings.cloud))
        yield Parts(settings, directory, store, keys, ready)
    except SchemaError as error:
        raise StartError(str(error)) from None
    finally:
        store.close()
        if lock:
            directory.unlock()
