"""A whole platform in one thread: the API, the real reconcilers of clusters and roll-outs over the simulated data plane, and a
clock that only tests move. What an engine, a registry and a REPL would do is scripted."""

import asyncio
import hashlib
import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import event, select, update

from boathouse.auth import credentials
from boathouse.auth.authenticator import Authenticator
from boathouse.auth.bootstrap import bootstrap
from boathouse.auth.keys import Keys
from boathouse.commands import rows as command_rows
from boathouse.commands.tables import contexts
from boathouse.compute import timeline, tracks
from boathouse.compute.assembly import make_directories, make_launcher
from boathouse.compute.image_service import SimulatedImages
from boathouse.compute.images_step import Resolved, Verdict
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.surroundings import Surroundings
from boathouse.compute.tables import clusters, image_track_changes, image_tracks
from boathouse.compute.world import Failure
from boathouse.dataplane.contract import Limits
from boathouse.dataplane.simulated import Delays, SimulatedDriver, SimulatedLink, World
from boathouse.edge.app import Edge
from boathouse.edge.context import Services
from boathouse.edge.routing import Routes
from boathouse.identity import principals, registry
from boathouse.identity.bootstrap import Founding
from boathouse.images.failures import PullFailure
from boathouse.images.trust.signatures import Signature
from boathouse.reconcile import SETTLED, leases
from boathouse.rollout import assembly
from boathouse.rollout.failures import StepFailed
from boathouse.rollout.logins import Vault
from boathouse.rollout.requests import Offers
from boathouse.rollout.tables import rollouts
from boathouse.store import Store
from boathouse.store.blobs import Blobs
from boathouse.workspace.locations import Locations
from boathouse.workspace.references import Secrets
from boathouse.workspace.sealing import Sealer
from tests.compute.conftest import API as CLUSTERS
from tests.compute.launch.conftest import GIB, RUNTIME_KEY, FakeClock, Shelf, keyed
from tests.conftest import ACCOUNT_ID, WORKSPACE_ID, Api

API = [
    *CLUSTERS, "boathouse.rollout.tracks", "boathouse.rollout.api", "boathouse.rollout.triggers_api", "boathouse.workspace.conf",
    "boathouse.workspace.secrets", "boathouse.compute.image_policies",
]  # fmt: skip
TRACK = "track://etl/python:stable"
CLUSTER = {"spark_version": RUNTIME_KEY, "node_type_id": "i3.xlarge", "num_workers": 0}
#: What roll-outs of tests ask for unless they say otherwise: clusters are restarted at once.
NOW = {"idle_minutes": 0, "waves": [100]}


