"""Logs reach the destination that a cluster names: every five minutes, at the end, whatever happens in between."""

from typing import Any

import pytest
from sqlalchemy import select

from boathouse.compute import log_delivery
from boathouse.compute.assembly import Gate
from boathouse.compute.log_destinations import LogFile, place
from boathouse.compute.tables import log_deliveries

CLUSTER = "1123-120000-aaaaaaaa"
TO_DBFS = {"dbfs": {"destination": "dbfs:/logs/"}}
FIVE_MINUTES = 300_000


def say(fleet: Any, node: str, file: str, text: str) -> None:
    with (fleet.directories.path(node) / "logs" / file).open("a") as log:
        log.write(text)


def state(fleet: Any) -> Any:
    with fleet.store.read() as reader:
        return reader.execute(select(log_deliveries)).first()


def running(fleet: Any, **spec: Any) -> tuple[str, str]:
    fleet.create(CLUSTER, num_workers=1, **{"cluster_log_conf": TO_DBFS, **spec})
    fleet.settle()
    driver, worker = fleet.nodes(CLUSTER)
    return driver, worker


def test_every_five_minutes_what_changed(fleet):
    driver, worker = running(fleet)
    say(fleet, driver, "driver.stdout", "one\n")
    say(fleet, driver, "driver.stderr", "warned\n")
    say(fleet, worker, "executor-1.stderr", "two\n")
    say(fleet, driver, "eventlog.stdout", "{}\n")
    say(fleet, driver, "init_scripts.20260101_000000_00_a.sh.stdout.log", "made\n")
    fleet.pass_time(FIVE_MINUTES)
    app = f"app-{CLUSTER}-1"
    address = fleet.row(CLUSTER).facts["driver"]["private_ip"].replace(".", "_")
    assert fleet.bucket.files == {
        f"dbfs:/logs/{CLUSTER}/driver/stdout": b"one\n",
        f"dbfs:/logs/{CLUSTER}/driver/stderr": b"warned\n",
        f"dbfs:/logs/{CLUSTER}/executor/{app}/1/stderr": b"two\n",
        f"dbfs:/logs/{CLUSTER}/eventlog/{app}/eventlog": b"{}\n",
        f"dbfs:/logs/{CLUSTER}/init_scripts/{CLUSTER}_{address}/20260101_000000_00_a.sh.stdout.log": b"made\n",
    }
    assert set(fleet.bucket.asked) == {(1, "ann@x.org")}
    fleet.bucket.writes.clear()
    say(fleet, driver, "driver.stdout", "three\n")
    fleet.pass_time(FIVE_MINUTES)
    assert fleet.bucket.writes == [f"dbfs:/logs/{CLUSTER}/driver/stdout"]
    assert fleet.bucket.files[f"dbfs:/logs/{CLUSTER}/driver/stdout"] == b"one\nthree\n"
    assert fleet.clock() - state(fleet).last_attempted < FIVE_MINUTES and state(fleet).last_exception is None


def test_finished_pieces_are_written_once_and_what_the_node_frees_is_said(fleet):
    driver, _ = running(fleet)
    fleet.launcher.reconcilers[log_delivery.KIND].length = 40
    plain, piece = f"dbfs:/logs/{CLUSTER}/driver/stdout", f"dbfs:/logs/{CLUSTER}/driver/stdout--1-0000"
    lines = [f"line {n:04}\n" for n in range(10)]
    say(fleet, driver, "driver.stdout", "".join(lines[:6]))
    fleet.pass_time(FIVE_MINUTES)
    assert fleet.bucket.writes == [f"{piece}1", plain]
    assert fleet.bucket.files == {f"{piece}1": "".join(lines[:4]).encode(), plain: "".join(lines[4:6]).encode()}
    fleet.bucket.writes.clear()
    say(fleet, driver, "driver.stdout", "".join(lines[6:]))
    fleet.restart()
    fleet.launcher.reconcilers[log_delivery.KIND].length = 40
    fleet.pass_time(FIVE_MINUTES)
    assert fleet.bucket.writes == [f"{piece}2", plain]
    assert fleet.bucket.files[f"{piece}2"] == "".join(lines[4:8]).encode()
    (fleet.directories.path(driver) / "logs" / "driver.stdout").write_text("anew\n")
    fleet.pass_time(FIVE_MINUTES)
    assert fleet.bucket.files[plain] == "".join(lines[8:]).encode(), "it is nowhere else"
    assert fleet.bucket.files[f"{piece}4"] == b"anew\n"
    fleet.delete(CLUSTER)
    fleet.settle()
    whole = b"".join(fleet.bucket.files[name] for name in (f"{piece}1", f"{piece}2", plain, f"{piece}4"))
    assert whole == "".join(lines).encode() + b"anew\n"


def test_what_was_delivered_of_a_log_stays_though_it_was_seen_empty(fleet):
    driver, _ = running(fleet)
    plain = f"dbfs:/logs/{CLUSTER}/driver/stdout"
    say(fleet, driver, "driver.stdout", "before\n")
    fleet.pass_time(FIVE_MINUTES)
    log = fleet.directories.path(driver) / "logs" / "driver.stdout"
    log.write_text("")
    fleet.pass_time(FIVE_MINUTES)
    log.write_text("anew, and longer than before\n")
    fleet.pass_time(FIVE_MINUTES)
    assert fleet.bucket.files[plain] == b"before\n"
    assert b"anew, and longer than before\n" in fleet.bucket.files.values()


