"""One use of a fleet file from beginning to end: read, look, plan, and then apply, tell, or take back. The command line calls
this."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from boathouse.provision import diff, doubles, found, people, undo
from boathouse.provision.api import Pace, Place
from boathouse.provision.diff import Action, Thing
from boathouse.provision.effects import Effects
from boathouse.provision.fleet import Fleet, load
from boathouse.provision.form import Missing
from boathouse.provision.journal import Journal, path_of
from boathouse.provision.people import Person
from boathouse.provision.problems import FleetError, Problem
from boathouse.provision.runner import Outcome, Runner
from boathouse.provision.wishes import Wish, wishes


@dataclass
class Session:
    """A fleet file that was read without a mistake, and the place it is for."""

    file: Path
    fleet: Fleet
    people: list[Person]
    wanted: list[Wish]
    threads: int = 8
    pace: Pace = field(default_factory=Pace)

    @classmethod
    def read(cls, file: Path, threads: int = 8, **start: Any) -> "Session":
        """Read a fleet file and its people; `start` are fields of its `start` that the command line says instead. Raises
        FleetError with everything that is wrong, before anything was asked of a server."""
        problems: list[Problem] = []
        fleet = load(file, problems)
        for name, value in start.items():
            if value is not None:
                setattr(fleet.start, name, value)
        everybody: list[Person] = []
        try:
            if fleet.people is not Missing:
                everybody = people.read(fleet, file.parent, problems)
        except FleetError as error:
            problems += error.problems
        wanted = wishes(fleet, everybody, problems)
        if problems:
            raise FleetError(problems)
        return cls(file, fleet, everybody, wanted, threads)

    def journal(self, place: Place, *, writing: bool) -> Journal:
        return Journal(path_of(self.file), place.name, self.fleet.fleet, writing=writing)

    def look(self, place: Place, journal: Journal, refresh: bool = False, more: Sequence[Wish] = ()) -> dict[str, Thing]:
        """What is there of what is wanted."""
        wanted = [*self.wanted, *more]
        return found.look(place, self.fleet.fleet, wanted, journal.records, self.threads, refresh)

    def plan(self, things: dict[str, Thing], journal: Journal) -> list[Action]:
        return diff.actions(self.wanted, things, journal.records)

    def apply(
        self, place: Place, journal: Journal, things: dict[str, Thing], planned: Iterable[Action],
        say: Callable[[Outcome], None] = lambda outcome: None, **more: Any,
    ) -> list[Outcome]:  # fmt: skip
        """Carry a plan out; where another run made the same clusters at the same time, until one of each is left and has what is
        wanted. `more` is handed to the runner."""
        start, planned = self.fleet.start, list(planned)
        look = more.pop("look", lambda known: found.clusters(place, self.fleet.fleet, known))
        wave = start.wave if start.clusters == "stagger" else 0
        outcomes: list[Outcome] = []
        if doubles.met(planned, journal.records) and doubles.end(place, self.fleet.fleet, journal):
            things = self.look(place, journal)
            planned = self.plan(things, journal)
        while True:
            watch = partial(_looked, look, things)
            runner = Runner(Effects(place, things), journal, threads=self.threads, wave=wave, look=watch, say=say, **more)
            outcomes += runner.run(planned)
            if not doubles.possible(planned) or not doubles.end(place, self.fleet.fleet, journal):
                return outcomes
            things = self.look(place, journal)
            planned = self.plan(things, journal)

    def gone(self, journal: Journal) -> list[str]:
        """People of whom the journal knows and the file does not any more."""
        here = {person.user for person in self.people}
        return sorted({journal.whose.get(id, "") for id in journal.records} - here - {""})

    def unwanted(self, journal: Journal) -> list[str]:
        """Identities of what was made or changed for those who are in the file, or for all, and is not in it any more."""
        here, wanted = {person.user for person in self.people} | {""}, {wish.id for wish in self.wanted}
        return sorted(
            id for id, record in journal.records.items()
            if id not in wanted and journal.whose.get(id, "") in here and (record.made or record.open or record.undo)
            and not id.startswith(("launch ", "stop "))
        )  # fmt: skip

    def undo_steps(self, place: Place, journal: Journal, persons: frozenset[str] = frozenset()) -> list[undo.Step]:
        """What takes everything back that this fleet made (for `persons` alone when they are given)."""
        stubs = undo.stubs(journal)
        things = found.look(place, self.fleet.fleet, stubs, {}, self.threads)
        return undo.steps(journal.records, things, journal.whose, persons)


def _looked(look: Callable[[dict[str, Thing]], Any], things: dict[str, Thing]) -> Any:
    """A look with a copy of what is known: effects add to it meanwhile."""
    return look(things.copy())
