"""The control plane is killed after every single effect, and a new one takes over.

Effects: every call of a verb of the driver, of a daemon, of the node directories, and every transaction, just before and just
after it is durable. A story is played once; after each effect what outlives a SIGKILL is kept (committed rows, files, what runs,
the time), and from each of these moments a new control plane goes on to the end.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Moment:
    """What outlives the control plane. `files`: a copy of the data directory but for the database."""

    rows: bytes
    world: bytes
    files: Path
    now: int
    bucket: Any
    states: dict[str, list[str]]
    started: Counter[tuple[str, str]]

    @classmethod
    def of(cls, fleet: Any, bomb: "Effects", files: Path) -> "Moment":
        with closing(sqlite3.connect(fleet.data / "boathouse.db")) as reader, closing(sqlite3.connect(":memory:")) as copy:
            reader.backup(copy)
            rows = copy.serialize()
        shutil.copytree(fleet.data, files, ignore=shutil.ignore_patterns("boathouse.db*"))
        kept = deepcopy((fleet.bucket, fleet.states, bomb.started))
        return cls(rows, fleet.world._db.serialize(), files, fleet.clock(), *kept)


class Effects:
    """Counts effects while it is `armed`, and calls `after` for each."""

    def __init__(self) -> None:
        self.count, self.armed = 0, False
        self.after: Callable[[], None] = lambda: None
        self.started: Counter[tuple[str, str]] = Counter()

    def tick(self) -> None:
        if self.armed:
            self.count += 1
            self.after()


class Watched:
    """A thing whose calls are effects."""

    def __init__(self, thing: Any, effects: Effects, verbs: tuple[str, ...]) -> None:
        self._thing, self._effects, self._verbs = thing, effects, verbs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if name not in self._verbs:
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            answer = found(*arguments, **more)
            if name == "call":
                node, method, params = arguments[:3]
                if method == "start":
                    self._effects.started[node, params["name"]] += answer["started"]
                elif method in ("processes", "status"):
                    return answer
            self._effects.tick()
            return answer

        return call


VERBS = {
    "driver": ("ensure", "delete", "release", "pull"),
    "link": ("call", "listen", "forget"),
    "directories": ("prepare", "archive", "remove", "forget_logs"),
    "bucket": ("write",),
}


def watched(fleet: Any) -> Effects:
    """Have everything that the control plane does counted."""
    effects = Effects()
    fleet.wrap = lambda name, thing: Watched(thing, effects, VERBS[name])
    plain = fleet.store.transaction

    @contextmanager
    def transaction(durable: bool = True) -> Iterator[Any]:
        with plain(durable) as tx:
            yield tx
            effects.tick()
        effects.tick()

    fleet.store.transaction = transaction
    fleet.restart()
    return effects


Play = Callable[[Any, Effects], None]


def killed_after_every_effect(
    make: Callable[..., Any], play: Play, begin: Callable[[Any], None] | None = None, step: int = 1, first: int = 1
) -> Iterator[tuple[int, Any, Effects]]:
    """`make`: the fixture `fleet_of_its_own`. `begin(fleet)`: what comes before anybody is killed. `play(fleet, effects)`: from
    wherever the fleet is to the end. Gives the number of the effect (0: nobody was killed), the fleet and its effects at each
    end. With `step` and `first` every so manieth effect only."""
    moments: list[Moment] = []
    with make() as fleet:
        effects = watched(fleet)
        if begin is not None:
            begin(fleet)

        def keep() -> None:
            if effects.count >= first and (effects.count - first) % step == 0:
                moments.append(Moment.of(fleet, effects, fleet.data.with_name(f"{fleet.data.name}-{effects.count}")))

        effects.after, effects.armed = keep, True
        play(fleet, effects)
        effects.armed = False
        assert effects.count > 10
        yield 0, fleet, effects
    for at, moment in enumerate(moments):
        with make(moment) as fleet:
            effects = watched(fleet)
            effects.started.update(moment.started)
            play(fleet, effects)
            yield first + at * step, fleet, effects


def survive(fleet: Any, goal: Callable[[], bool], rounds: int = 800) -> None:
    """Rounds until the goal."""
    for _ in range(rounds):
        if goal():
            return
        fleet.step()
    raise AssertionError(f"no rest: {[(row.cluster_id, row.wish, row.state) for row in fleet.rows()]}")
