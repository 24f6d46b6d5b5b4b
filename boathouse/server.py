"""Puts the rooms together and runs them in one process: the only module that knows them all.

`up` answers calls as soon as the database is open; the engine is looked for beside that, and launches begin when it is there.
"""

import contextlib
import importlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from boathouse.auth import bootstrap
from boathouse.auth.authenticator import Authenticator
from boathouse.auth.keys import Keys
from boathouse.compute.surroundings import Surroundings
from boathouse.edge import Routes
from boathouse.edge.app import Edge
from boathouse.edge.context import Services
from boathouse.identity.bootstrap import Founding
from boathouse.settings import Settings
from boathouse.store import Store
from boathouse.store.directory import DataDirectory, DirectoryError, write_ready
from boathouse.store.schema import SchemaError, migrate
from boathouse.workspace.references import Secrets
from boathouse.workspace.sealing import Sealer

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


#: Every module that has endpoints. The routing table, OpenAPI and docs/compatibility.md are made of these.
ENDPOINT_MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim",
    "boathouse.auth.discovery", "boathouse.auth.oauth", "boathouse.auth.tokens", "boathouse.auth.client_secrets",
    "boathouse.edge.openapi",
    "boathouse.workspace.conf", "boathouse.workspace.secrets",
    "boathouse.compute.clusters", "boathouse.compute.cluster_list", "boathouse.compute.events", "boathouse.compute.node_types",
    "boathouse.compute.spark_versions", "boathouse.compute.explain", "boathouse.compute.why", "boathouse.compute.logs",
    "boathouse.commands.contexts", "boathouse.commands.commands", "boathouse.commands.spark_ui",
)  # fmt: skip


def routes() -> Routes:
    """The routing table of everything that is served."""
    return Routes([importlib.import_module(name) for name in ENDPOINT_MODULES])


def up(settings: Settings, ready_file: Path | None = None, quiet: bool = False) -> int:
    """Run until SIGTERM or SIGINT; clusters stay. Raises StartError when it cannot begin."""
    _log_to_stderr(settings.log_level)
    with opened(settings, lock=True) as parts, _listening(settings) as listener:
        port = listener.getsockname()[1]
        host = f"http://{settings.host}:{port}"
        document = {
            "host": host, "token": parts.ready.token, "account_id": parts.ready.home.account_id,
            "workspace_id": str(parts.ready.home.workspace_id), "pid": os.getpid(),
        }  # fmt: skip
        services = Services(parts.keys, Sealer(parts.keys))
        secrets = Secrets(parts.store, services.get(Sealer))
        services.add(secrets)
        table = routes()
        services.add(table)
        services.add(Surroundings(max_workers=27 if settings.driver == "engine" else 10_000))
        edge = Edge(table, parts.store, Authenticator(parts.store, parts.keys), services)

        def serving() -> None:
            write_ready(parts.directory.path / "ready.json", document)
            if ready_file is not None:
                write_ready(ready_file, document)
            if not quiet:
                print(f"Boathouse serves at {host}")
                print(f"  export DATABRICKS_HOST={host} DATABRICKS_TOKEN={parts.ready.token}", flush=True)

        try:
            run_http(edge, listener, serving)
        finally:
            edge.close()
            (parts.directory.path / "ready.json").unlink(missing_ok=True)
    return 0


def run_http(edge: Edge, listener: socket.socket, serving: Callable[[], None]) -> None:
    """Answer calls on `listener` until SIGTERM or SIGINT; `serving` is called once calls are answered."""
    import uvicorn

    config = uvicorn.Config(
        edge, lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=5, ws="none", proxy_headers=False,
    )  # fmt: skip

    class Ready(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            serving()

    Ready(config).run(sockets=[listener])


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise StartError(f"cannot listen on {where}: {error.strerror}; choose another port with --port (0: any)") from None
    with listener:
        yield listener


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    for chatty in ("uvicorn", "httpx", "urllib3", "docker", "alembic", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
