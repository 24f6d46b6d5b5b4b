import os
from pathlib import Path

import pytest

from boathouse.dataplane.contract import Presence, SeenNode
from boathouse.dataplane.engine import sight

ID = "c0ffee" * 10
LABELS = {"Labels": {"org.boathouse.address": "10.213.0.2"}}


def half(status: str, code: int = 0, oom: bool = False, error: str = "") -> dict:
    return {"Id": ID, "State": {"Status": status, "ExitCode": code, "OOMKilled": oom, "Error": error}, "Config": LABELS}


@pytest.mark.parametrize(
    ("word", "presence"),
    [
        ("created", Presence.STARTING),
        ("configured", Presence.STARTING),
        ("running", Presence.RUNNING),
        ("paused", Presence.RUNNING),
        ("stopped", Presence.EXITED),
        ("exited", Presence.EXITED),
        ("removing", Presence.EXITED),
        ("a word of tomorrow", Presence.EXITED),
        (None, Presence.EXITED),
    ],
)
def test_states(word: str | None, presence: Presence) -> None:
    assert sight.presence(word) is presence


def test_nothing_is_there() -> None:
    assert sight.node("n", None, None) == SeenNode("n", Presence.GONE, Presence.GONE)


def test_both_run() -> None:
    assert sight.node("n", half("running"), half("running")) == SeenNode("n", Presence.RUNNING, Presence.RUNNING, "10.213.0.2")


def test_the_customers_end_is_told_before_the_daemons() -> None:
    seen = sight.node("n", half("exited", 1), half("exited", 3, error="it fell"))
    assert (seen.exit_code, seen.detail) == (3, "it fell")
    assert sight.node("n", half("exited", 1), half("running")).exit_code == 1


def test_the_engine_may_know_of_missing_memory() -> None:
    assert sight.node("n", half("running"), half("exited", 137, oom=True)).oom_killed


@pytest.mark.parametrize(
    ("record", "killed"),
    [
        (f"6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/libpod_parent/libpod-{ID},task=java", True),
        ("6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/libpod_parent/libpod-other,task=java", False),
        (f"6,1,1,-;started libpod-{ID}", False),
    ],
)
def test_the_kernels_log_knows_where_the_engine_does_not(tmp_path: Path, record: str, killed: bool) -> None:
    # A pipe gives what is written to it and then says that there is no more now, as the kernel's log does.
    log = tmp_path / "kmsg"
    os.mkfifo(log)
    keeps_open = os.open(log, os.O_RDWR | os.O_NONBLOCK)
    os.write(keeps_open, record.encode())
    try:
        assert sight.node("n", half("running"), half("exited", 137), log).oom_killed is killed
    finally:
        os.close(keeps_open)


def test_a_log_that_may_not_be_read_says_nothing(tmp_path: Path) -> None:
    assert sight.out_of_memory(ID, tmp_path / "nothing") is False
    assert sight.out_of_memory("", tmp_path) is False
