"""`boathouse track` and `boathouse rollout` against a server on a real socket."""

import json

import pytest

from boathouse.cli import main
from tests.conftest import serving
from tests.rollout.conftest import TRACK, digest_of

IMAGE = "registry.example.com/etl/python:1"
CANARY = ("--node-type", "i3.xlarge", "--idle-minutes", "0")


@pytest.fixture
def boathouse(platform, monkeypatch, capsys):
    """`boathouse("track", "list")` -> exit code, what it printed."""
    with serving(platform.api.edge) as host:
        monkeypatch.setenv("DATABRICKS_HOST", host)
        monkeypatch.setenv("DATABRICKS_TOKEN", platform.api.token)

        def run(*arguments):
            code = main(list(arguments))
            printed = capsys.readouterr()
            return code, printed.out + printed.err

        yield run


def test_a_roll_out_by_hand(platform, boathouse):
    assert boathouse("track", "list") == (0, f"{TRACK}  names no image yet  0 clusters\n")
    code, out = boathouse(
        "rollout", "--output", "json", "create", TRACK, "--image", IMAGE, *CANARY, "--approval", "ADMIN", "--command", "print(1)"
    )
    assert code == 0, out
    rollout_id = json.loads(out)["rollout_id"]
    assert json.loads(out)["spec"]["canary"]["command"] == "print(1)"
    platform.until(lambda: platform.rollout(rollout_id)["state"] == "APPROVAL")
    code, out = boathouse("rollout", "wait", rollout_id)
    assert code == 0 and f"{rollout_id} is APPROVAL" in out and "✓  canary" in out
    code, out = boathouse("rollout", "approve", rollout_id, "--comment", "fine")
    assert code == 0 and "approved by admin@boathouse.local" in out and ": fine" in out
    platform.ended(rollout_id)
    code, out = boathouse("rollout", "wait", rollout_id)
    assert code == 0 and f"{rollout_id} is SUCCEEDED" in out
    code, out = boathouse("track", "get", TRACK)
    assert code == 0 and f"{TRACK} names registry.example.com/etl/python@{digest_of(IMAGE)}" in out and "PROMOTED" in out
    code, out = boathouse("rollout", "list")
    assert code == 0 and out.startswith(f"{rollout_id}  {TRACK}  SUCCEEDED")


def test_what_did_not_succeed_is_an_exit_code(platform, boathouse):
    platform.registry.refused[IMAGE] = "there is no such image."
    rollout_id = platform.roll_out(IMAGE)
    platform.ended(rollout_id)
    code, out = boathouse("rollout", "wait", rollout_id)
    assert code == 1 and "there is no such image" in out
    assert boathouse("rollout", "cancel", rollout_id)[0] == 1
    code, out = boathouse("rollout", "get", "rollout-x")
    assert code == 1 and "'rollout-x' is no roll-out of this workspace" in out


def test_triggers_by_hand(platform, boathouse):
    code, out = boathouse("rollout", "trigger", TRACK, "--schedule", "0 3 * * *", "--image", IMAGE, *CANARY)
    assert code == 0 and "schedule 0 3 * * *" in out
    trigger_id = out.split()[0]
    code, out = boathouse("rollout", "fire", trigger_id)
    assert code == 0 and "admin@boathouse.local fired it" in out
    platform.until(lambda: platform.get("rollouts/list")["rollouts"])
    code, out = boathouse("rollout", "--output", "json", "untrigger", trigger_id)
    assert code == 0 and json.loads(out) == {"removed": trigger_id}
    assert boathouse("rollout", "triggers") == (0, "there are no triggers\n")


@pytest.mark.parametrize(("arguments", "told"), [
    (("--image", IMAGE), "--node-type: the canary needs one"),
    (("--source", "/Shared/x", "--node-type", "i3.xlarge"), "--target: where the image"),
    (("--image", IMAGE, *CANARY, "--waves", "a"), "--waves a: give percents"),
    (("--image", IMAGE, *CANARY, "--waves", "50"), "restart.waves: [50] is not allowed"),
    (("--file", "/no/such/file"), "--file /no/such/file"),
    (("--image", IMAGE, *CANARY, "--command", "@/no/such/file"), "--command @/no/such/file"),
])  # fmt: skip
def test_refusals(platform, boathouse, arguments, told):
    code, out = boathouse("rollout", "create", TRACK, *arguments)
    assert code == 1 and told in out


