"""The stand-in for the engine's driver: before it is found, when there is none, and when it is started later."""

import pytest

from boathouse.compute.surroundings import way_out
from boathouse.dataplane.contract import DriverUnavailable, NodeFailure
from boathouse.server.planes import EngineSearch


class Driver:
    egress = False

    def inspect(self, cluster_id: str) -> list[str]:
        return [cluster_id]

    def close(self) -> None:
        """Nothing is open."""


class Machine:
    """An engine that may be there or not, and a clock."""

    def __init__(self) -> None:
        self.running, self.now, self.looks = False, 100.0, 0

    def search(self) -> Driver:
        self.looks += 1
        if not self.running:
            raise RuntimeError("no engine answers")
        return Driver()


def test_before_the_search_is_over_everybody_is_asked_to_look_again():
    found = EngineSearch(Machine().search)
    with pytest.raises(DriverUnavailable, match="being looked for"):
        found.inspect("c")
    assert way_out(found), "nobody can say yet"


def test_once_found_calls_are_passed_on():
    machine = Machine()
    machine.running = True
    found = EngineSearch(machine.search)
    found.begin()
    assert found.wait(10) == ""
    assert found.inspect("c") == ["c"] and not way_out(found)


def test_where_there_is_none_a_launch_fails_with_what_to_do():
    found = EngineSearch(Machine().search)
    found.begin()
    assert found.wait(10) == "no engine answers"
    with pytest.raises(NodeFailure, match="boathouse doctor"):
        found.ensure(None)
    with pytest.raises(DriverUnavailable, match="no engine answers"):
        found.inspect("c")


def test_an_engine_that_is_started_later_is_found():
    machine = Machine()
    found = EngineSearch(machine.search, lambda: machine.now)
    found.begin()
    found.wait(10)
    machine.running = True
    with pytest.raises(DriverUnavailable):
        found.inspect("c")
    assert machine.looks == 1, "it is not looked for at every call"
    machine.now += EngineSearch.PAUSE_SECONDS
    found._over.clear()
    with pytest.raises(DriverUnavailable):
        found.inspect("c")
    assert found.wait(10) == ""
    assert found.inspect("c") == ["c"]


def test_room_for_images_is_known_of_the_embedded_engine_only(tmp_path):
    from types import SimpleNamespace

    from boathouse.server.planes import room

    for embedded in (True, False):
        search = EngineSearch(lambda embedded=embedded: SimpleNamespace(engine=SimpleNamespace(embedded=embedded)))
        assert room(tmp_path, search.embedded) is None, "no engine yet"
        search.begin()
        assert search.wait(10) == ""
        assert bool(room(tmp_path, search.embedded)) is embedded
