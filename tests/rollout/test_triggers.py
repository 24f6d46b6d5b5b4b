"""What starts roll-outs by itself: when it is due, what it waits for, as whom it acts."""

import pytest

from boathouse.identity import registry
from boathouse.images.advisories.model import Finding, Level, ScanResult
from boathouse.images.packages import Package
from boathouse.images.trust.policy import Scanned
from boathouse.rollout import schedules, triggers
from tests.rollout.conftest import CLUSTER, NOW, TRACK, digest_of

OLD, NEW = "registry.example.com/etl/python:1", "registry.example.com/etl/python:2"
PINNED_OLD = f"registry.example.com/etl/python@{digest_of(OLD)}"
ROLLOUT = {"image": NEW, "canary": {"cluster": CLUSTER}, "restart": NOW}
HOUR = 3_600_000
DAWN = 1_700_006_400_000  # 2023-11-15 00:00 UTC, a Wednesday


@pytest.mark.parametrize(("schedule", "zone", "after", "hours"), [
    ("0 3 * * *", "UTC", 0, 3), ("0 3 * * *", "UTC", 3, 27), ("0 3 * * *", "Europe/Vienna", 0, 2),
    ("0 12 * * SUN", "UTC", 0, 4 * 24 + 12), ("*/30 * * * *", "UTC", 0, 0.5),
])  # fmt: skip
def test_schedules(schedule, zone, after, hours):
    assert schedules.following(schedule, zone, DAWN + after * HOUR) == DAWN + hours * HOUR


@pytest.mark.parametrize("schedule", ["", "61 * * * *", "* * * *", "* * * * * *", "0 0 30 2 *", "@daily", "x y z a b"])
def test_what_is_no_schedule(schedule):
    with pytest.raises(schedules.BadSchedule):
        schedules.following(schedule, "UTC", DAWN)


@pytest.mark.parametrize(("found", "before", "same", "due"), [
    (["A"], None, True, ""), (["A"], ["A"], True, ""), (["A", "B"], ["A"], True, "vulnerabilities became known: B"),
    ([], ["A"], True, ""), (["B"], ["A"], False, ""),
    (list("ABCDEFG"), [], True, "vulnerabilities became known: A, B, C, D, E and 2 more"),
])  # fmt: skip
def test_news(found, before, same, due):
    assert triggers.news(found, before, same) == due


def make(platform, **when):
    body = {"track": TRACK, "when": when, "rollout": ROLLOUT}
    return platform.call("rollout-triggers/create", **body)["trigger_id"]


def only(platform):
    (found,) = platform.get("rollout-triggers/list", track=TRACK)["triggers"]
    return found


def rollouts(platform):
    return platform.get("rollouts/list", track=TRACK)["rollouts"]


def test_a_schedule_starts_one_each_time(platform):
    trigger_id = make(platform, schedule="0 3 * * *")
    platform.until(lambda: only(platform).get("next_at"))
    for day in (1, 2):
        platform.pass_time(24 * HOUR)
        assert len(rollouts(platform)) == day
    first = rollouts(platform)[0]
    assert (first["state"], first["started_by"]) == ("SUCCEEDED", trigger_id)
    assert platform.rollout(first["rollout_id"])["spec"]["comment"] == "the schedule 0 3 * * * (UTC)"
    assert only(platform)["last_rollout_id"] == first["rollout_id"]
    platform.restart()
    platform.pass_time(3 * 24 * HOUR)
    assert len(rollouts(platform)) == 5
    platform.call("rollout-triggers/delete", trigger_id=trigger_id)
    platform.pass_time(48 * HOUR)
    assert len(rollouts(platform)) == 5


def test_a_new_digest_of_the_base_starts_one(platform):
    platform.work.bases["debian:12"] = "sha256:" + "1" * 64
    make(platform, base="debian:12")
    platform.pass_time(HOUR)
    assert rollouts(platform) == [] and platform.work.calls.count("digest") >= 3
    platform.work.bases["debian:12"] = "sha256:" + "2" * 64
    platform.pass_time(HOUR)
    (started,) = rollouts(platform)
    assert f"the base debian:12 is sha256:{'2' * 64} now" in platform.rollout(started["rollout_id"])["spec"]["comment"]
    platform.pass_time(3 * HOUR)
    assert len(rollouts(platform)) == 1


def vulnerable(*names):
    package = Package("deb", "openssl", "3.0.1", "debian")
    return Scanned(ScanResult(tuple(Finding(name, Level.HIGH, package) for name in names)))


def test_vulnerabilities_that_became_known_start_one(platform):
    platform.point(PINNED_OLD)
    known = [vulnerable("CVE-1")]
    asked = []
    platform.launcher.scans.of = lambda digest, image: asked.append(digest) or known[0]
    make(platform, advisories="high")
    platform.pass_time(HOUR)
    assert rollouts(platform) == [] and set(asked) == {digest_of(OLD)}
    known[0] = vulnerable("CVE-1", "CVE-2")
    platform.pass_time(HOUR)
    (started,) = rollouts(platform)
    assert platform.rollout(started["rollout_id"])["spec"]["comment"] == "vulnerabilities became known: CVE-2"
    assert digest_of(NEW) in asked  # and the new image is looked at from then on
    known[0] = Scanned(problem="there are no advisories on this machine")
    platform.pass_time(HOUR)
    assert only(platform)["message"] == "there are no advisories on this machine" and len(rollouts(platform)) == 1