def test_a_login_of_a_track_is_taken_away(platform, boathouse):
    platform.call("tracks/update", track=TRACK, login={"username": "u", "password": "{{secrets/a/b}}"})
    code, out = boathouse("track", "update", TRACK, "--no-login", "--username", "u")
    assert code != 0 and "--no-login" in out
    assert boathouse("track", "update", TRACK, "--no-login")[0] == 0
    assert "login" not in platform.track()


@pytest.mark.parametrize(("options", "told"), [
    (("--file", "-", "--approval", "NONE"), "--approval: the request in --file says it"),
    (("--file", "-", "--command", "1"), "--command: the request in --file says it"),
    (("--image", IMAGE, "--target", IMAGE), "--target: nothing is built of --image"),
    (("--image", IMAGE, "--sign", "{{secrets/a/k}}", "--push-password", "{{secrets/a/b}}"), "give both, or none"),
    (("--image", IMAGE, "--push-username", "u", "--push-password", "{{secrets/a/b}}"), "--push-username: nothing is pushed"),
    (("--image", IMAGE, "--sign-passphrase", "{{secrets/a/b}}"), "--sign-passphrase: nothing is signed"),
])  # fmt: skip
def test_options_that_mean_nothing_together_are_refused(boathouse, options, told):
    code, out = boathouse("rollout", "create", TRACK, *options)
    assert code != 0 and told in out


def test_options_say_all_of_a_request(boathouse, platform):
    code, out = boathouse(
        "rollout", "--output", "json", "trigger", TRACK, "--schedule", "0 3 * * *", "--source", "/Workspace/Shared/etl",
        "--target", IMAGE, "--node-type", "i3.xlarge", "--dockerfile", "docker/Containerfile", "--build-arg", "A=1=2",
        "--build-arg", "TOKEN={{secrets/s/k}}", "--window", "22:00-06:00", "--window-days", "mon,TUE", "--window-timezone",
        "Europe/Vienna", "--patience-minutes", "90", "--canary-minutes", "20", "--scan", "low", "--allow-uncovered", "npm",
    )  # fmt: skip
    assert code == 0, out
    asked = json.loads(out)["triggers"][0]["rollout"]
    assert (asked["scan"]["fail_on"], asked["scan"]["allow_uncovered"]) == ("low", ["npm"])
    assert asked["source"]["dockerfile"] == "docker/Containerfile"
    assert asked["source"]["build_args"] == {"A": "1=2", "TOKEN": "{{secrets/s/k}}"}
    assert asked["canary"]["timeout_minutes"] == 20 and asked["restart"]["patience_minutes"] == 90
    window = {"start": "22:00", "end": "06:00", "days": ["MON", "TUE"], "timezone": "Europe/Vienna"}
    assert asked["restart"]["window"] == window


@pytest.mark.parametrize(("options", "told"), [
    (["--window-days", "MON"], "--window-days: it is of --window"), (["--window", "22:00"], "--window 22:00: give two times"),
    (["--dockerfile", "x"], "--dockerfile: nothing is built of --image"), (["--window", "9-10"], "restart.window.start: '9'"),
    (["--allow-uncovered", "npm"], "--allow-uncovered: nothing is scanned"),
    (["--scan", "high", "--allow-uncovered", "nmp"], "scan.allow_uncovered[0]: 'nmp' is no ecosystem"),
    (["--build-arg", "A=1"], "--build-arg: nothing is built of --image"),
])  # fmt: skip
def test_options_of_windows_and_builds_are_refused_by_name(boathouse, platform, options, told):
    code, out = boathouse("rollout", "create", TRACK, "--image", IMAGE, *CANARY, *options)
    assert code == 1 and told in out
