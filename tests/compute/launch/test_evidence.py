"""The lines that explain a failure."""

import pytest

from boathouse.compute.evidence import MOST_LINES, blames, telling

INFO = "26/11/23 16:21:04 INFO SparkContext: Running Spark version 4.0.5"
TRACE = ["java.lang.NumberFormatException: Time must be specified", *(f"\tat a.B.c{n}(B.java:{n})" for n in range(40))]
SHORT = [TRACE[0], *TRACE[1:4], "\t..."]


def test_an_exception_is_told_with_its_first_frames():
    log = [INFO, "26/11/23 16:21:06 ERROR SparkContext: Error initializing SparkContext.", *TRACE]
    assert telling("\n".join(log)).split("\n") == [log[1], *SHORT]


def test_what_is_logged_and_printed_is_told_once():
    assert telling("\n".join([*TRACE, *TRACE])).split("\n") == SHORT


def test_causes_stay():
    log = [*TRACE, "Caused by: java.io.IOException: disk full", "\tat x.Y.z(Y.java:1)", "\t... 12 more"]
    assert telling("\n".join(log)).split("\n")[-3:] == log[-3:]


def test_without_a_cause_the_end_of_the_log_is_told():
    assert telling("\n".join([INFO] * 30)).split("\n") == [INFO] * 8
    assert telling("") == ""


def test_it_is_bounded():
    log = [f"java.lang.Error: number {n}" for n in range(1000)]
    assert len(telling("\n".join(log)).split("\n")) == MOST_LINES


CPUS = "java.lang.IllegalArgumentException: spark.task.cpus should be int, but was x"
NO_JAVA = "Unrecognized VM option 'UseNothing'\nError: Could not create the Java Virtual Machine."


@pytest.mark.parametrize(
    ("evidence", "settings", "blamed"),
    [
        (CPUS, ["spark.task.cpus", "spark.a"], True),
        (CPUS, ["spark.task", "cpus", "spark.task.cpus.more"], False),
        (f"{CPUS}\n\tat a.B.c(B.java:1)", [], False),
        ("Caused by: Illegal value for config key spark.network.timeout: no time.", ["spark.network.timeout"], True),
        ("26/11/23 16:21:04 WARN SparkConf: spark.old is deprecated\njava.lang.Error: no", ["spark.old"], False),
        (NO_JAVA, ["spark.driver.extraJavaOptions"], True),
        (NO_JAVA, ["spark.driver.memory"], False),  # the image's Java, or the machine
        ("java.lang.NumberFormatException: Time\nFailed to parse time string: soon", ["spark.network.timeout"], False),
        ("", ["spark.a"], False),
    ],
)
def test_who_is_to_blame_for_a_spark_that_did_not_start(evidence, settings, blamed):
    assert blames(evidence, dict.fromkeys(settings, "1")) is blamed


@pytest.mark.parametrize("line", ["Failed to parse time string: soon", "Failed to parse byte string: soon"])
def test_a_value_that_cannot_be_read_is_known_by_itself(line):
    assert blames(f"java.lang.NumberFormatException: must be specified as\n{line}", {"spark.network.timeout": "soon"})
