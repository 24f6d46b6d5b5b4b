"""What is open before anything runs, and what commands on a data directory work with."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.exc import ArgumentError, DBAPIError

from boathouse.auth import bootstrap, ip_access_lists, ip_gate, passwords
from boathouse.auth.keys import KeyFileError, Keys
from boathouse.identity import principals, workspaces
from boathouse.identity.bootstrap import Founding
from boathouse.settings import Settings
from boathouse.store import Reader, Store, sqlite_url
from boathouse.store.directory import DataDirectory, DirectoryError
from boathouse.store.schema import SchemaError, migrate

#: Every module that declares tables.
TABLES = (
    "boathouse.reconcile.leases", "boathouse.edge.tables", "boathouse.identity.tables", "boathouse.auth.tables",
    "boathouse.account.tables", "boathouse.catalog.tables", "boathouse.workspace.tables", "boathouse.compute.tables",
    "boathouse.commands.tables", "boathouse.rollout.tables",
)  # fmt: skip


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

    def set_password(self, user_name: str, password: str) -> None:
        """Set the local password of a user. Raises ApiError for a password that may not be, StartError for no such user."""
        passwords.check(password)
        hashed = passwords.hash_of(password)
        with self.store.transaction() as tx:
            passwords.store_hash(tx, self.keys, self._user(tx, user_name), hashed)

    def make_login_link(self, user_name: str) -> str:
        """The token of a one-time link by which a user sets a password."""
        with self.store.transaction() as tx:
            return passwords.make_link(tx, self.keys, self._user(tx, user_name))[0]

    def unlock(self) -> None:
        """Switch all IP access lists off."""
        with self.store.transaction() as tx:
            for row in workspaces.of_account(tx, self.ready.home.account_id):
                workspaces.set_conf(tx, row.workspace_id, ip_gate.SWITCH, "false")
            ip_access_lists.open_everything(tx)

    def _user(self, reader: Reader, user_name: str) -> int:
        found = principals.by_name(reader, self.ready.home.account_id, user_name, [principals.USER])
        if found is None:
            raise StartError(f"there is no user {user_name}")
        return found.principal_id

    def rotate_token(self) -> str:
        return bootstrap.rotate(self.store, self.keys)


@contextlib.contextmanager
def opened(settings: Settings, lock: bool = False) -> Iterator[Parts]:
    """The data directory, its database at this version's schema, its keys. Raises StartError."""
    with contextlib.ExitStack() as stack:
        try:
            directory = DataDirectory(settings.data)
            if lock:
                directory.lock()
                stack.callback(directory.unlock)
        except DirectoryError as error:
            raise StartError(str(error)) from None
        try:
            store = Store(settings.database_url or sqlite_url(directory.path / "boathouse.db"))
        except (ArgumentError, ImportError) as error:
            raise StartError(f"database_url cannot be used: {error}") from None
        stack.callback(store.close)
        yield _begun(settings, directory, store)


def _begun(settings: Settings, directory: DataDirectory, store: Store) -> Parts:
    try:
        migrate(store, TABLES)
        keys = Keys(directory.path / "keys")
        ready = bootstrap.bootstrap(store, keys, Founding(admin=settings.admin, cloud=settings.cloud))
    except (SchemaError, KeyFileError) as error:
        raise StartError(str(error)) from None
    except DBAPIError as error:
        what = "the database of database_url" if settings.database_url else f"the database in {directory.path}"
        raise StartError(f"{what} cannot be used: {error.orig}") from None
    except OSError as error:
        raise StartError(
            f"cannot use the data directory {directory.path}: {error.strerror}; choose another with --data"
        ) from None
    return Parts(settings, directory, store, keys, ready)