def test_a_track_takes_its_triggers_with_it(platform):
    make(platform, schedule="0 3 * * *")
    platform.call("tracks/delete", track=TRACK)
    assert platform.get("rollout-triggers/list")["triggers"] == []
    platform.pass_time(24 * HOUR)
    assert platform.get("rollouts/list")["rollouts"] == []


def test_one_that_is_due_waits_for_the_one_under_way(platform):
    first = platform.roll_out(OLD, approval="ADMIN")
    trigger_id = make(platform, schedule="0 3 * * *")
    platform.until(lambda: platform.rollout(first)["state"] == "APPROVAL")
    platform.call("rollout-triggers/fire", trigger_id=trigger_id)
    platform.pass_time(HOUR // 4)
    assert only(platform)["waiting"] == "admin@boathouse.local fired it" and len(rollouts(platform)) == 1
    platform.restart()
    platform.call("rollouts/approve", rollout_id=first)
    platform.ended(first)
    platform.until(lambda: len(rollouts(platform)) == 2)
    assert "waiting" not in only(platform)
    assert platform.ended(rollouts(platform)[0]["rollout_id"])["state"] == "SUCCEEDED"


def test_who_fires_a_trigger_cannot_approve_its_roll_out_alone(platform):
    (_, ann), (_, bob) = platform.admin("ann@x.org"), platform.admin("bob@x.org")
    body = {"track": TRACK, "when": {"schedule": "0 3 * * *"}, "rollout": {**ROLLOUT, "approval": "OTHER_ADMIN"}}
    trigger_id = platform.call("rollout-triggers/create", ann, **body)["trigger_id"]
    platform.call("rollout-triggers/fire", bob, trigger_id=trigger_id)
    (waits,) = platform.until(lambda: [one for one in rollouts(platform) if one["state"] == "APPROVAL"])
    for token, name in ((ann, "ann@x.org"), (bob, "bob@x.org")):
        code, text = platform.refused("rollouts/approve", token, rollout_id=waits["rollout_id"])
        assert code == 403 and f"was started by {name}" in text
    platform.call("rollouts/approve", rollout_id=waits["rollout_id"])
    assert platform.ended(waits["rollout_id"])["state"] == "SUCCEEDED"


def test_a_trigger_of_somebody_who_is_no_admin_any_more_starts_nothing(platform):
    ann, token = platform.admin("ann@x.org")
    body = {"track": TRACK, "when": {"schedule": "0 3 * * *"}, "rollout": ROLLOUT}
    platform.call("rollout-triggers/create", token, **body)
    with platform.store.transaction() as tx:
        registry.set_active(tx, ann, False)
    platform.pass_time(24 * HOUR)
    assert rollouts(platform) == []
    assert only(platform)["message"].startswith("ann@x.org, who made this trigger, is no workspace admin any more")


@pytest.mark.parametrize(("when", "told"), [
    ({}, "when: give one of schedule, base and advisories"),
    ({"schedule": "0 3 * * *", "base": "a"}, "when: give one of schedule, base and advisories, not schedule and base"),
    ({"schedule": "0 3 * *"}, "when.schedule: '0 3 * *' is no cron expression"),
    ({"advisories": "high", "timezone": "Europe/Vienna"}, "when.timezone: it goes with when.schedule"),
    ({"schedule": "0 3 * * *", "timezone": "Mars"}, "when.timezone: 'Mars' is no time zone"),
    ({"base": "A b"}, "when.base: 'A b' is not an image reference"),
    ({"advisories": "huge"}, "when.advisories"),
    ({"base": "a", "base_login": {"username": "u", "password": "p"}}, "when.base_login.password"),
])  # fmt: skip
def test_bad_triggers_name_the_field(platform, when, told):
    code, text = platform.refused("rollout-triggers/create", track=TRACK, when=when, rollout=ROLLOUT)
    assert code == 400 and told in text


def test_only_admins_make_and_fire_them(platform):
    _, bob = platform.admin("bob@x.org", ("users",))
    trigger_id = make(platform, schedule="0 3 * * *")
    body = {"track": TRACK, "when": {"schedule": "0 3 * * *"}, "rollout": ROLLOUT}
    assert platform.refused("rollout-triggers/create", bob, **body)[0] == 403
    (seen,) = platform.api.get("/api/2.0/boathouse/rollout-triggers/list", token=bob).json()["triggers"]
    assert "rollout" not in seen and only(platform)["rollout"]["image"] == NEW
    for verb in ("fire", "delete"):
        assert platform.refused(f"rollout-triggers/{verb}", bob, trigger_id=trigger_id)[0] == 403
    assert platform.refused("rollout-triggers/fire", trigger_id="trigger-x")[0] == 404
