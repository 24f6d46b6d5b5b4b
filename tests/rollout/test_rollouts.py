"""Roll-outs from the call to the end, by the API, on whole launches of the simulated data plane."""

import pytest

from boathouse.dataplane.simulated import Fault, Trouble
from boathouse.identity import principals, registry
from boathouse.images.trust import keys, signatures
from boathouse.reconcile import SETTLED
from boathouse.rollout.effects import LONG_AT_ONCE
from boathouse.rollout.requests import Offers
from boathouse.server.control import ROLLOUT_THREADS
from tests.conftest import ACCOUNT_ID, WORKSPACE_ID
from tests.rollout.conftest import CLUSTER, NOW, TRACK, digest_of

OLD, NEW = "registry.example.com/etl/python:1", "registry.example.com/etl/python:2"
PINNED_OLD, PINNED_NEW = (f"registry.example.com/etl/python@{digest_of(image)}" for image in (OLD, NEW))
TEST = "print(spark.range(3).count())"
TRIED = {"cluster": CLUSTER, "command": TEST}


@pytest.fixture
def old(platform):
    """The platform with a track that names the old image."""
    platform.point(PINNED_OLD)
    return platform


def steps(rollout):
    return {step["step"]: step["outcome"] for step in rollout["steps"]}


def test_a_new_image_comes_to_who_follows_the_track(old):
    clusters = [old.cluster(cluster_name=f"c{number}") for number in range(3)]
    other = old.api.post("/api/2.1/clusters/create", json=CLUSTER).json()["cluster_id"]
    rollout_id = old.roll_out(NEW, canary=TRIED)
    found = old.ended(rollout_id)
    assert found["state"] == "SUCCEEDED", found
    assert old.ran == [TEST]
    assert found["canary_result"] == {"resultType": "text", "data": "ok"} and found["spec"]["image"] == NEW
    _, bob = old.admin("bob@x.org", ("users",))
    seen = old.api.get("/api/2.0/boathouse/rollouts/get", params={"rollout_id": rollout_id}, token=bob).json()
    assert seen["state"] == "SUCCEEDED" and not {"spec", "canary_result"} & set(seen)
    assert (found["image"], found["digest"], found["previous_image"]) == (PINNED_NEW, digest_of(NEW), PINNED_OLD)
    assert old.named() == [PINNED_OLD, PINNED_NEW, PINNED_NEW]
    assert {one["cluster_id"]: one["state"] for one in found["clusters"]} == dict.fromkeys(clusters, "DONE")
    assert [old.digest(each) for each in clusters] == [digest_of(NEW)] * 3
    assert [old.row(each).launch for each in clusters] == [2, 2, 2]
    assert old.row(other).launch == 1
    assert steps(found) == {
        "check": "ok", "image.resolve": "ok", "image.pull": "ok", "image.check": "ok", "canary": "ok", "canary.end": "ok",
        "promote": "ok", "restart": "ok",
    }  # fmt: skip
    assert all(step["duration_ms"] >= 0 for step in found["steps"])
    old.until(lambda: len(old.rows()) == 4)  # the canary is gone
    told = old.track()["changes"][0]
    assert (told["reason"], told["rollout_id"], told["image"]) == ("PROMOTED", rollout_id, PINNED_NEW)


@pytest.mark.parametrize(
    "ask", [{"scan": {}}, {"sign": {"key": "{{secrets/a/b}}"}}, {"source": {"path": "/Shared/x", "target": OLD}}]
)
def test_every_step_that_is_asked_for_is_done_before_the_track_changes(platform, ask):
    verb = next(iter(ask)).replace("source", "build")
    rollout_id = platform.roll_out(**ask)
    found = platform.ended(rollout_id)
    _, bob = platform.admin("bob@x.org", ("users",))
    seen = platform.api.get("/api/2.0/boathouse/rollouts/get", params={"rollout_id": rollout_id}, token=bob).json()
    assert all("lines" not in step["details"] for step in seen["steps"])
    assert found["state"] == "SUCCEEDED" and platform.work.calls == [verb]
    assert steps(found)[verb] == "ok"
    platform.work.fails[verb] = "it is not good"
    again = {"source": {"path": "/Shared/x", "target": NEW}} if "source" in ask else {**ask, "image": NEW}
    found = platform.ended(platform.roll_out(**again))
    assert (found["state"], found["message"]) == ("FAILED", "it is not good")
    assert steps(found)[verb] == "failed"
    assert platform.named() == [PINNED_OLD, PINNED_OLD]


