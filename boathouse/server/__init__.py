"""Puts the rooms together and runs them in one process: the only module that knows them all.

`up` answers calls as soon as the database is open; then the engine is looked for, and launches begin when it is there.
"""

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from boathouse.auth.authenticator import Authenticator
from boathouse.auth.azure import AzureTenant
from boathouse.edge.app import Edge
from boathouse.edge.sources import Sources
from boathouse.server.control import ControlPlane, routes
from boathouse.server.parts import StartError, opened
from boathouse.settings import Settings
from boathouse.store.directory import write_ready

log = logging.getLogger("boathouse.server")

__all__ = ["StartError", "opened", "routes", "run_http", "up"]

#: How long one thread may keep the interpreter while others wait. A call changes threads a dozen times (loop, worker, each
#: statement): at Python's 5 ms a single busy reconciler would add more to it than the work itself.
SWITCH_SECONDS = 0.0005


def up(settings: Settings, ready_file: Path | None = None, quiet: bool = False) -> int:
    """Run until SIGTERM or SIGINT; clusters stay. Raises StartError when it cannot begin."""
    _log_to_stderr(settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    with opened(settings, lock=True) as parts, _listening(settings) as listener:
        port = listener.getsockname()[1]
        host = f"http://{settings.host}:{port}"
        document = {
            "host": host, "token": parts.ready.token, "account_id": parts.ready.home.account_id,
            "workspace_id": str(parts.ready.home.workspace_id), "pid": os.getpid(),
        }  # fmt: skip
        plane = ControlPlane(parts)
        authenticator = Authenticator(parts.store, parts.keys, azure=plane.services.find(AzureTenant))
        edge = Edge(
            plane.routes, parts.store, authenticator, plane.services, front=plane.front,
            precedence=plane.precedence, sources=_sources(settings),
        )  # fmt: skip

        def serving() -> None:
            for file in (parts.directory.path / "ready.json", ready_file):
                if file is not None:
                    _tell(file, document)
            if not quiet:
                print(f"Boathouse serves at {host}")
                print(f"  export DATABRICKS_HOST={host} DATABRICKS_TOKEN={parts.ready.token}", flush=True)

            gc.freeze()
            gc.enable()
            beginning.start()  # not before: it would take the interpreter from what is still being loaded

        failed: list[Exception] = []

        def begin() -> None:
            try:
                plane.start()
            except Exception as error:  # a server that answers and never works would be worse than none
                log.exception("cannot begin to work")
                failed.append(error)
                os.kill(os.getpid(), signal.SIGTERM)

        beginning = threading.Thread(target=begin, name="begin")
        try:
            run_http(edge, listener, serving)
        finally:
            if beginning.ident is not None:  # what never began has nothing to stop
                beginning.join()
                plane.stop()
            edge.close()
            (parts.directory.path / "ready.json").unlink(missing_ok=True)
        if failed:
            raise StartError(f"cannot begin to work: {failed[0]}")
    return 0


def _sources(settings: Settings) -> Sources:
    try:
        return Sources(settings.trusted_proxies)
    except ValueError as error:
        raise StartError(f"trusted_proxies: {error}; give addresses or networks such as 10.0.0.0/8") from None


def _tell(file: Path, document: dict[str, Any]) -> None:
    try:
        write_ready(file, document)
    except OSError as error:
        raise StartError(f"cannot write the ready file {file}: {error.strerror}; choose another with --ready-file") from None


def run_http(edge: Edge, listener: socket.socket, serving: Callable[[], None]) -> None:
    """Answer calls on `listener` until SIGTERM or SIGINT; `serving` is called once calls are answered."""
    import uvicorn

    from boathouse.server.http_protocol import BoundedProtocol

    # uvicorn raises the signal that stopped it once more when it is done: that must not end us before we have settled.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        edge, lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=5, ws="none", proxy_headers=False, http=BoundedProtocol,
    )  # fmt: skip

    class Ready(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            try:
                serving()
            except BaseException:
                await self.shutdown(sockets)  # with its listeners open the loop would never close
                raise

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