def test_a_log_that_grew_much_is_delivered_at_once_and_the_event_log_in_whole_lines(fleet):
    driver, _ = running(fleet)
    fleet.pass_time(1_000)
    say(fleet, driver, "eventlog.stdout", '{"Event": 1}\n{"Event": ')
    Gate(fleet.store, fleet.directories).on_node_event(driver, "log_grew", {"file": "eventlog.stdout"})
    fleet.pass_time(1_000)
    assert list(fleet.bucket.files.values()) == [b'{"Event": 1}\n']
    say(fleet, driver, "eventlog.stdout", "2}\n")
    fleet.delete(CLUSTER)
    fleet.settle()
    assert list(fleet.bucket.files.values()) == [b'{"Event": 1}\n{"Event": 2}\n']


def test_the_last_words_are_there_when_the_cluster_has_ended(fleet):
    driver, _ = running(fleet)
    say(fleet, driver, "driver.stdout", "the last words")
    fleet.delete(CLUSTER)
    fleet.settle()
    assert fleet.bucket.files == {f"dbfs:/logs/{CLUSTER}/driver/stdout": b"the last words"}
    before = fleet.clock()
    fleet.pass_time(10 * FIVE_MINUTES)
    assert state(fleet).last_attempted <= before, "nothing is left to deliver"


def test_of_a_node_that_was_lost_and_of_earlier_launches_nothing_is_lost(fleet):
    driver, worker = running(fleet)
    say(fleet, worker, "executor-1.stdout", "then it died")
    say(fleet, driver, "driver.stdout", "first")
    fleet.driver.delete(CLUSTER, worker)
    fleet.pass_time(60_000)
    fleet.settle()
    fleet.delete(CLUSTER)
    fleet.settle()
    fleet.start(CLUSTER)
    fleet.settle()
    second = fleet.nodes(CLUSTER)[0]
    say(fleet, second, "driver.stdout", "second")
    fleet.delete(CLUSTER)
    fleet.settle()
    files = fleet.bucket.files
    assert files[f"dbfs:/logs/{CLUSTER}/executor/app-{CLUSTER}-1/1/stdout"] == b"then it died"
    assert files[f"dbfs:/logs/{CLUSTER}/driver/stdout"] == b"second"
    (rotated,) = [name for name in files if "/driver/stdout--" in name]
    assert files[rotated] == b"first"


def test_a_destination_that_refuses_is_told_and_tried_again_and_holds_nothing_up_for_long(fleet):
    driver, _ = running(fleet)
    fleet.bucket.refuses = "it does not exist"
    say(fleet, driver, "driver.stdout", "text")
    fleet.pass_time(FIVE_MINUTES)
    assert "it does not exist" in state(fleet).last_exception and "dbfs:/logs" in state(fleet).last_exception
    fleet.delete(CLUSTER)
    began = fleet.clock()
    fleet.settle()
    assert fleet.clock() - began < 5_000, "one attempt is enough to end"
    fleet.pass_time(60_000)
    fleet.bucket.refuses = ""
    fleet.pass_time(3_600_000)
    assert fleet.bucket.files == {f"dbfs:/logs/{CLUSTER}/driver/stdout": b"text"}
    assert state(fleet).last_exception is None and state(fleet).failures == 0


def test_in_the_end_it_is_given_up_and_the_logs_stay_here(fleet):
    driver, _ = running(fleet)
    fleet.bucket.refuses = "no"
    say(fleet, driver, "driver.stdout", "text")
    fleet.delete(CLUSTER)
    fleet.settle()
    fleet.pass_time(24 * 3_600_000)
    assert state(fleet).failures == log_delivery.ATTEMPTS
    assert fleet.launcher.logs.tail(CLUSTER, driver, "driver.stdout", 100) == "text"


def test_a_delivery_that_never_ends_does_not_keep_a_cluster_from_ending(fleet):
    running(fleet)
    fleet.kinds = ("cluster",)  # nobody delivers
    fleet.delete(CLUSTER)
    began = fleet.clock()
    fleet.settle()
    assert log_delivery.PATIENCE_MS <= fleet.clock() - began < log_delivery.PATIENCE_MS + 2_000


def test_a_volume_that_refuses_is_an_event(fleet):
    driver, _ = running(fleet, cluster_log_conf={"volumes": {"destination": "/Volumes/a/b/c"}})
    fleet.bucket.refuses = "there is no such volume"
    say(fleet, driver, "driver.stdout", "text")
    fleet.pass_time(3 * FIVE_MINUTES)
    assert fleet.events(CLUSTER).count("UC_VOLUME_MISCONFIGURED") == 1


def test_erased_with_its_cluster(fleet):
    running(fleet)
    fleet.delete_for_ever(CLUSTER)
    while fleet.state(CLUSTER) != "GONE":
        fleet.step()
    fleet.pass_time(2 * FIVE_MINUTES)
    assert state(fleet) is None


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (LogFile("c-0-1", 0, "driver.stdout", 1, 0, 2), "c/driver/stdout"),
        (LogFile("c-0-1", 0, "driver.stderr", 1, 10**9, 2, ended=True), "c/driver/stderr--1970-01-01--00-00-01"),
        (LogFile("c-0-1", 0, "context-7.stderr", 1, 0, 2), "c/driver/context-7.stderr"),
        (LogFile("c-1-1", 1, "executor-12.stdout", 1, 0, 2), "c/executor/app-c-2/12/stdout"),
        (LogFile("c-1-1", 1, "something.log", 1, 0, 2), "c/executor/app-c-2/c-1-1/something.log"),
        (LogFile("c-1-1", 1, "init_scripts.x.log", 1, 0, 2, "10.1.2.3"), "c/init_scripts/c_10_1_2_3/x.log"),
    ],
)
def test_places(file, wanted):
    assert place("c", file, 7) == f"{wanted.partition('--')[0]}--2-00007"
    assert place("c", file) == wanted