def test_an_image_that_the_registry_does_not_have_ends_it(old):
    old.registry.refused[NEW] = "there is no such image."
    found = old.ended(old.roll_out(NEW))
    assert found["state"] == "FAILED" and "there is no such image" in found["message"]
    assert old.named() == [PINNED_OLD, PINNED_OLD]


def test_an_image_that_the_check_refuses_ends_it(old):
    old.registry.unusable[NEW] = "it has no bash."
    found = old.ended(old.roll_out(NEW))
    assert (found["state"], found["message"]) == ("FAILED", "it has no bash.")
    assert steps(found)["image.check"] == "failed"
    assert [row.name for row in old.rows()] == []  # no canary was made


def policy(platform, **demanded):
    assert platform.api.call("PUT", "/api/2.0/boathouse/image-policy", json=demanded).status_code == 200


def test_a_policy_judges_the_digest_that_launches_will_run(old):
    policy(old, pinned=True)
    assert old.ended(old.roll_out(NEW))["state"] == "SUCCEEDED"


def test_a_roll_out_that_signs_is_held_to_the_policy_and_to_its_signers_after_it_has_signed(old):
    sign = {"key": "{{secrets/a/b}}"}
    private, public = keys.generate(b"")
    policy(old, signers=[{"name": "team", "key": public.decode()}], allowed_registries=["other.example.com"])
    found = old.ended(old.roll_out(NEW, sign=sign))
    assert found["state"] == "FAILED" and steps(found)["image.policy"] == "failed" and old.work.calls == []
    policy(old, signers=[{"name": "team", "key": public.decode()}])
    found = old.ended(old.roll_out(NEW, sign=sign))
    assert found["state"] == "FAILED" and steps(found)["sign"] == "failed" and "canary_cluster_id" not in found
    made = signatures.sign(keys.private_key(private, b""), "registry.example.com/etl/python", digest_of(NEW))
    old.work.after = lambda: old.registry.signed.append(made)
    assert old.ended(old.roll_out(NEW, sign=sign))["state"] == "SUCCEEDED"
    assert old.ended(old.roll_out(NEW))["state"] == "SUCCEEDED"  # signed before


def test_a_canary_whose_command_fails_ends_it_and_goes(old):
    follower = old.cluster()
    old.answers[TEST] = {"resultType": "error", "summary": "AssertionError: 3", "cause": "..."}
    found = old.ended(old.roll_out(NEW, canary=TRIED))
    assert found["state"] == "FAILED"
    assert found["message"] == "the canary's command failed: AssertionError: 3"
    assert found["canary_result"]["resultType"] == "error"
    assert old.named() == [PINNED_OLD, PINNED_OLD]
    assert old.row(follower).launch == 1
    old.until(lambda: [row.cluster_id for row in old.rows()] == [follower])


def test_a_canary_that_does_not_start_says_why(old):
    wish = {**CLUSTER, "spark_conf": {"spark.secret": "{{secrets/no/such}}"}}
    found = old.ended(old.roll_out(NEW, canary={"cluster": wish}))
    assert found["state"] == "FAILED"
    assert "the canary ended: INVALID_ARGUMENT" in found["message"] and "{{secrets/no/such}}" in found["message"]
    old.until(lambda: not old.rows())


def test_a_canary_that_the_api_refuses_is_a_failure_in_its_words(old):
    found = old.ended(old.roll_out(NEW, canary={"cluster": {**CLUSTER, "node_type_id": "no.such"}}))
    assert found["state"] == "FAILED" and "Node type 'no.such' is not supported" in found["message"]


