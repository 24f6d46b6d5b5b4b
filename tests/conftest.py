"""Fixtures for all rooms: a store of its own for every test, a clock that only tests move, an edge with the real
authenticator, and the real SDK against a real socket."""

import asyncio
import importlib
import pkgutil
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

import boathouse
from boathouse.auth import credentials
from boathouse.auth.authenticator import Authenticator
from boathouse.auth.bootstrap import Ready, bootstrap
from boathouse.auth.keys import Keys
from boathouse.catalog.seals import Seals
from boathouse.edge.app import Edge
from boathouse.edge.context import Services
from boathouse.edge.routing import Routes
from boathouse.identity import principals, registry
from boathouse.identity.bootstrap import Founding
from boathouse.store import Store, metadata
from boathouse.store.blobs import Blobs
from boathouse.workspace import secret_store
from boathouse.workspace.locations import Locations
from boathouse.workspace.references import Secrets
from boathouse.workspace.sealing import Sealer


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several workers one has the container engine, which is one for the machine; else a file's tests stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class OneEngine(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _room_of(nodeid.partition("::")[0])

    return OneEngine(config, log)


@cache
def _room_of(file: str) -> str:
    uses_engine = file.startswith(("tests/e2e/", "tests/contract/")) or "mark.engine" in (
        Path(__file__).parents[1] / file
    ).read_text("utf-8")
    return "engine" if uses_engine else file


ACCOUNT_ID = "11111111-2222-3333-4444-555555555555"
WORKSPACE_ID = 1234567890123456


class FakeClock:
    """Epoch milliseconds that stand still until `advance`."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        self.now += ms


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with every room's tables, to be copied."""
    for room in pkgutil.iter_modules(boathouse.__path__):
        if room.ispkg and (Path(boathouse.__path__[0]) / room.name / "tables.py").exists():
            importlib.import_module(f"boathouse.{room.name}.tables")
    importlib.import_module("boathouse.reconcile.leases")
    path = tmp_path_factory.mktemp("template") / "template.db"
    made = Store(f"sqlite:///{path}")
    metadata.create_all(made.engine)
    made.close()
    return path


@pytest.fixture
def store(template_database: Path, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """An empty database with all tables, on the fake clock."""
    path = tmp_path / "boathouse.db"
    shutil.copyfile(template_database, path)
    made = Store(f"sqlite:///{path}", clock)
    yield made
    made.close()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


@pytest.fixture
def sealer(keys: Keys) -> Sealer:
    return Sealer(keys)


@pytest.fixture
def ready(store: Store, keys: Keys) -> Ready:
    """Account, workspace and bootstrap admin: `ready.home.workspace_id`, `ready.token`."""
    return bootstrap(store, keys, Founding(account_id=ACCOUNT_ID, workspace_id=WORKSPACE_ID))


@pytest.fixture
def make_user(store: Store, keys: Keys, ready: Ready) -> Callable[..., tuple[principals.Principal, str]]:
    """`make_user("ann@x.org", groups=["admins"])` -> (principal, personal access token); `kind` for service
    principals."""

    def make(name: str = "", groups: tuple[str, ...] | list[str] = (), kind: str = principals.USER) -> Any:
        home = ready.home
        with store.transaction() as tx:
            made = registry.create(tx, home.account_id, kind, name)
            for group in (principals.USERS, *groups):
                there = principals.by_name(tx, home.account_id, group, [principals.GROUP], home.workspace_id)
                if there is None:
                    there = registry.create(tx, home.account_id, principals.GROUP, group, workspace_id=home.workspace_id)
                registry.add_member(tx, there.principal_id, made.principal_id)
            token, _ = credentials.issue(tx, keys, credentials.PAT, made.principal_id, workspace_id=home.workspace_id)
        return made, token

    return make


class Api:
    """A client that calls an Edge in this process. `api.get(path)`, `api.post(path, json=...)`; as the bootstrap admin
    unless `token` is given; `token=None` sends no credential."""

    def __init__(self, edge: Edge, token: str, runner: asyncio.Runner) -> None:
        self.edge, self.token, self._runner = edge, token, runner

    def call(
        self, method: str, path: str, *, token: str | None = "", headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")

        async def run() -> httpx.Response:
            base = more.pop("base_url", "http://127.0.0.1:8470")
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.edge), base_url=base) as client:
                return await client.request(method, path, headers=sent, **more)

        return self._runner.run(run())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.call("POST", path, **more)

    def patch(self, path: str, **more: Any) -> httpx.Response:
        return self.call("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.call("DELETE", path, **more)


@pytest.fixture
def blobs(tmp_path: Path, clock: FakeClock) -> Blobs:
    """An empty blob store on the fake clock."""
    return Blobs(tmp_path / "blobs", lambda: clock() / 1000)


@pytest.fixture
def services(store: Store, keys: Keys, sealer: Sealer, blobs: Blobs) -> Services:
    """The services that endpoints find; tests add their own."""
    made = Services(keys, sealer, Secrets(store, sealer), blobs, Locations(store, blobs))
    made.add(sealer, Seals)
    return made


@pytest.fixture
def scope(store: Store, sealer: Sealer, ready: Ready) -> Callable[..., None]:
    """`scope("name", key="value", ...)`: a secret scope that the bootstrap admin manages, with these secrets."""

    def make(name: str, **values: str) -> None:
        with store.transaction() as tx:
            secret_store.add_scope(tx, ready.home.workspace_id, name, ready.home.admin_id)
            who = secret_store.asker(tx, ready.home.workspace_id, ready.home.admin_id)
            made = secret_store.scope_for(tx, ready.home.workspace_id, name, who, secret_store.MANAGE)
            for key, value in values.items():
                secret_store.put(tx, sealer, made, key, value.encode())

    return make


@pytest.fixture
def edge_app(store: Store, keys: Keys, ready: Ready, services: Services) -> Iterator[Callable[..., Edge]]:
    """`edge_app("boathouse.workspace.secrets", ...)`: an Edge that serves these modules (names or modules) with the
    real authenticator."""
    made: list[Edge] = []

    def make(*modules: Any) -> Edge:
        routes = Routes([importlib.import_module(m) if isinstance(m, str) else m for m in modules])
        services.add(routes)
        made.append(Edge(routes, store, Authenticator(store, keys), services, threads=4))
        return made[-1]

    yield make
    for edge in made:
        edge.close()


@pytest.fixture
def api_of(edge_app: Callable[..., Edge], ready: Ready) -> Iterator[Callable[..., Api]]:
    """`api_of("boathouse.workspace.secrets")`: a client in this process for these modules."""
    with asyncio.Runner() as runner:
        yield lambda *modules: Api(edge_app(*modules), ready.token, runner)


@contextmanager
def serving(edge: Edge) -> Iterator[str]:
    """Serve an Edge on a free port of 127.0.0.1; gives the base URL."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(edge, lifespan="off", log_level="warning", access_log=False, proxy_headers=False))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def served(edge_app: Callable[..., Edge]) -> Iterator[Callable[..., str]]:
    """`served("boathouse.identity.me", ...)`: the base URL of a server on a real socket, for the real SDK."""
    with ExitStack() as stack:
        yield lambda *modules: stack.enter_context(serving(edge_app(*modules)))
