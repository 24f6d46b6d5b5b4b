"""A fleet of three people on a platform in memory; every run is a new process as far as the journal knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boathouse.provision.session import Session
from tests.provision.platform import Platform

FLEET = """
fleet: lab
people: people.csv
account: {account}
variables: {{catalog: main, size: small}}
once:
  groups: [{{name: rowers, entitlements: [workspace-access]}}]
  catalogs: [{{name: '${{catalog}}'}}]
  policies: [{{name: Lab, definition: {{spark_version: {{type: unlimited}}}}}}]
  grants: [{{on: 'catalog ${{catalog}}', to: rowers, privileges: [USE CATALOG]}}]
  permissions: [{{on: cluster-policy Lab, group: rowers, level: CAN_USE}}]
each:
  groups: [rowers]
  entitlements: [workspace-access]
  schemas: [{{name: '${{catalog}}.${{slug}}', comment: 'of ${{name}}'}}]
  grants: [{{on: 'schema ${{catalog}}.${{slug}}', privileges: [USE_SCHEMA, CREATE_TABLE]}}]
  clusters:
    - {{cluster_name: 'lab-${{slug}}', policy: Lab, spark_version: 17.3.x-scala2.13, node_type_id: m5.large, num_workers: 0,
       single_user_name: '${{user}}'}}
  permissions: [{{on: 'cluster lab-${{slug}}', level: CAN_RESTART}}]
start: {start}
"""
PEOPLE = "user,name\nann@x.org,Ann\nBob@x.org,Bob\nçelik+a@x.org,Çelik\n"


class Desk:
    """A fleet file and a platform. `apply()` is one run of the command."""

    def __init__(
        self, folder: Path, account: bool = False, start: str = "{}", people: str = PEOPLE, platform: Platform | None = None
    ) -> None:
        self.folder, self.account, self.platform = folder, account, platform or Platform()
        folder.mkdir(exist_ok=True)
        self.file = folder / "lab.yaml"
        self.file.write_text(FLEET.format(account=str(account).lower(), start=start))
        (folder / "people.csv").write_text(people)

    def session(self, **start: Any) -> Session:
        return Session.read(self.file, 4, **start)

    def plan(self, refresh: bool = False) -> list[str]:
        """What would be done, as `what identity`."""
        session, place = self.session(), self.platform.place(self.account)
        with session.journal(place, writing=False) as journal:
            planned = session.plan(session.look(place, journal, refresh), journal)
        return [f"{action.what} {action.id}" for action in planned if action.what != "nothing"]

    def apply(self, **start: Any) -> list[Any]:
        session, place = self.session(**start), self.platform.place(self.account)
        with session.journal(place, writing=True) as journal:
            things = session.look(place, journal)
            look = _ticking(self.platform, session, place)
            return session.apply(place, journal, things, session.plan(things, journal), look=look, look_every=0.0)

    def undo(self, persons: frozenset[str] = frozenset(), force: bool = False) -> list[str]:
        """What failed."""
        from boathouse.provision import undo

        session, place = self.session(), self.platform.place(self.account)
        with session.journal(place, writing=True) as journal:
            ended = undo.run(place, journal, session.undo_steps(place, journal, persons), threads=4, force=force)
        return [f"{step.id}: {message}" for step, message in ended if message]


def _ticking(platform: Platform, session: Session, place: Any) -> Callable[[Any], Any]:
    from boathouse.provision import found

    def look(known: Any) -> Any:
        platform.tick()
        return found.clusters(place, session.fleet.fleet, known)

    return look


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    """`desk(account=..., start="{clusters: stagger}")`."""
    return lambda name="d", **more: Desk(tmp_path / name, **more)