def test_a_canary_that_takes_too_long_is_given_up(old):
    old.reconcilers["context"] = lambda context_id: SETTLED  # its context never comes up
    found = old.ended(old.roll_out(NEW, canary={**TRIED, "timeout_minutes": 5}))
    assert found["state"] == "FAILED" and "was not through after 5 minutes" in found["message"]
    old.until(lambda: not old.rows())


def test_who_approved_what_stands_in_it(old):
    _, ann = old.admin("ann@x.org")
    _, bob = old.admin("bob@x.org", ("users",))
    rollout_id = old.roll_out(NEW, approval="OTHER_ADMIN")
    old.until(lambda: old.rollout(rollout_id)["state"] == "APPROVAL")
    old.pass_time(3_600_000)
    assert old.named() == [PINNED_OLD, PINNED_OLD]
    assert old.refused("rollouts/approve", bob, rollout_id=rollout_id)[0] == 403
    code, text = old.refused("rollouts/approve", rollout_id=rollout_id)
    assert code == 403 and "it is for another admin" in text
    old.call("rollouts/approve", ann, rollout_id=rollout_id, comment="tested by hand")
    found = old.ended(rollout_id)
    assert found["state"] == "SUCCEEDED"
    assert (found["approved"]["by"], found["approved"]["comment"]) == ("ann@x.org", "tested by hand")
    assert "does not wait for an approval" in old.refused("rollouts/approve", ann, rollout_id=rollout_id)[1]


def test_a_second_one_of_a_track_is_refused_by_the_name_of_the_first(old):
    first = old.roll_out(NEW, approval="ADMIN")
    code, text = old.refused("rollouts/create", track=TRACK, image=OLD, canary={"cluster": CLUSTER})
    assert code == 409 and text.startswith(f"{first} of {TRACK} is under way")
    old.call("rollouts/cancel", rollout_id=first)
    assert old.ended(first)["state"] == "CANCELLED"
    assert old.ended(old.roll_out(NEW))["state"] == "SUCCEEDED"


def test_failures_above_the_threshold_bring_everything_back(old):
    good, bad = old.cluster(cluster_name="good"), old.cluster(cluster_name="bad")
    third = old.cluster(cluster_name="third")
    old.world.add(Trouble(Fault.ENSURE_REFUSED, cluster_id=bad, code="CLOUD_PROVIDER_LAUNCH_FAILURE", text="no room"))
    found = old.ended(old.roll_out(NEW, restart={"idle_minutes": 0, "waves": [70, 100], "max_failed_percent": 20}))
    assert found["state"] == "ROLLED_BACK", found
    assert found["message"] == "1 of 3 clusters failed with the new image; 20 % may"
    states = {one["cluster_id"]: one["state"] for one in found["clusters"]}
    assert states[bad] == "BACK" and states[good] in ("BACK", "LEFT")
    assert old.named() == [PINNED_OLD, PINNED_NEW, PINNED_OLD, PINNED_OLD]
    for each in (good, bad, third):
        assert (old.row(each).state, old.digest(each)) == ("RUNNING", digest_of(OLD))
    assert [change["reason"] for change in old.track()["changes"]] == ["ROLLED_BACK", "PROMOTED", "PROMOTED"]


def test_somebody_who_cancels_among_the_waves_gets_everything_back(old):
    one, two = old.cluster(cluster_name="one"), old.cluster(cluster_name="two")
    rollout_id = old.roll_out(NEW, restart={"idle_minutes": 0, "waves": [50, 100], "soak_minutes": 60})
    old.until(lambda: old.rollout(rollout_id)["state"] == "RESTARTING" and old.digest(one) == digest_of(NEW))
    old.call("rollouts/cancel", rollout_id=rollout_id, comment="no")
    found = old.ended(rollout_id)
    assert (found["state"], found["cancelled"]["by"]) == ("CANCELLED", found["owner"])
    assert old.named()[-1] == PINNED_OLD
    assert [old.digest(each) for each in (one, two)] == [digest_of(OLD)] * 2
    assert old.row(two).launch == 1


