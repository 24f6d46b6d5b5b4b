"""The control plane is killed after every single effect (`moments`): whatever the instruction, the story ends as if nothing had
happened: same state, same events, nothing made twice, nothing left over."""

from typing import Any

import pytest

from boathouse.dataplane.simulated import Fault, Trouble
from tests.compute.launch.moments import killed_after_every_effect, survive

CLUSTER = "1123-120000-aaaaaaaa"


def launch(fleet: Any) -> None:
    fleet.create(CLUSTER, num_workers=1, docker_image={"url": "registry.example.com/team/image:1"})


def launched(fleet: Any) -> None:
    launch(fleet)
    fleet.settle()


def and_restart(fleet: Any) -> None:
    launched(fleet)
    fleet.again(CLUSTER)


def and_delete(fleet: Any) -> None:
    launched(fleet)
    fleet.delete(CLUSTER)


def and_delete_for_ever(fleet: Any) -> None:
    launched(fleet)
    fleet.delete_for_ever(CLUSTER)


def with_a_driver_that_fails(fleet: Any) -> None:
    fleet.world.add(Trouble(Fault.PROCESS_EXITS, process="driver", code="1", times=None))
    launch(fleet)


def and_lose_a_worker(fleet: Any) -> None:
    launched(fleet)
    fleet.world.add(Trouble(Fault.NODE_LOST, number=1))
    while fleet.state(CLUSTER) != "RESIZING":
        fleet.step()


def and_grow(fleet: Any) -> None:
    launched(fleet)
    fleet.resize(CLUSTER, 2)


def and_shrink(fleet: Any) -> None:
    fleet.create(CLUSTER, num_workers=2)
    fleet.settle()
    fleet.resize(CLUSTER, 1)


def and_scale(fleet: Any) -> None:
    fleet.create(CLUSTER, num_workers=None, autoscale={"min_workers": 1, "max_workers": 2})
    fleet.settle()
    fleet.world.set_load(CLUSTER, 8)
    while fleet.state(CLUSTER) != "RESIZING":
        fleet.step()


def and_delete_with_logs_to_deliver(fleet: Any) -> None:
    fleet.create(CLUSTER, num_workers=1, cluster_log_conf={"dbfs": {"destination": "dbfs:/logs"}})
    fleet.settle()
    for node in fleet.nodes(CLUSTER):
        (fleet.directories.path(node) / "logs" / "driver.stdout").write_text(f"the last words of {node}")
    fleet.delete(CLUSTER)


def outcome(fleet: Any) -> dict[str, Any]:
    """What must be the same whether or not somebody was killed."""
    row = fleet.row(CLUSTER)
    facts = {} if row is None else row.facts
    return {
        "state": fleet.state(CLUSTER),
        "reason": None if row is None else (row.termination_reason or {}).get("code"),
        "events": fleet.events(CLUSTER),
        "rows": fleet.nodes(CLUSTER),
        "running": fleet.running(),
        "processes": fleet.processes(),
        "directories": fleet.directories.present(),
        "networks": len(fleet.world.rows("SELECT * FROM network")),
        "image": (facts.get("image") or {}).get("digest"),
        "launch": row.launch if row is not None else 0,
        "delivered": fleet.bucket.files,
    }


def with_init_scripts(fleet: Any) -> None:
    scripts = [{"workspace": {"destination": "/Shared/a.sh"}}, {"file": {"destination": "file:/opt/b.sh"}}]
    fleet.create(CLUSTER, num_workers=1, docker_image={"url": "registry.example.com/team/image:1"}, init_scripts=scripts)


STORIES = [
    launch, with_init_scripts, and_restart, and_delete, and_delete_for_ever, with_a_driver_that_fails, and_lose_a_worker,
    and_delete_with_logs_to_deliver,
]  # fmt: skip
STORIES += [and_grow, and_shrink, and_scale]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_killed_after_every_effect(story, fleet_of_its_own):
    def play(fleet: Any, _effects: Any) -> None:
        survive(fleet, lambda: all(fleet.settled(row) for row in fleet.rows()))

    expected: dict[str, Any] = {}
    for at, fleet, effects in killed_after_every_effect(fleet_of_its_own, play, begin=story):
        came_to = outcome(fleet)
        expected = expected or came_to
        assert came_to == expected, f"killed after effect {at}"
        assert {key: count for key, count in effects.started.items() if count > 1} == {}, f"killed after effect {at}"
        seen = fleet.states.get(CLUSTER, [])
        assert "ERROR" not in seen and seen.count("TERMINATED") <= 1, f"killed after effect {at}: {seen}"
        if expected["state"] == "RUNNING":
            assert "TERMINATED" not in seen and "TERMINATING" not in seen, f"killed after effect {at}: {seen}"
