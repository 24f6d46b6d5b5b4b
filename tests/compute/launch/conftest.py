"""A whole launch in one thread: the real reconciler over the simulated data plane, a clock that only tests move, no sleeping."""

import hashlib
import hmac
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from sqlalchemy import event, insert, select, update

from boathouse.compute import events, states, timeline
from boathouse.compute.assembly import Launcher, make_directories, make_launcher
from boathouse.compute.image_service import SimulatedImages
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.log_delivery import Undeliverable
from boathouse.compute.script_shelf import NoScripts
from boathouse.compute.tables import clusters, nodes
from boathouse.compute.tables import events as event_table
from boathouse.dataplane.contract import Limits
from boathouse.dataplane.simulated import Delays, SimulatedDriver, SimulatedLink, World
from boathouse.reconcile import leases, wake
from boathouse.releases.release import Release
from boathouse.store import Store
from boathouse.workspace.locations import LocationError, Locations
from boathouse.workspace.references import SecretDenied, SecretMissing
from tests.compute.launch.moments import Moment

RUNTIME_KEY = "17.3.x-scala2.13"
SPEC = {"spark_version": RUNTIME_KEY, "node_type_id": "i3.xlarge", "num_workers": 0, "cluster_name": "a cluster"}
GIB = 1 << 30


class Shelf:
    """Releases of which one key exists; `publish` puts a patch layer on it."""

    def __init__(self, root: Path) -> None:
        self.release = Release(
            key=RUNTIME_KEY, spark="4.0.5", scala="2.13", delta="4.0.1", digest="d" * 32, directory=root, layers=(root,),
            java_major=17, python_minor="3.12", connect=True, jars=("boathouse.jar",), archive=None, archive_note="none",
            glibc="2.34",
        )  # fmt: skip
        self.built = [self.release]

    def publish(self, patch: Path) -> None:
        self.release = replace(self.release, layers=(patch, *self.release.layers))
        self.built.append(self.release)

    def get(self, spark_version: str) -> Release | None:
        return self.release if spark_version == RUNTIME_KEY else None

    def recorded(self, spark_version: str, layer_names: Sequence[str]) -> Release | None:
        return next((each for each in self.built if each.layer_names == tuple(layer_names)), None)


class Vault:
    """Secrets of one scope."""

    def __init__(self) -> None:
        self.values = {"{{secrets/s/known}}": "hunter2-is-secret"}

    def resolve(self, workspace_id: int, principal: str, reference: str, why: str = "") -> str:
        if reference == "{{secrets/s/denied}}":
            raise SecretDenied("you may not")
        if reference not in self.values:
            raise SecretMissing(f"{reference} does not exist")
        return self.values[reference]


def keyed(purpose: str, text: str) -> str:
    return hmac.new(b"server", f"{purpose}/{text}".encode(), hashlib.sha256).hexdigest()