def test_clusters_are_restarted_at_their_idle_moments_only(old):
    cluster_id = old.cluster()
    rollout_id = old.roll_out(NEW, restart={"idle_minutes": 30, "waves": [100]})
    old.until(lambda: old.rollout(rollout_id)["state"] == "RESTARTING")
    for _ in range(4):
        old.idle(cluster_id, 0)
        old.pass_time(20 * 60_000)
    assert old.digest(cluster_id) == digest_of(OLD) and old.rollout(rollout_id)["state"] == "RESTARTING"
    old.pass_time(11 * 60_000)
    assert old.ended(rollout_id)["clusters"][0]["state"] == "DONE"
    assert old.digest(cluster_id) == digest_of(NEW)


def test_a_cluster_without_a_moment_keeps_its_image_until_its_next_start(old):
    cluster_id = old.cluster()
    rollout_id = old.roll_out(NEW, restart={"idle_minutes": 30, "patience_minutes": 60})
    old.until(lambda: old.rollout(rollout_id)["state"] == "RESTARTING")
    for _ in range(5):
        old.idle(cluster_id, 0)
        old.pass_time(20 * 60_000)
    found = old.ended(rollout_id)
    assert found["state"] == "SUCCEEDED" and found["clusters"][0]["state"] == "LEFT"
    assert "no moment to be restarted in time" in found["clusters"][0]["message"]
    assert old.digest(cluster_id) == digest_of(OLD)


def test_an_owner_who_is_gone_restarts_nothing(old):
    ann, token = old.admin("ann@x.org")
    rollout_id = old.call("rollouts/create", token, track=TRACK, image=NEW, canary=TRIED, restart=NOW)["rollout_id"]
    old.until(lambda: old.rollout(rollout_id).get("canary_cluster_id"))
    with old.store.transaction() as tx:
        registry.set_active(tx, ann, False)
    found = old.ended(rollout_id)
    assert found["state"] == "FAILED" and "ann@x.org, who started it, is not an active member" in found["message"]
    old.until(lambda: not old.rows())  # the canary goes all the same


def test_an_owner_who_is_no_admin_any_more_promotes_nothing(old):
    ann, token = old.admin("ann@x.org")
    body = {"track": TRACK, "image": NEW, "canary": TRIED, "restart": NOW, "approval": "ADMIN"}
    rollout_id = old.call("rollouts/create", token, **body)["rollout_id"]
    old.until(lambda: old.rollout(rollout_id)["state"] == "APPROVAL")
    with old.store.transaction() as tx:
        admins = principals.by_name(tx, ACCOUNT_ID, principals.ADMINS, [principals.GROUP], WORKSPACE_ID)
        registry.remove_member(tx, admins.principal_id, ann)
    old.call("rollouts/approve", rollout_id=rollout_id)
    found = old.ended(rollout_id)
    assert found["state"] == "FAILED" and "ann@x.org, who started it, is no workspace admin any more" in found["message"]
    assert steps(found)["promote"] == "failed" and old.named() == [PINNED_OLD, PINNED_OLD]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"image": None}, "Give either image (a reference) or source"),
        ({"image": "x y"}, "image: 'x y' is not an image reference"),
        ({"image": TRACK}, "it is a track, which no registry knows"),
        ({"canary": {"cluster": {**CLUSTER, "docker_image": {"url": OLD}}}}, "canary.cluster.docker_image.url"),
        ({"canary": {"cluster": CLUSTER, "command": " "}}, "canary.command: it is empty"),
        ({"canary": {"cluster": {}}}, "canary.cluster.spark_version"),
        ({"restart": {"waves": [50, 20, 100]}}, "restart.waves: [50, 20, 100] is not allowed"),
        ({"restart": {"waves": [50]}}, "restart.waves: [50] is not allowed"),
        ({"restart": {"window": {"start": "25:00", "end": "06:00"}}}, "restart.window.start: '25:00'"),
        ({"restart": {"window": {"start": "22:00", "end": "06:00", "timezone": "Mars"}}}, "'Mars' is no time zone"),
        ({"restart": {"idle_minutes": -1}}, "restart.idle_minutes: -1 is not allowed"),
        ({"sign": {"key": "-----BEGIN PRIVATE KEY-----"}}, "sign.key: the value is no reference to a secret"),
        ({"canary": {"cluster": CLUSTER, "workspace_id": 7}}, "is not a member of a workspace 7"),
        ({"canary": {"cluster": CLUSTER, "timeout_minutes": 0}}, "canary.timeout_minutes: 0 is not allowed"),
        ({"image": None, "source": {"path": "/Shared/x", "target": "localhost/boathouse/s:1"}}, "localhost is no registry"),
        (
            {"image": None, "source": {"path": "/Shared/x", "target": NEW, "build_args": {"PIP_TOKEN": "x"}}},
            "source.build_args.PIP_TOKEN: the value is no reference",
        ),
        ({"approve": "me"}, "approve"),
    ],
)  # fmt: skip
def test_bad_requests_name_the_field(old, more, told):
    body = {"track": TRACK, "image": NEW, "canary": {"cluster": CLUSTER}, **more}
    code, text = old.refused("rollouts/create", **{name: value for name, value in body.items() if value is not None})
    assert code == 400 and told in text


