"""The same fleet applied from two machines at once, each with a journal of its own: however they overlap, there is one of
everything, everybody has what is wanted, and nothing that somebody else made is taken away."""

from collections.abc import Callable
from typing import Any

import pytest

from boathouse.provision import doubles
from boathouse.provision.api import Place
from tests.provision.conftest import Desk
from tests.provision.platform import Killed, Platform

Make = Callable[..., Desk]

#: What becomes of the clusters; a cluster that was stopped again is not found by its token.
STARTS = ["{clusters: none}", "{clusters: all}", "{clusters: stagger, wave: 1, then: stop}"]


class Other(Platform):
    """The same platform by another principal: tokens are each principal's own."""

    def __init__(self, one: Platform) -> None:
        self._one = one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._one, name)

    def do(self, method: str, path: str, query: Any = None, body: Any = None) -> Any:
        if body and "idempotency_token" in body:
            body = {**body, "idempotency_token": f"other's {body['idempotency_token']}"}
        return self._one.do(method, path, query, body)

    def place(self, account: bool = False) -> Place:
        place = self._one.place(account)
        return Place(self, place.host, place.workspace_id, self if account else None, place.account_id)


def names(platform: Platform) -> list[str]:
    return sorted(each["cluster_name"] for each in platform.clusters.values())


@pytest.mark.parametrize("principals", [1, 2])
@pytest.mark.parametrize("start", STARTS)
def test_one_applies_the_whole_fleet_after_any_effect_of_the_other(desk: Make, start: str, principals: int):
    alone = desk("alone", start=start)
    alone.apply()
    alone.platform.tick()
    expected, effects = alone.platform.state(), len(alone.platform.effects)
    for number in range(1, effects + 1, 1 if principals == 2 else 3):
        one = desk(f"one {number}", start=start)
        other = desk(f"other {number}", start=start, platform=Other(one.platform) if principals == 2 else one.platform)
        one.platform.meanwhile[number] = other.apply
        assert [outcome for outcome in one.apply() if outcome.end != "done"] == [], number
        one.platform.tick()
        assert one.platform.state() == expected, f"the other came after effect {number}: {one.platform.effects[number - 1]}"
        assert other.apply() == [] and one.apply() == [], number


def test_the_elder_stays_whoever_made_it_and_however_often_it_was_started(desk: Make):
    one = desk("one", start="{clusters: none}")
    other = desk("other", start="{clusters: none}", platform=Other(one.platform))
    session, place = other.session(), other.platform.place()
    with session.journal(place, writing=True) as journal:
        things = session.look(place, journal)
        planned = session.plan(things, journal)
        one.apply()
        one.platform.tick()
        for each in one.platform.clusters.values():  # its user starts it meanwhile
            one.platform.do("POST", "/api/2.1/clusters/start", body={"cluster_id": each["cluster_id"]})
        elder = set(one.platform.clusters)
        session.apply(place, journal, things, planned)
    assert set(one.platform.clusters) == elder
    assert {each["state"] for each in one.platform.clusters.values()} == {"PENDING"}, "it is in use, and stays so"
    assert other.undo() == []
    assert set(one.platform.clusters) == elder, "undo takes back what was made here"


def test_a_double_that_a_killed_run_left_goes_with_the_next(desk: Make):
    one = desk("one", start="{clusters: none}")
    other = desk("other", start="{clusters: none}", platform=Other(one.platform))
    session, place = other.session(), other.platform.place()
    with session.journal(place, writing=True) as journal:
        things = session.look(place, journal)
        planned = session.plan(things, journal)
        one.apply()
        one.platform.tick()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(doubles, "end", _die)
            session.apply(place, journal, things, planned)
    one.platform.tick()
    assert len(names(one.platform)) == 6
    assert {outcome.end for outcome in other.apply()} <= {"done"}
    assert names(one.platform) == ["lab-ann", "lab-bob", "lab-celik_a"]


def _die(*_: Any) -> int:
    raise Killed


def test_a_cluster_that_a_user_cloned_with_name_and_tag_is_left_alone(desk: Make):
    d = desk("d", start="{clusters: none}")
    d.apply()
    (ann,) = [each for each in d.platform.clusters.values() if each["cluster_name"] == "lab-ann"]
    d.platform.do("POST", "/api/2.1/clusters/create", body={**ann, "idempotency_token": "hers"})
    (d.folder / "people.csv").write_text((d.folder / "people.csv").read_text() + "dan@x.org,Dan\n")
    d.apply()
    assert names(d.platform) == ["lab-ann", "lab-ann", "lab-bob", "lab-celik_a", "lab-dan"]