class Bucket:
    """Where logs are delivered to. `refuses`: why it takes nothing now; `writes`: every file that it ever took."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.asked: list[tuple[int, str]] = []
        self.refuses = ""

    def write(self, location: str, workspace_id: int, principal: str, pieces: Iterable[bytes], options: Any) -> None:
        self.asked.append((workspace_id, principal))
        if self.refuses:
            raise Undeliverable(f"{location}: {self.refuses}")
        self.files[location] = b"".join(pieces)
        self.writes.append(location)


class Files:
    """What locations hold: the files of libraries."""

    def __init__(self) -> None:
        self.there = {"dbfs:/a-1.0-py3-none-any.whl": b"wheel" * 1000, "/Volumes/c/s/v/b.jar": b"jar"}
        self.asked: list[tuple[str, str]] = []

    def read(self, location: str, reader: Any, *, limit: int, s3: Any = None) -> Iterator[bytes]:
        self.asked.append((location, reader.principal))
        if location not in self.there:
            raise LocationError("missing", f"{location} does not exist")
        return iter([self.there[location]])


class Fleet:
    """Clusters, and everything that makes them run. `restart()` is a new control plane over the same world."""

    def __init__(
        self, store: Store, clock: Any, data: Path, capacity: Limits | None = None, moment: Moment | None = None
    ) -> None:
        """`moment`: where to go on."""
        self.store, self.clock, self.data = store, clock, data
        self.world = World(clock=lambda: clock() / 1000, delays=Delays())
        if moment is not None:
            self.world._db.deserialize(moment.world)
        self.capacity = capacity or Limits(64, 512 * GIB)
        self.vault = Vault()
        self.shelf = Shelf(data)
        self.images: Any = SimulatedImages()
        self.scripts: Any = NoScripts()
        self.wrap: Callable[[str, Any], Any] = lambda name, thing: thing
        self.launcher: Launcher
        self.states: dict[str, list[str]] = moment.states if moment else {}
        self.bucket: Bucket = moment.bucket if moment else Bucket()
        self.kinds: tuple[str, ...] = ("cluster", "log-delivery", "pool", "libraries")
        self.locations = Files()
        self.advisories: Path | None = None
        self.scratch: Path | None = None
        self.restart()

    def restart(self) -> None:
        """Whatever was in memory is lost; rows, directories and nodes stay."""
        self.driver = self.wrap("driver", SimulatedDriver(self.world, self.capacity))
        self.link = self.wrap("link", SimulatedLink(self.world))
        self.directories = self.wrap("directories", make_directories(self.data, keyed))
        sources = Sources(releases=self.shelf, resolver=self.vault, keyed=keyed, scripts=self.scripts)
        self.launcher = make_launcher(
            self.store, self.driver, self.driver, self.link, self.directories, sources, self.images, threads=0,
            write_log=self.wrap("bucket", self.bucket).write, locations=cast(Locations, self.locations),
            advisories=self.advisories, scratch=self.scratch,
        )  # fmt: skip
        self.launcher.resume()

    def create(self, cluster_id: str = "1123-120000-aaaaaaaa", /, **spec: Any) -> str:
        """What the API writes for clusters/create."""
        now = self.clock()
        with self.store.transaction() as tx:
            tx.execute(
                insert(clusters).values(
                    cluster_id=cluster_id, workspace_id=1, name=spec.get("cluster_name", ""), creator_id=7, creator="ann@x.org",
                    editor="ann@x.org", source="API", created_at=now, spec={**SPEC, **spec}, wish="running", wished_launch=1,
                    state="PENDING", state_message="", launch=0, start_time=now, facts={}, version=0,
                )
            )  # fmt: skip
            events.record(tx, cluster_id, "CREATING", {"user": "ann@x.org"})
            wake(tx, "cluster", cluster_id)
        return cluster_id

    def wish(self, cluster_id: str, **values: Any) -> None:
        """What the API writes for other verbs; always a new version and a wake-up."""
        with self.store.transaction() as tx:
            where = clusters.c.cluster_id == cluster_id
            tx.execute(update(clusters).where(where).values(version=clusters.c.version + 1, **values))
            wake(tx, "cluster", cluster_id)

    def delete(self, cluster_id: str) -> None:
        reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": "ann@x.org"}}
        self.wish(cluster_id, wish="terminated", state="TERMINATING", wish_reason=reason)

    def delete_for_ever(self, cluster_id: str) -> None:
        state = "TERMINATED" if self.state(cluster_id) == "TERMINATED" else "TERMINATING"
        self.wish(cluster_id, wish="deleted", state=state)

    def start(self, cluster_id: str) -> None:
        self.wish(cluster_id, wish="running", state="PENDING", wished_launch=clusters.c.wished_launch + 1, wish_reason=None)

    def again(self, cluster_id: str) -> None:
        """clusters/restart."""
        self.wish(cluster_id, wish="running", state="RESTARTING", wished_launch=clusters.c.wished_launch + 1)

    def resize(self, cluster_id: str, workers: int | None, autoscale: dict[str, int] | None = None) -> None:
        """clusters/resize."""
        spec = {**self.row(cluster_id).spec, "num_workers": workers, "autoscale": autoscale}
        self.wish(cluster_id, state="RESIZING", spec={name: value for name, value in spec.items() if value is not None})
        with self.store.transaction() as tx:
            events.record(tx, cluster_id, "RESIZING", {"cause": "USER_REQUEST", "user": "ann@x.org"})

    def row(self, cluster_id: str) -> Any:
        with self.store.read() as reader:
            return reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).first()

    def state(self, cluster_id: str) -> str:
        row = self.row(cluster_id)
        return "GONE" if row is None else row.state

    def nodes(self, cluster_id: str) -> list[str]:
        with self.store.read() as reader:
            found = reader.execute(select(nodes.c.node_id).where(nodes.c.cluster_id == cluster_id).order_by(nodes.c.node_id))
            return [row.node_id for row in found]

    def running(self) -> list[str]:
        """Nodes that really exist."""
        return [row["node_id"] for row in self.world.rows("SELECT node_id FROM node ORDER BY node_id")]

    def processes(self) -> list[tuple[str, str]]:
        return [(row["node_id"], row["name"]) for row in self.world.rows("SELECT * FROM process ORDER BY node_id, name")]

    def events(self, cluster_id: str) -> list[str]:
        with self.store.read() as reader:
            found = reader.execute(
                select(event_table.c.type).where(event_table.c.cluster_id == cluster_id).order_by(event_table.c.id)
            )
            return [row.type for row in found]

    def timeline(self, cluster_id: str) -> dict[tuple[str, str], dict[str, Any]]:
        with self.store.read() as reader:
            launch = self.row(cluster_id).launch
            return {(row["step"], row["node"]): row for row in timeline.rows(reader, cluster_id, launch)}

    def step(self) -> bool:
        """One due round of one cluster, moving the clock to it; False when nothing will ever be due."""
        kinds = list(self.kinds)
        claims = leases.claim(self.store, kinds, limit=1)
        if not claims:
            due = leases.next_due(self.store, kinds)
            if due is None:
                return False
            self.clock.advance(max(1, due - self.clock()))
            return True
        (held,) = claims
        leases.settle_row(self.store, held, self.launcher.reconcilers[held.kind](held.key))
        for cluster_id in [held.key]:
            seen = self.states.setdefault(cluster_id, [])
            state = self.state(cluster_id)
            if not seen or seen[-1] != state:
                seen.append(state)
        return True

    def settle(self, *cluster_ids: str, rounds: int = 800) -> None:
        """Rounds until every cluster (of these, or all) is RUNNING or TERMINATED or gone, as it is wished."""
        for _ in range(rounds):
            if all(self.settled(row) for row in self.rows() if not cluster_ids or row.cluster_id in cluster_ids):
                return
            if not self.step():
                break
        raise AssertionError(f"no rest after {rounds} rounds: {[(r.cluster_id, r.wish, r.state) for r in self.rows()]}")

    def rows(self) -> list[Any]:
        with self.store.read() as reader:
            return list(reader.execute(select(clusters)).all())

    def settled(self, row: Any) -> bool:
        if row.wish == "deleted":
            return False
        if row.wish == "terminated":
            return row.state == states.TERMINATED
        if row.source == "POOL":
            return bool(row.facts.get("warm"))
        return row.state == states.RUNNING and row.launch == row.wished_launch

    def set_clock_back(self, ms: int) -> None:
        """As a machine's clock is set back: what runs does not notice, the dispatcher does."""
        at_first = self.world.now
        self.world.now = lambda: at_first() + ms / 1000
        self.clock.advance(-ms)
        leases.pull_back(self.store, list(self.kinds), ms)

    def pass_time(self, ms: int) -> None:
        """Let time pass, with all rounds that fall due."""
        until = self.clock() + ms
        while True:
            due = leases.next_due(self.store, list(self.kinds))
            if due is None or due > until:
                break
            self.step()
        self.clock.advance(max(0, until - self.clock()))


