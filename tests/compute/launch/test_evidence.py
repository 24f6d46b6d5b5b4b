"""The lines that explain a failure."""

from boathouse.compute.evidence import MOST_LINES, telling

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
