"""Init scripts in words: what may be asked for, how positions move, how logs are called."""

import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute import init_scripts
from boathouse.compute.global_init_scripts import moved
from boathouse.compute.init_scripts import Ran
from boathouse.compute.script_shelf import LaunchScripts, ScriptPending, ScriptUnavailable
from boathouse.compute.world import InitScript, NodeRow
from boathouse.wire.compute import ClusterSpec

SPEC = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 0}
IMAGE = {"docker_image": {"url": "registry.example.com/team/image:1"}}


def said(scripts: list, **more) -> list[str]:
    spec = msgspec.convert({**SPEC, **more, "init_scripts": scripts}, ClusterSpec)
    return list(init_scripts.violations(spec))


@pytest.mark.parametrize(
    "script, more",
    [
        ({"workspace": {"destination": "/Users/ann@example.com/a.sh"}}, {}),
        ({"volumes": {"destination": "/Volumes/c/s/v/a.sh"}}, {}),
        ({"dbfs": {"destination": "dbfs:/a.sh"}}, {}),
        ({"s3": {"destination": "s3://bucket/a.sh", "region": "eu-central-1"}}, {}),
        ({"s3": {"destination": "s3://bucket/a.sh", "endpoint": "https://s3.example.com"}}, {}),
        ({"abfss": {"destination": "abfss://container@account.dfs.core.windows.net/a.sh"}}, {}),
        ({"gcs": {"destination": "gs://bucket/a.sh"}}, {}),
        ({"file": {"destination": "file:/opt/a.sh"}}, IMAGE),
    ],
)
def test_every_kind_of_place_is_allowed(script, more):
    assert said([script], **more) == []


@pytest.mark.parametrize(
    "script, words",
    [
        ({}, ["init_scripts[0]", "no place is given", "exactly one of workspace"]),
        ({"dbfs": {"destination": "dbfs:/a"}, "workspace": {"destination": "/a"}}, ["workspace, dbfs are given"]),
        ({"dbfs": {"destination": "/a.sh"}}, ["init_scripts[0].dbfs.destination", "'/a.sh'", "begins with dbfs:/"]),
        ({"volumes": {"destination": "/Volumes/c/s/v/"}}, ["init_scripts[0].volumes.destination", "path of a file"]),
        ({"s3": {"destination": "s3://bucket/a.sh"}}, ["init_scripts[0].s3", "region or endpoint"]),
        ({"s3": {"destination": "s3://b/a.sh", "region": "a/../b"}}, ["init_scripts[0].s3.region", "such as eu-west-1"]),
        ({"s3": {"destination": "s3://b/a.sh", "endpoint": "https://["}}, ["init_scripts[0].s3.endpoint", "of the form"]),
        ({"file": {"destination": "file:/opt/a.sh"}}, ["init_scripts[0].file", "docker_image only"]),
    ],
)
def test_a_wrong_place_is_refused_by_name(script, words):
    (sentence,) = said([script])
    for word in words:
        assert word in sentence


def test_each_wrong_script_is_named_by_its_place():
    sentences = said([{"dbfs": {"destination": "dbfs:/a"}}, {}, {"gcs": {"destination": "gs://b/"}}])
    assert [sentence.split(":")[0] for sentence in sentences] == ["init_scripts[1]", "init_scripts[2].gcs.destination"]


@given(st.lists(st.text("abc", min_size=1, max_size=3), unique=True), st.none() | st.integers(0, 9))
def test_a_moved_script_is_where_it_was_wished_and_the_others_keep_their_order(order, position):
    found = moved(order, "me", position)
    assert sorted(found) == sorted([*order, "me"])
    assert [each for each in found if each != "me"] == order
    assert found.index("me") == (len(order) if position is None else min(position, len(order)))


def test_the_name_of_a_log_is_a_file_name_and_says_what_ran():
    node = NodeRow("1123-120000-aaaaaaaa-0-1", 0, 1, 1, False, 1_700_000_000_000)
    script = InitScript("cluster", "s3://bucket/some dir/größe.sh", "0")
    name = init_scripts.log_name(node, 3, script, "stderr")
    assert name == "20231114_221320_03_gr_e.sh.stderr.log"


def test_events_tell_the_status_of_each_script_by_scope():
    scripts = (
        InitScript("global", "all", "A1"),
        InitScript("cluster", "dbfs:/a.sh", "0", info={"dbfs": {"destination": "dbfs:/a.sh"}}),
    )
    told = init_scripts.told(scripts, {0: Ran("SUCCEEDED", 1.9)}, "10.0.0.2")
    assert told == {
        "reported_for_node": "10.0.0.2",
        "global": [{"status": "SUCCEEDED", "execution_duration_seconds": 1}],
        "cluster": [{"dbfs": {"destination": "dbfs:/a.sh"}, "status": "NOT_EXECUTED"}],
    }


def test_a_content_that_is_slow_holds_nobody_up(monkeypatch):
    monkeypatch.setattr("boathouse.compute.script_shelf.PATIENCE", 0.01)
    arrives, read = threading.Event(), []

    def slowly(script: InitScript) -> bytes:
        read.append(script.name)
        arrives.wait(30)
        if len(read) == 1:
            raise ScriptUnavailable("it breaks off")
        return b"true"

    scripts = LaunchScripts((InitScript("cluster", "a.sh", "0"),), slowly)
    for _ in range(3):
        with pytest.raises(ScriptPending):
            scripts.content(0)
    assert read == ["a.sh"], "it is read once"
    arrives.set()
    monkeypatch.setattr("boathouse.compute.script_shelf.PATIENCE", 30.0)
    with pytest.raises(ScriptUnavailable):
        scripts.content(0)
    assert scripts.content(0) == scripts.content(0) == b"true" and len(read) == 2