@pytest.fixture
def quick_store(store: Store) -> Store:
    """The store without waiting for the disk: power cuts are not what these tests are about."""
    store.engine.dispose()
    event.listen(store.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    return store


@pytest.fixture
def make_fleet(quick_store: Store, clock: Any, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    made: list[Fleet] = []

    def make(**more: Any) -> Fleet:
        made.append(Fleet(quick_store, clock, tmp_path, **more))
        return made[-1]

    yield make
    for fleet in made:
        fleet.world.close()


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet]) -> Fleet:
    return make_fleet()


@pytest.fixture
def fleet_of_its_own(template_database: Path, tmp_path: Path) -> Callable[..., Any]:
    """A context manager with a fleet on a database of its own, as often as one is wanted, at its beginning or at a `Moment`."""
    free: list[Store] = []  # used again: most of what a new store costs is to compile its statements
    count = iter(range(1_000_000))

    @contextmanager
    def make(moment: Moment | None = None) -> Iterator[Fleet]:
        store = free.pop() if free else _quick(tmp_path / str(next(count)) / "boathouse.db")
        data, clock = Path(str(store.engine.url.database)).parent, FakeClock()
        store.clock = clock
        if moment is None:
            data.mkdir()
            shutil.copyfile(template_database, data / "boathouse.db")
        else:
            clock.now = moment.now
            moment.files.rename(data)
            (data / "boathouse.db").write_bytes(moment.rows)
        fleet = Fleet(store, clock, data, moment=moment)
        try:
            yield fleet
        finally:
            fleet.world.close()
            store.close()
            vars(store).pop("transaction", None)
            shutil.rmtree(data)
            free.append(store)

    return make


def _quick(database: Path) -> Store:
    store = Store(f"sqlite:///{database}")
    event.listen(store.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    return store


class FakeClock:
    """Epoch milliseconds that stand still until `advance`."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        self.now += ms
