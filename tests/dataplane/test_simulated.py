"""Faults and delays of the simulated data plane; what it has in common with an engine is in tests/contract."""

import base64
import http.client
import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from boathouse.dataplane.contract import (
    DriverUnavailable,
    Limits,
    NodeError,
    NodeFailure,
    NodeGone,
    NodeSpec,
    Presence,
    PullState,
)
from boathouse.dataplane.simulated import Delays, Fault, SimulatedDriver, SimulatedLink, Trouble, World

PINNED = "registry.example/base@sha256:" + "a" * 64
CLUSTER = "1123-120000-abcdefgh"


class Sim:
    """A world, its driver and link, and the hands of its clock."""

    def __init__(self, path: Path | None = None) -> None:
        self.time = 100.0
        self.world = World(path, clock=lambda: self.time, delays=Delays(pull=1, daemon=1, dial=1, container=1, ready=1))
        self.driver, self.link = SimulatedDriver(self.world), SimulatedLink(self.world)

    def node(self, number: int = 0, image: str | None = "sha256:x", incarnation: int = 1) -> NodeSpec:
        node_id = f"{CLUSTER}-{number}-{incarnation}"
        return NodeSpec(node_id, CLUSTER, number, Path("/nowhere"), Limits(1, 1), image)

    def up(self, number: int = 0) -> str:
        node = self.node(number)
        self.link.listen(node.node_id)
        self.driver.ensure(node)
        self.time += 5
        return node.node_id

    def processes(self, node_id: str) -> dict[str, Any]:
        return {one["name"]: one for one in self.link.call(node_id, "processes")}


@pytest.fixture
def sim() -> Iterator[Sim]:
    made = Sim()
    yield made
    made.world.close()


def test_things_take_their_time(sim: Sim) -> None:
    node = sim.node()
    sim.link.listen(node.node_id)
    assert sim.driver.ensure(node).daemon is Presence.STARTING
    sim.time += 1
    seen = sim.driver.ensure(node)
    assert (seen.daemon, seen.container, sim.link.connected(node.node_id)) == (Presence.RUNNING, Presence.STARTING, False)
    sim.time += 1
    assert sim.driver.ensure(node).container is Presence.RUNNING and sim.link.connected(node.node_id)


def test_a_slow_day(sim: Sim) -> None:
    sim.world.add(Trouble(Fault.SLOW, factor=10, lasts=100))
    sim.driver.ensure(sim.node())
    sim.time += 9
    assert sim.driver.inspect(CLUSTER)[0].daemon is Presence.STARTING
    sim.time += 2
    assert sim.driver.inspect(CLUSTER)[0].daemon is Presence.RUNNING


def test_a_driver_jvm_starts_and_is_healthy(sim: Sim) -> None:
    driver, worker = sim.up(0), sim.up(1)
    properties = base64.b64encode(b"spark.x=1\nboathouse.app.id=app-77\n").decode()
    sim.link.call(driver, "put_files", {"files": [{"path": "driver.properties", "mode": 0o600, "data": properties}]})
    assert sim.link.call(driver, "start", {"name": "driver", "argv": ["java"], "ready": True})["started"] is True
    assert sim.link.call(driver, "start", {"name": "driver", "argv": ["java"], "ready": True})["started"] is False
    assert sim.processes(driver)["driver"]["ready_payload"] is None
    sim.link.call(worker, "start", {"name": "executor-1", "argv": ["java"]})
    sim.time += 1
    payload = sim.processes(driver)["driver"]["ready_payload"]
    assert payload["app_id"] == "app-77"
    connection = http.client.HTTPConnection("node")
    connection.sock = sim.link.open(driver, f"tcp:127.0.0.1:{payload['http_port']}")
    connection.request("GET", "/health", headers={"Authorization": "Bearer x"})
    health = json.loads(connection.getresponse().read())
    assert health["state"] == "running" and [one["id"] for one in health["executors"]] == ["1"]
    connection.request("GET", "/sql/1")
    assert connection.getresponse().status == 501
    connection.close()


def test_no_command_is_ever_answered(sim: Sim) -> None:
    node = sim.up()
    assert sim.driver.simulated and sim.link.simulated
    with pytest.raises(NodeError, match="run no commands"):
        sim.link.call(node, "start", {"name": "repl-1", "argv": ["python"]})
    with pytest.raises(NodeError):
        sim.link.open(node, "channel:repl-1")
    with pytest.raises(NodeError):
        sim.link.call(node, "dance")


def test_executors_go_with_their_driver(sim: Sim) -> None:
    driver, worker = sim.up(0), sim.up(1)
    sim.link.call(driver, "start", {"name": "driver", "ready": True})
    sim.link.call(worker, "start", {"name": "executor-1"})
    assert sim.link.call(driver, "signal", {"name": "driver", "signal": "TERM"}) == {"delivered": True}
    assert sim.processes(driver)["driver"]["exit_code"] == 143
    assert sim.processes(worker)["executor-1"]["state"] == "exited"
    assert sim.link.call(driver, "signal", {"name": "driver", "signal": "TERM"}) == {"delivered": False}


