"""The control plane is killed after every single effect, one run an effect, and a new one takes over.

Effects: every call of a verb of the driver, of a daemon, of the node directories, and every transaction, just before
and just after it is durable. Whatever the instruction, the story ends as if nothing had happened: same state, same
events, nothing made twice, nothing left over.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

from boathouse.dataplane.simulated import Fault, Trouble

CLUSTER = "1123-120000-aaaaaaaa"


class Killed(BaseException):
    """SIGKILL, as far as Python can have it: no handler of ours may catch it."""


class Bomb:
    """Goes off after the effect number `at`, once; counts them all."""

    def __init__(self) -> None:
        self.at, self.count, self.armed = 0, 0, False
        self.started: Counter[tuple[str, str]] = Counter()
        self.ensured: set[str] = set()

    def tick(self) -> None:
        if not self.armed:
            return
        self.count += 1
        if self.count == self.at:
            self.armed = False
            raise Killed(self.count)


class Watched:
    """A thing whose calls are effects."""

    def __init__(self, thing: Any, bomb: Bomb, verbs: tuple[str, ...]) -> None:
        self._thing, self._bomb, self._verbs = thing, bomb, verbs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if name not in self._verbs:
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            answer = found(*arguments, **more)
            if name == "ensure":
                self._bomb.ensured.add(arguments[0].node_id)
            if name == "call":
                node, method, params = arguments[:3]
                if method == "start":
                    self._bomb.started[node, params["name"]] += answer["started"]
                elif method in ("processes", "status"):
                    return answer
            self._bomb.tick()
            return answer

        return call


VERBS = {
    "driver": ("ensure", "delete", "release", "pull"),
    "link": ("call", "listen", "forget"),
    "directories": ("prepare", "archive", "remove", "forget_logs"),
    "bucket": ("write",),
}


def explosive(fleet: Any) -> Bomb:
    """Put the bomb under everything that the control plane does."""
    bomb = Bomb()
    fleet.wrap = lambda name, thing: Watched(thing, bomb, VERBS[name])
    plain = fleet.store.transaction

    @contextmanager
    def transaction(durable: bool = True):
        with plain(durable) as tx:
            yield tx
            bomb.tick()
        bomb.tick()

    fleet.store.transaction = transaction
    fleet.restart()
    return bomb


def survive(fleet: Any, bomb: Bomb, goal: Callable[[], bool], rounds: int = 800) -> None:
    """Rounds until the goal, with a new control plane whenever the old one is killed."""
    for _ in range(rounds):
        if goal():
            return
        try:
            fleet.step()
        except Killed:
            fleet.restart()
    raise AssertionError(f"no rest: {fleet.state(CLUSTER)}")


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
    at = 0
    expected: dict[str, Any] | None = None
    while True:
        with fleet_of_its_own() as fleet:
            bomb = explosive(fleet)
            story(fleet)
            bomb.at, bomb.armed = at, True
            survive(fleet, bomb, lambda fleet=fleet: all(fleet.settled(row) for row in fleet.rows()))
            came_to = outcome(fleet)
            if expected is None:
                expected = came_to
            assert came_to == expected, f"killed after effect {at}"
            assert {key: count for key, count in bomb.started.items() if count > 1} == {}, f"killed after effect {at}"
            seen = fleet.states.get(CLUSTER, [])
            assert "ERROR" not in seen and seen.count("TERMINATED") <= 1, f"killed after effect {at}: {seen}"
            if expected["state"] == "RUNNING":
                assert "TERMINATED" not in seen and "TERMINATING" not in seen, f"killed after effect {at}: {seen}"
            if at and bomb.armed:
                return  # there were fewer effects than this: all of them have been tried
        at += 1
