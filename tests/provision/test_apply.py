"""Plan, apply, apply again, undo, on a platform in memory; killed after every effect, refused, in waves, by two at once."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from boathouse.provision import found
from boathouse.provision.api import Refused
from boathouse.provision.journal import Journal
from boathouse.provision.problems import FleetError
from tests.provision.conftest import Desk
from tests.provision.platform import Killed, Platform

Make = Callable[..., Desk]
BOTH = pytest.mark.parametrize("account", [False, True], ids=["workspace", "account"])


def ends(outcomes: list[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.end, []).append(outcome.action.id)
    return found


@BOTH
def test_everything_is_made_and_a_second_run_has_nothing_to_do(desk: Make, account: bool):
    d = desk(account=account)
    planned = d.plan()
    assert not d.platform.effects, "a plan changes nothing"
    assert all(line.startswith("create ") for line in planned)
    assert set(ends(d.apply())) == {"done"}
    state = d.platform.state()
    assert state["users"] == sorted(["ann@x.org", "bob@x.org", "çelik+a@x.org"])
    assert state["groups"] == {"rowers": state["users"]}
    assert state["schemas"] == ["main.ann", "main.bob", "main.celik_a", "main.default"]
    assert state["grants"]["schema", "main.ann"] == {"ann@x.org": ["CREATE_TABLE", "USE_SCHEMA"]}
    assert state["permissions"]["lab-bob"] == {("user_name", "bob@x.org"): "CAN_RESTART"}
    assert {kind for _, kind in state["clusters"]} == {"TERMINATING"}
    d.platform.effects.clear()
    d.platform.calls.clear()
    assert d.plan() == []
    assert d.apply() == []
    assert d.platform.effects == []
    assert not [call for call in d.platform.calls if "permissions/clusters" in call or "unity-catalog/permissions" in call]
    assert d.plan(refresh=True) == []


@BOTH
def test_undo_removes_what_was_made_and_nothing_else(desk: Make, account: bool):
    d = desk(account=account)
    d.apply()
    assert d.undo() == []
    empty = Platform().state()
    assert {**d.platform.state(), "grants": {}, "permissions": {}} == empty
    assert d.undo() == [], "a second time there is nothing to take back"
    assert set(ends(d.apply())) == {"done"}, "and it can be made again"


def test_what_was_there_before_is_adopted_and_stays_after_undo(desk: Make):
    d = desk()
    p = d.platform
    p.users["ann@x.org"] = {"id": "900", "userName": "ann@x.org", "displayName": "Ann the First"}
    p.groups["rowers"] = {"id": "901", "displayName": "rowers", "members": {"900"}}
    p.catalogs["main"] = {"name": "main", "full_name": "main", "created_at": 5}
    p.schemas["main.ann"] = {"name": "ann", "catalog_name": "main", "full_name": "main.ann", "created_at": 6, "comment": "old"}
    p.grants["schema", "main.ann"] = {"ann@x.org": {"USE_SCHEMA"}, "eve@x.org": {"SELECT"}}
    before = p.state()
    planned = d.plan()
    assert "change schema main.ann" in planned and "change grant schema main.ann to ann@x.org" in planned
    assert "change user ann@x.org" in planned and "create member rowers ann@x.org" not in planned
    d.apply()
    assert p.state()["grants"]["schema", "main.ann"] == {"ann@x.org": ["CREATE_TABLE", "USE_SCHEMA"], "eve@x.org": ["SELECT"]}
    assert d.undo() == []
    assert p.state()["users"] == before["users"] and p.state()["schemas"] == ["main.ann"]
    assert p.state()["grants"]["schema", "main.ann"] == before["grants"]["schema", "main.ann"]
    assert p.state()["groups"] == before["groups"]
    assert p.users["ann@x.org"].get("entitlements") == []


@BOTH
@pytest.mark.parametrize("start", ["{}", "{clusters: stagger, wave: 2, then: stop}"], ids=["none", "stagger"])
def test_a_run_that_is_killed_after_any_effect_goes_on_to_the_same_end(desk: Make, account: bool, start: str):
    whole = desk("whole", account=account, start=start)
    whole.apply()
    whole.platform.tick()
    expected, effects = whole.platform.state(), len(whole.platform.effects)
    for number in range(1, effects + 1):
        d = desk(f"k{number}", account=account, start=start)
        d.platform.kill_after = number
        with pytest.raises(Killed):
            d.apply()
        d.platform.kill_after, d.platform.dead = None, False
        assert set(ends(d.apply())) <= {"done"}
        d.platform.tick()
        assert d.platform.state() == expected, f"killed after effect {number}: {d.platform.effects[number - 1]}"
        assert d.plan() == []
        assert d.undo() == []
        assert {**d.platform.state(), "grants": {}, "permissions": {}} == Platform().state(), f"undo after a kill at {number}"


def test_undo_right_after_a_kill_takes_back_what_nobody_wrote_down(desk: Make):
    whole = desk("whole")
    whole.apply()
    for number in range(1, len(whole.platform.effects) + 1):
        d = desk(f"k{number}")
        d.platform.kill_after = number
        with pytest.raises(Killed):
            d.apply()
        d.platform.kill_after, d.platform.dead = None, False
        assert d.undo() == []
        assert {**d.platform.state(), "grants": {}, "permissions": {}} == Platform().state(), number


def test_an_undo_that_is_killed_goes_on(desk: Make):
    d = desk()
    d.apply()
    made = len(d.platform.effects)
    number = made
    while True:
        number += 1
        d.platform.kill_after = number
        try:
            d.undo()
            break
        except Killed:
            d.platform.dead = False
    assert {**d.platform.state(), "grants": {}, "permissions": {}} == Platform().state()


def test_new_people_tomorrow_are_the_same_file_with_more_rows(desk: Make):
    d = desk()
    d.apply()
    with open(d.folder / "people.csv", "a") as people:
        people.write("dan@x.org,Dan\n")
    planned = d.plan()
    assert planned and all("dan" in line for line in planned)
    assert set(ends(d.apply())) == {"done"}
    (d.folder / "people.csv").write_text("user,name\ndan@x.org,Dan\n")
    session, place = d.session(), d.platform.place()
    with session.journal(place, writing=False) as journal:
        assert session.gone(journal) == ["ann@x.org", "bob@x.org", "çelik+a@x.org"]
    assert d.undo(frozenset(["bob@x.org"])) == []
    state = d.platform.state()
    assert "bob@x.org" not in state["users"] and "ann@x.org" in state["users"] and "main.bob" not in state["schemas"]


def test_a_changed_file_is_a_change_of_what_differs(desk: Make):
    d = desk()
    d.apply()
    d.platform.tick()
    d.file.write_text(d.file.read_text().replace("m5.large", "m5.xlarge").replace("CAN_RESTART", "CAN_MANAGE"))
    planned = d.plan()
    assert sorted({line.split(" ")[0] + " " + line.split(" ")[1] for line in planned}) == ["change cluster", "change permission"]
    assert set(ends(d.apply())) == {"done"} and d.plan() == []
    assert {each["node_type_id"] for each in d.platform.clusters.values()} == {"m5.xlarge"}
    assert {state for _, state in d.platform.state()["clusters"]} == {"TERMINATED"}, "nothing is started by a change"


def test_what_is_no_longer_wanted_is_named(desk: Make):
    d = desk()
    d.apply()
    d.file.write_text(d.file.read_text().replace("  permissions: [{on: 'cluster lab-${slug}', level: CAN_RESTART}]\n", ""))
    (d.folder / "people.csv").write_text("user,name\nann@x.org,Ann\n")
    session, place = d.session(), d.platform.place()
    with session.journal(place, writing=False) as journal:
        assert session.unwanted(journal) == ["permission cluster lab-ann to ann@x.org"], "those who left are named themselves"
    assert d.plan() == [], "nothing is taken away by itself"


def test_a_failure_stops_only_what_needs_it(desk: Make):
    d = desk()
    d.platform.refuse["POST", "2.1/clusters/create"] = Refused("QUOTA_EXCEEDED", "no more clusters")
    found = ends(d.apply())
    assert [each.split(" ")[0] for each in found["failed"]] == ["cluster"] * 3
    assert {each.split(" ")[0] for each in found["skipped"]} == {"permission", "stop"}
    assert len(d.platform.schemas) == 4  # with the default one
    d.platform.refuse.clear()
    assert set(ends(d.apply())) == {"done"} and d.plan() == []


def test_an_answer_that_never_came_is_looked_after(desk: Make):
    d = desk()
    d.platform.refuse["POST", "Users$"] = Refused("", "ReadTimeout", unsure=True)
    d.apply()
    d.platform.refuse.clear()
    d.platform.users["ann@x.org"] = {"id": "900", "userName": "ann@x.org"}  # the call had been done all the same
    d.apply()
    assert d.undo() == []
    assert d.platform.state()["users"] == []


def test_what_another_made_at_the_same_moment_is_found_and_not_ours(desk: Make):
    d = desk()
    session, place = d.session(), d.platform.place()
    with session.journal(place, writing=True) as journal:
        things = session.look(place, journal)
        planned = session.plan(things, journal)
        d.platform.users["ann@x.org"] = {"id": "900", "userName": "ann@x.org", "entitlements": [{"value": "workspace-access"}]}
        d.platform.catalogs["main"] = {"name": "main", "full_name": "main", "created_at": 5}
        outcomes = session.apply(place, journal, things, planned)
    assert set(ends(outcomes)) == {"done"}
    assert d.undo() == []
    assert d.platform.state()["users"] == ["ann@x.org"] and d.platform.state()["catalogs"] == ["main"]


def test_clusters_start_in_waves(desk: Make):
    d = desk(start="{clusters: stagger, wave: 1, then: stop}")
    outcomes = d.apply()
    assert set(ends(outcomes)) == {"done"} and d.platform.most_active == 1
    d.platform.tick()
    assert {state for _, state in d.platform.state()["clusters"]} == {"TERMINATED"}
    assert d.plan() == []


def test_clusters_that_are_left_run(desk: Make):
    d = desk(start="{clusters: all}")
    assert set(ends(d.apply())) == {"done"}
    assert {state for _, state in d.platform.state()["clusters"]} == {"RUNNING"}
    for each in d.platform.clusters.values():
        each["state"] = "TERMINATED"  # idle, later
    assert d.plan() == [], "a cluster is started once: who stops it later is not disturbed"


def test_a_cluster_that_does_not_start_is_a_failure_and_gives_its_place_away(desk: Make):
    d = desk(start="{clusters: stagger, wave: 1}")
    d.platform.fails_to_start = {"lab-ann"}
    outcomes = d.apply()
    (failed,) = [outcome for outcome in outcomes if outcome.end == "failed"]
    assert failed.message == "did not start: DOCKER_IMAGE_PULL_FAILURE (image: x)"
    assert len([1 for outcome in outcomes if outcome.action.wish.kind == "launch" and outcome.end == "done"]) == 2
    d.platform.fails_to_start = set()
    assert ends(d.apply()) == {"done": ["launch lab-ann"]}


@pytest.mark.parametrize(("start", "room"), [("{clusters: stagger, wave: 3, then: stop}", 1), ("{clusters: all, then: stop}", 2)])
def test_a_start_without_room_waits_for_one_of_its_wave_to_go(desk: Make, start: str, room: int):
    d = desk(start=start)
    d.platform.room = room
    assert set(ends(d.apply())) == {"done"}
    assert d.plan() == []


def test_a_start_whose_lack_of_room_is_seen_after_the_other_went_is_begun_again(desk: Make):
    d = desk(start="{clusters: stagger, wave: 2, then: stop}", people="user,name\nann@x.org,Ann\nbob@x.org,Bob\n")
    session, place = d.session(), d.platform.place()
    refused: list[str] = []

    def look(known: Any) -> Any:
        """The first of the two to start runs; for the other there was no room, which shows when the first has gone."""
        there = list(d.platform.clusters.values())
        if len(there) == 2:
            first, second = there
            if not refused and first["state"] == "TERMINATED":
                second.update(state="TERMINATED", termination_reason={"code": "CLOUD_PROVIDER_RESOURCE_STOCKOUT"})
                refused.append(second["cluster_id"])
            else:
                for each in there if refused else [first]:
                    each["state"] = {"PENDING": "RUNNING", "TERMINATING": "TERMINATED"}.get(each["state"], each["state"])
        return found.clusters(place, session.fleet.fleet, known)

    with session.journal(place, writing=True) as journal:
        things = session.look(place, journal)
        outcomes = session.apply(place, journal, things, session.plan(things, journal), look=look, look_every=0.0)
    assert refused and set(ends(outcomes)) == {"done"}
    assert d.plan() == []


def test_without_any_room_a_start_fails_and_the_next_run_tries_again(desk: Make):
    d = desk(start="{clusters: stagger, wave: 2}")
    d.platform.room = 1  # the first stays, as the file says: nobody makes room
    outcomes = d.apply()
    failed = [outcome for outcome in outcomes if outcome.end == "failed"]
    assert len(failed) == 2 and all("STOCKOUT" in outcome.message for outcome in failed)
    d.platform.room = None
    assert len(ends(d.apply())["done"]) == 2


def test_two_runs_at_once_are_refused_by_name(desk: Make):
    d = desk()
    session, place = d.session(), d.platform.place()
    with session.journal(place, writing=True), pytest.raises(FleetError, match="another run of this fleet holds it"):
        session.journal(place, writing=True)


def test_a_journal_of_another_place_is_refused(desk: Make):
    d = desk()
    d.apply()
    path = d.file.with_suffix(".journal")
    with pytest.raises(FleetError, match="tells of https://p.example workspace 77, and this is elsewhere"):
        Journal(path, "elsewhere", "lab", writing=False)


@pytest.mark.parametrize("writing", [False, True])
def test_a_journal_of_another_fleet_is_refused(desk: Make, writing: bool):
    d = desk()
    d.apply()
    d.file = d.file.rename(d.file.with_suffix(".yml"))  # the same stem, so the same journal
    d.file.write_text(d.file.read_text().replace("fleet: lab", "fleet: port"))
    before = d.file.with_suffix(".journal").read_bytes()
    with pytest.raises(FleetError, match="tells of the fleet 'lab', and this is 'port'"):
        d.session().journal(d.platform.place(), writing=writing)
    assert d.file.with_suffix(".journal").read_bytes() == before


def test_a_line_that_was_cut_is_left_out_and_a_broken_one_named(desk: Make):
    d = desk()
    d.apply()
    path = d.file.with_suffix(".journal")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event":"did","id":"us')
    assert d.apply() == []
    assert all(json.loads(line) for line in path.read_bytes().splitlines())
    path.write_bytes(b"no journal\n" + whole)
    with pytest.raises(FleetError, match="line 1: is not a line of a journal"):
        d.apply()