class Registry(SimulatedImages):
    """A registry of any image. `refused`: why an image is none, `unusable`: what the check says of it."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self.unusable: dict[str, str] = {}
        self.signed: list[Signature] = []

    def key(self, inputs: Any) -> Any:
        return inputs.values

    def resolve(self, reference: str, key: Any, told: Any = None) -> Resolved:
        if reference in self.refused:
            raise PullFailure(self.refused[reference])
        return super().resolve(reference, key, told)

    def signatures(self, reference: str, digests: tuple[str, ...], key: Any) -> tuple[Signature, ...]:
        return tuple(self.signed)

    def check(self, view: Any, inputs: Any) -> Verdict:
        url = inputs.spec.docker_image.url if inputs.spec.docker_image else ""
        if url in self.unusable:
            return Verdict(failure=Failure("CONTAINER_LAUNCH_FAILURE", self.unusable[url], step="image.check"))
        return Verdict(python={"path": "/databricks/python3/bin/python3", "version": "3.12"})


def digest_of(image: str) -> str:
    """The digest that the registry gives a reference (in normal form)."""
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


class Work:
    """Scripted `ImageWork`. `fails`: verb -> why; `calls`: what was asked, in order."""

    def __init__(self) -> None:
        self.fails: dict[str, str] = {}
        self.calls: list[str] = []
        self.bases: dict[str, str] = {}
        self.after: Callable[[], None] = lambda: None

    def _do(self, verb: str) -> None:
        self.calls.append(verb)
        self.after()
        if verb in self.fails:
            raise StepFailed(self.fails[verb])

    def build(self, row: Any, spec: Any) -> tuple[str, dict[str, Any]]:
        self._do("build")
        return spec.source.target, {"lines": 3}

    def scan(self, row: Any, spec: Any, image: str) -> dict[str, Any]:
        self._do("scan")
        return {"findings": 0}

    def sign(self, row: Any, spec: Any) -> dict[str, Any]:
        self._do("sign")
        return {"signed": row.image["digest"]}

    def digest(self, reference: str, login: Any) -> str:
        self.calls.append("digest")
        return self.bases[reference]


class Named(SimulatedDriver):
    """Simulated nodes that pass for real ones, so that commands are taken."""

    name = "engine"


class Platform:
    """`restart()` is a new control plane over the same world."""

    def __init__(self, store: Store, clock: FakeClock, data: Path, services: Services, api: Api) -> None:
        self.store, self.clock, self.data, self.services, self.api = store, clock, data, services, api
        self.world = World(clock=lambda: clock() / 1000, delays=Delays())
        self.registry, self.work = Registry(), Work()
        #: What the commands of canaries answer, by their text.
        self.answers: dict[str, dict[str, Any]] = {}
        self.ran: list[str] = []
        #: The kind whose round is under way.
        self.reconciled = ""
        self.restart()

    def restart(self) -> None:
        driver = Named(self.world, Limits(640, 5120 * GIB))
        sources = Sources(
            releases=Shelf(self.data), resolver=self.services.get(Secrets), keyed=keyed, track=tracks.finder(self.store)
        )
        self.launcher = make_launcher(
            self.store, driver, driver, SimulatedLink(self.world), make_directories(self.data, keyed), sources, self.registry,
            threads=0, locations=cast(Locations, self.services.get(Locations)),
        )  # fmt: skip
        self.room = assembly.make(self.store, self.services, self.launcher, sources, self.work, Vault(self.services.get(Secrets)))
        self.reconcilers = {**self.launcher.reconcilers, **self.room.reconcilers(), command_rows.KIND: self._command}
        self.launcher.resume()
        self.room.resume()

    def _command(self, context_id: str) -> Any:
        """The REPL of every context: runs what waits, and answers what the test has scripted."""
        with self.store.transaction() as tx:
            tx.execute(update(contexts).where(contexts.c.context_id == context_id).values(status="Running"))
            waiting = command_rows.next_command(tx, context_id)
            if waiting is not None:
                self.ran.append(waiting.text)
                answer = self.answers.get(waiting.text, {"resultType": "text", "data": "ok"})
                command_rows.end_command(tx, waiting.command_id, "Finished", msgspec.json.encode(answer).decode(), "{}")
        return SETTLED

    # ---- calls

    def call(self, path: str, token: str = "", **body: Any) -> Any:
        answer = self.api.post(f"/api/2.0/boathouse/{path}", json=body, token=token)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, token: str = "", **body: Any) -> tuple[int, str]:
        answer = self.api.post(f"/api/2.0/boathouse/{path}", json=body, token=token)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["message"]

    def get(self, path: str, **query: Any) -> Any:
        answer = self.api.get(f"/api/2.0/boathouse/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def roll_out(self, image: str = "registry.example.com/etl/python:1", **more: Any) -> str:
        spec = {"canary": {"cluster": CLUSTER}, "restart": NOW, "track": TRACK, **({} if "source" in more else {"image": image})}
        return self.call("rollouts/create", **{**spec, **more})["rollout_id"]

    def rollout(self, rollout_id: str) -> Any:
        return self.get("rollouts/get", rollout_id=rollout_id)

    def track(self) -> Any:
        return self.get("tracks/get", track=TRACK)

    def cluster(self, **more: Any) -> str:
        """A running cluster that follows the track."""
        body = {**CLUSTER, "docker_image": {"url": TRACK}, **more}
        answer = self.api.post("/api/2.1/clusters/create", json=body)
        assert answer.status_code == 200, answer.text
        cluster_id = answer.json()["cluster_id"]
        self.until(lambda: self.row(cluster_id).state == "RUNNING")
        return cluster_id

    # ---- rows

    def row(self, cluster_id: str) -> Any:
        with self.store.read() as reader:
            return reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).first()

    def rows(self) -> list[Any]:
        with self.store.read() as reader:
            return list(reader.execute(select(clusters)))

    def digest(self, cluster_id: str) -> str:
        return self.row(cluster_id).facts["image"]["digest"]

    def timeline(self, cluster_id: str) -> dict[str, Any]:
        with self.store.read() as reader:
            return {row["step"]: row for row in timeline.rows(reader, cluster_id, self.row(cluster_id).launch)}

    def named(self) -> list[str]:
        """Every image that the track has named, in order, and last what it names now."""
        with self.store.read() as reader:
            told = reader.execute(select(image_track_changes.c.image).order_by(image_track_changes.c.number)).scalars()
            now = reader.execute(select(image_tracks.c.image)).scalar()
            return [*told, now]

    def point(self, image: str) -> None:
        """As if a roll-out had passed before."""
        with self.store.transaction() as tx:
            track = tx.execute(select(image_tracks.c.track_id)).scalar_one()
            tracks.point(tx, track, image, tracks.PROMOTED, "rollout-before", "somebody")

    # ---- time

    def step(self) -> bool:
        """One due round, moving the clock to it; False when nothing will ever be due."""
        kinds = list(self.reconcilers)
        claims = leases.claim(self.store, kinds, limit=1)
        if not claims:
            due = leases.next_due(self.store, kinds)
            if due is None:
                return False
            self.clock.advance(max(1, due - self.clock()))
            return True
        (held,) = claims
        self.reconciled = held.kind
        try:
            outcome = self.reconcilers[held.kind](held.key)
        finally:
            self.reconciled = ""
        leases.settle_row(self.store, held, outcome)
        return True

    def until(self, holds: Callable[[], Any], rounds: int = 3000) -> Any:
        """Rounds until `holds` gives something true."""
        for _ in range(rounds):
            if found := holds():
                return found
            if not self.step():
                break
        if found := holds():
            return found
        with self.store.read() as reader:
            told = [(r.rollout_id, r.state, r.message) for r in reader.execute(select(rollouts))]
        raise AssertionError(f"it did not come to pass: {told} {[(r.name, r.state, r.state_message) for r in self.rows()]}")

    def ended(self, rollout_id: str) -> Any:
        """The roll-out, once it has ended."""

        def over() -> bool:
            with self.store.read() as reader:
                state = reader.execute(select(rollouts.c.state).where(rollouts.c.rollout_id == rollout_id)).scalar()
            return state in ("SUCCEEDED", "FAILED", "CANCELLED", "ROLLED_BACK")

        self.until(over)
        return self.rollout(rollout_id)

    def admin(self, name: str, groups: tuple[str, ...] = (principals.USERS, principals.ADMINS)) -> tuple[int, str]:
        """Another user, an admin unless `groups` says otherwise: id and token."""
        with self.store.transaction() as tx:
            made = registry.create(tx, ACCOUNT_ID, principals.USER, name)
            for group in groups:
                there = principals.by_name(tx, ACCOUNT_ID, group, [principals.GROUP], WORKSPACE_ID)
                assert there is not None
                registry.add_member(tx, there.principal_id, made.principal_id)
            keys = self.services.get(Keys)
            token, _ = credentials.issue(tx, keys, credentials.PAT, made.principal_id, workspace_id=WORKSPACE_ID)
        return made.principal_id, token

    def pass_time(self, ms: int) -> None:
        """Let time pass, with all rounds that fall due."""
        until = self.clock() + ms
        while (due := leases.next_due(self.store, list(self.reconcilers))) is not None and due <= until:
            self.step()
        self.clock.advance(max(0, until - self.clock()))

    def idle(self, cluster_id: str, ms: int) -> None:
        """The cluster was used last so long ago."""
        with self.store.transaction() as tx:
            values = {"last_activity_time": self.clock() - ms}
            tx.execute(update(clusters).where(clusters.c.cluster_id == cluster_id).values(**values))


@contextmanager
def opened(template: Path, folder: Path) -> Iterator[Platform]:
    """A platform on a store of its own: container services on, and a track that names nothing yet."""
    folder.mkdir()
    shutil.copyfile(template, folder / "boathouse.db")
    clock = FakeClock()
    store = Store(f"sqlite:///{folder / 'boathouse.db'}", clock)
    event.listen(store.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    keys = Keys(folder / "keys")
    ready = bootstrap(store, keys, Founding(account_id=ACCOUNT_ID, workspace_id=WORKSPACE_ID))
    sealer, blobs = Sealer(keys), Blobs(folder / "blobs")
    around = Surroundings(max_workers=100), Offers(builds=True)
    services = Services(keys, sealer, Secrets(store, sealer), blobs, Locations(store, blobs), *around)
    routes = Routes([importlib.import_module(name) for name in API])
    edge = Edge(routes, store, Authenticator(store, keys), services, threads=2)
    with asyncio.Runner() as runner:
        made = Platform(store, clock, folder, services, Api(edge, ready.token, runner))
        assert made.api.patch("/api/2.0/workspace-conf", json={"enableDcs": "true"}).status_code < 300
        made.call("tracks/create", track=TRACK)
        try:
            yield made
        finally:
            made.world.close()
            edge.close()
            store.close()
            shutil.rmtree(folder)


@pytest.fixture
def platforms(template_database: Path, tmp_path: Path) -> Callable[[], Any]:
    """A context manager with a platform of its own, as often as one is wanted."""
    numbers = iter(range(1_000_000))
    return lambda: opened(template_database, tmp_path / f"platform-{next(numbers)}")


@pytest.fixture
def platform(platforms: Callable[[], Any]) -> Iterator[Platform]:
    with platforms() as made:
        yield made
