"""Command lines and configuration of drivers and executors."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from boathouse.releases import Release, arguments

RELEASE = Release(
    key="17.3.x-scala2.13",
    spark="4.0.5",
    scala="2.13",
    delta="4.0.1",
    digest="d" * 32,
    directory=Path("/releases/d"),
    layers=(Path("/releases/d"),),
    java_major=17,
    python_minor="3.12",
    connect=True,
    jars=("boathouse.jar", "a.jar", "b.jar"),
    archive="cds/spark.jsa",
    archive_note="",
    glibc="2.34",
)


def properties(**changes) -> dict[str, str]:
    given_by_launch = {
        "cluster_id": "0101-000000-abcdefgh",
        "cluster_name": "team",
        "app_id": "app-1",
        "token": "t" * 32,
        "driver_host": "10.0.0.2",
        "workers": 2,
    }
    return arguments.driver_properties(**{**given_by_launch, **changes})


def test_the_class_path_begins_with_the_release_and_ends_with_the_customer() -> None:
    argv = arguments.driver_argv(RELEASE, heap_mb=1000, extra_class_path=["/databricks/jars/mine.jar"])
    path = argv[argv.index("-cp") + 1].split(":")
    assert path == [
        "/databricks/runtime/jars/boathouse.jar",
        "/databricks/runtime/jars/a.jar",
        "/databricks/runtime/jars/b.jar",
        "/databricks/jars/mine.jar",
    ]
    assert argv[0] == "/databricks/runtime/jre/bin/java"
    assert argv[-2:] == ["boathouse.spark.DriverMain", "/run/boathouse/driver.properties"]


def test_no_option_slows_a_running_jvm_down() -> None:
    """The launch may not be bought with compilers or checks that a 30 second job would miss."""
    for argv in (arguments.driver_argv(RELEASE, heap_mb=1000), executor()):
        text = " ".join(argv)
        assert not re.search(r"TieredStopAtLevel|CompilationMode|-Xint|noverify|BytecodeVerification|Xverify", text)


def test_the_archive_is_used_with_the_own_java_only() -> None:
    own = arguments.driver_argv(RELEASE, heap_mb=1000)
    assert "-XX:SharedArchiveFile=/databricks/runtime/cds/spark.jsa" in own
    both = arguments.driver_argv(replace(RELEASE, lambdas="cds/lambdas.jsa"), heap_mb=1000)
    assert "-XX:SharedArchiveFile=/databricks/runtime/cds/spark.jsa:/databricks/runtime/cds/lambdas.jsa" in both
    image = arguments.driver_argv(RELEASE, heap_mb=1000, image_java=("/usr/bin/java", 17))
    assert image[0] == "/usr/bin/java"
    assert not [option for option in image if "SharedArchiveFile" in option]
    without = arguments.driver_argv(replace(RELEASE, archive=None), heap_mb=1000)
    assert not [option for option in without if "SharedArchiveFile" in option]


def test_java_8_of_an_image_gets_no_module_options() -> None:
    old = replace(RELEASE, key="14.3.x-scala2.12", spark="3.5.7", scala="2.12")
    argv = arguments.driver_argv(old, heap_mb=1000, image_java=("/usr/bin/java", 8))
    assert not [option for option in argv if option.startswith("--add")]


def test_customers_java_options_come_after_ours() -> None:
    argv = arguments.driver_argv(RELEASE, heap_mb=1000, java_options=["-Xmx123m"])
    assert argv.index("-Xmx123m") > argv.index("-Xmx1000m")


def executor() -> list[str]:
    return arguments.executor_argv(
        RELEASE, driver_host="10.0.0.2", executor_id=3, hostname="10.0.0.4", cores=2, app_id="app-1", heap_mb=900
    )


def test_an_executor_knows_its_driver_and_carries_no_secret() -> None:
    argv = executor()
    pairs = dict(zip(argv[-12::2], argv[-11::2], strict=True))
    assert pairs == {
        "--driver-url": "spark://CoarseGrainedScheduler@10.0.0.2:36000",
        "--executor-id": "3",
        "--hostname": "10.0.0.4",
        "--cores": "2",
        "--app-id": "app-1",
        "--secret-file": "/run/boathouse/spark.secret",
    }


def test_the_cluster_with_workers_waits_for_executors_of_the_nodes() -> None:
    assert properties()["spark.master"] == "spark-nodes:0101-000000-abcdefgh"
    assert properties(workers=0)["spark.master"] == "local[*]"
    assert properties(workers=0, local_cores=4)["spark.master"] == "local[4]"


@pytest.mark.parametrize(
    "key",
    ["spark.master", "spark.authenticate", "spark.driver.host", "spark.connect.grpc.binding.address", "boathouse.token"],
)
def test_a_customer_cannot_change_what_must_hold(key: str) -> None:
    assert properties(spark_conf={key: "mine"})[key] == properties()[key]


def test_a_customers_configuration_wins_over_defaults() -> None:
    chosen = properties(spark_conf={"spark.sql.sources.default": "parquet", "spark.eventLog.enabled": "true"})
    assert chosen["spark.sql.sources.default"] == "parquet"
    assert chosen["spark.eventLog.enabled"] == "true"


def test_keys_filled_from_secrets_are_redacted_and_others_are_not() -> None:
    pattern = properties(redacted_keys=["spark.hadoop.fs.key", "spark.my.value"])["spark.redaction.regex"]
    assert re.search(pattern, "spark.my.value")
    assert re.search(pattern, "spark.hadoop.fs.key")
    assert re.search(pattern, "spark.my.PASSWORD")
    assert not re.search(pattern, "spark.my.value.other")
    assert not re.search(pattern, "sparkxmy.value")


def test_a_redaction_of_the_customers_own_is_kept() -> None:
    pattern = properties(redacted_keys=["spark.a"], spark_conf={"spark.redaction.regex": "mine"})["spark.redaction.regex"]
    assert re.search(pattern, "mine") and re.search(pattern, "spark.a")


def read_as_java_does(text: str) -> dict[str, str]:
    """java.util.Properties.load, for texts without comments and continued lines."""
    found: dict[str, str] = {}
    unescape = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
    for line in text.split("\n"):
        parts, at = [""], 0
        while at < len(line):
            c = line[at]
            if c == "\\":
                at += 1
                parts[-1] += unescape.get(line[at], line[at])
            elif c in "=: \t\f" and len(parts) == 1:
                parts.append("")
            else:
                parts[-1] += c
            at += 1
        if len(parts) == 2:
            found[parts[0]] = parts[1]
    return found


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(st.dictionaries(KEYS, st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
def test_java_reads_back_what_was_rendered(content: dict[str, str]) -> None:
    assert read_as_java_does(arguments.render_properties(content)) == content