@pytest.mark.parametrize("ask", [{"scan": {}}, {"source": {"path": "/Shared/x", "target": NEW}}])
def test_builds_and_scans_leave_threads_for_everybody_else(old, ask):
    """Where as many as may be are under way, the round ends, and the step is done when one of them has ended."""
    verb = next(iter(ask)).replace("source", "build")
    turns = old.room.rollouts._effects._long
    for _ in range(LONG_AT_ONCE):
        assert turns.acquire(blocking=False)
    rollout_id = old.roll_out(**ask)
    old.until(lambda: any("waiting" in (step.get("details") or {}) for step in old.rollout(rollout_id)["steps"]))
    old.pass_time(60_000)
    assert steps(old.rollout(rollout_id))[verb] == "running" and old.work.calls == []
    turns.release()
    free = []
    old.work.after = lambda: free.append(turns.acquire(blocking=False))
    assert old.ended(rollout_id)["state"] == "SUCCEEDED"
    assert old.work.calls == [verb] and free == [False], "it had the only turn"
    assert LONG_AT_ONCE < ROLLOUT_THREADS


def test_builds_are_the_operators_to_allow(old):
    old.services.add(Offers())
    body = {"track": TRACK, "source": {"path": "/Shared/x", "target": NEW}, "canary": {"cluster": CLUSTER}}
    code, text = old.refused("rollouts/create", **body)
    assert code == 400 and text.startswith("source: ") and "rollout_builds" in text


def test_a_long_step_is_told_while_it_runs(old):
    seen = []
    old.work.after = lambda: seen.append(steps(old.rollout(rollout_id)))
    rollout_id = old.roll_out(scan={})
    found = old.ended(rollout_id)
    assert seen[0]["scan"] == "running" and seen[0]["check"] == "ok"
    assert found["state"] == "SUCCEEDED" and steps(found)["scan"] == "ok"


def test_a_build_that_breaks_in_a_way_nobody_foresaw_is_given_up(platform, monkeypatch):
    calls = []

    def breaks(row, spec):
        calls.append(row.rollout_id)
        raise RuntimeError("the engine hung up")

    monkeypatch.setattr(platform.work, "build", breaks)
    rollout_id = platform.roll_out(source={"path": "/Shared/x", "target": NEW})
    for _ in range(2):
        with pytest.raises(RuntimeError, match="hung up"):
            platform.room.reconcilers()["rollout"](rollout_id)
    found = platform.ended(rollout_id)
    assert (found["state"], len(calls)) == ("FAILED", 3)
    assert "it failed 3 times, at last with RuntimeError: the engine hung up" in found["message"]
