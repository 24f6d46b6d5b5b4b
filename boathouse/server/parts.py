"""What is open before anything runs, and what commands on a data directory work with."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from boathouse.auth import bootstrap
from boathouse.auth.keys import Keys
from boathouse.identity.bootstrap import Founding
from boathouse.settings import Settings
from boathouse.store import Store
from boathouse.store.directory import DataDirectory, DirectoryError
from boathouse.store.schema import SchemaError, migrate


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