@pytest.mark.parametrize(("fault", "daemon"), [(Fault.NODE_LOST, Presence.EXITED), (Fault.OUT_OF_MEMORY, Presence.RUNNING)])
def test_a_node_that_ends_is_struck_once_and_its_successor_lives(sim: Sim, fault: Fault, daemon: Presence) -> None:
    sim.world.add(Trouble(fault, number=0, after=3))
    sim.up()
    seen = sim.driver.inspect(CLUSTER)[0]
    assert (seen.daemon, seen.exit_code, seen.oom_killed) == (daemon, 137, fault is Fault.OUT_OF_MEMORY)
    sim.driver.delete(CLUSTER, seen.node_id)
    sim.driver.ensure(sim.node(incarnation=2))
    sim.time += 50
    assert sim.driver.inspect(CLUSTER)[0].container is Presence.RUNNING


def test_daemons_that_never_dial_and_tunnels_that_fall(sim: Sim) -> None:
    sim.world.add(Trouble(Fault.DAEMON_NEVER_DIALS, number=1))
    deaf = sim.up(1)
    assert not sim.link.connected(deaf)
    with pytest.raises(NodeGone):
        sim.link.call(deaf, "processes")
    other = sim.up(0)
    sim.world.add(Trouble(Fault.TUNNEL_DOWN, number=0, lasts=5))
    assert not sim.link.connected(other)
    sim.time += 5
    assert sim.link.connected(other)


def test_an_engine_that_is_away_for_a_while(sim: Sim) -> None:
    sim.world.add(Trouble(Fault.UNAVAILABLE, after=1, lasts=2))
    sim.driver.ensure(sim.node())
    sim.time += 1
    with pytest.raises(DriverUnavailable):
        sim.driver.ensure(sim.node())
    sim.time += 2
    assert sim.driver.ensure(sim.node()).daemon is Presence.RUNNING


def test_refusals_and_stuck_removals(sim: Sim) -> None:
    sim.world.add(Trouble(Fault.ENSURE_REFUSED, number=0, code="DOCKER_CONTAINER_CREATION_EXCEPTION", text="evidence"))
    with pytest.raises(NodeFailure) as refused:
        sim.driver.ensure(sim.node())
    assert (refused.value.code, refused.value.evidence) == ("DOCKER_CONTAINER_CREATION_EXCEPTION", "evidence")
    node = sim.up()
    sim.world.add(Trouble(Fault.DELETE_STUCK, times=2))
    assert [sim.driver.delete(CLUSTER, node) for _ in range(3)] == [False, False, True]


def test_processes_that_end_or_never_speak(sim: Sim) -> None:
    node = sim.up()
    sim.world.add(Trouble(Fault.PROCESS_EXITS, process="driver", after=2, code="1"))
    sim.world.add(Trouble(Fault.NEVER_READY, process="executor-1"))
    sim.link.call(node, "start", {"name": "driver", "ready": True})
    sim.link.call(node, "start", {"name": "executor-1", "ready": True})
    sim.time += 2
    found = sim.processes(node)
    assert (found["driver"]["state"], found["driver"]["exit_code"]) == ("exited", 1)
    assert (found["executor-1"]["state"], found["executor-1"]["ready_payload"]) == ("exited", None)


def test_pulls(sim: Sim) -> None:
    sim.world.add(Trouble(Fault.PULL_FAILS, text="manifest unknown"))
    failed = sim.driver.pull(PINNED, None)
    assert (failed.state, failed.error) == (PullState.FAILED, "manifest unknown")
    assert sim.driver.pull(PINNED, None).state is PullState.PULLING
    sim.time += 1
    there = sim.driver.pull(PINNED, None)
    assert there.state is PullState.PRESENT and sim.driver.local(PINNED) == there.image
    sim.world.add(Trouble(Fault.PULL_STALLS))
    stalled = PINNED.replace("a" * 64, "b" * 64)
    sim.driver.pull(stalled, None)
    sim.time += 10_000
    assert sim.driver.pull(stalled, None).state is PullState.PULLING


def test_the_world_outlives_the_control_plane(tmp_path: Path) -> None:
    first = Sim(tmp_path / "simulated.db")
    node = first.up()
    first.link.call(node, "start", {"name": "driver", "ready": True})
    first.world.add(Trouble(Fault.DELETE_STUCK))
    first.world.close()
    second = Sim(tmp_path / "simulated.db")
    second.time = 200
    assert second.driver.inspect(CLUSTER)[0].container is Presence.RUNNING
    assert not second.link.connected(node)
    second.link.listen(node)
    assert second.processes(node)["driver"]["ready_payload"]["app_id"] == f"app-{CLUSTER}"
    assert second.driver.delete(CLUSTER, node) is False
    second.world.close()


def test_networks_are_taken_from_the_first_gap_once_the_pool_was_gone_through() -> None:
    world = World(pool=IPv4Network("10.0.0.0/25"))
    places = [world.subnet(f"c{number}") for number in range(4)]
    with pytest.raises(LookupError, match="no free /27 in 10.0.0.0/25"):
        world.subnet("c4")
    for freed in (2, 0):
        with world.change() as db:
            db.execute("DELETE FROM network WHERE cluster_id = ?", (f"c{freed}",))
        assert world.subnet(f"again{freed}") == places[freed]


def test_a_trouble_of_another_connection_strikes_too(tmp_path: Path) -> None:
    ours, other = World(tmp_path / "w.db"), World(tmp_path / "w.db")
    assert ours.strike(Fault.DELETE_STUCK) is None
    other.add(Trouble(Fault.DELETE_STUCK))
    assert ours.strike(Fault.DELETE_STUCK) is not None
    assert other.strike(Fault.DELETE_STUCK) is None and ours.strike(Fault.DELETE_STUCK) is None
    ours.close()
    other.close()
