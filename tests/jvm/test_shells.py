"""Scala on a running driver with an executor: state, classes on executors, results, errors, cancelling. R where it is there."""

import secrets
import shutil

import pytest

pytestmark = pytest.mark.spark


@pytest.fixture(scope="session")
def shell(cluster):
    """`shell(code)`: the result of a command; `shell.submit(code)`: its name."""
    return Shell(cluster, "scala", {})


class Shell:
    def __init__(self, cluster, language, options) -> None:
        self.cluster, self.language = cluster, language
        self.context = secrets.token_hex(4)
        asked = {"context": self.context, "language": language, "options": options}
        while (standing := cluster.call("POST", "/sessions", asked)[1])["state"] == "starting":
            cluster.sql("SELECT reflect('java.lang.Thread', 'sleep', 100L)", "waiting")
        assert standing == {"state": "ready", "message": ""}

    def submit(self, code):
        return self.cluster.submit(code, self.context, language=self.language)

    def __call__(self, code):
        answer = self.cluster.wait(self.submit(code))
        assert answer["state"] == "finished", answer
        return answer["result"]


def test_scala_keeps_state_prints_and_shows_values(shell):
    assert shell("val x = 41\nx + 1")["data"].endswith("Int = 42\n")
    assert shell('println("out"); System.err.println("err")')["data"] == "out\nerr\n"
    assert shell("x * 2")["data"].endswith("Int = 82\n")
    assert shell("// nothing\n")["data"] == ""
    assert shell('displayHTML("<b>")')["data"] == "<b>"


def test_classes_of_a_command_work_on_executors(shell):
    code = """
case class P(a: Int, b: String)
val more = 10
spark.createDataset(Seq(P(1, "x"), P(2, "y"))).map(p => p.copy(a = p.a + more)).collect().foreach(println)
sc.parallelize(1 to 4, 2).map(i => P(i, "z")).filter(_.a > 3).collect().foreach(println)
"""
    assert [line for line in shell(code)["data"].splitlines() if line.startswith("P(")] == ["P(11,x)", "P(12,y)", "P(4,z)"]


def test_contexts_define_the_same_names_apart(shell, cluster):
    other = Shell(cluster, "scala", {})
    shell("class Same { def who = 1 }")
    other('class Same { def who = "two" }')
    assert shell("sc.parallelize(Seq(1)).map(_ => new Same().who).collect().sum")["data"].endswith("Int = 1\n")
    assert "two" in other("sc.parallelize(Seq(1)).map(_ => new Same().who).collect().mkString")["data"]


def test_a_displayed_dataset_is_a_table(shell):
    shown = shell('display(spark.range(2).selectExpr("id", "cast(id AS string) AS s")); println("beside")')
    assert (shown["resultType"], shown["data"], shown["summary"]) == ("table", [[0, "0"], [1, "1"]], "beside\n")
    assert [field["json"] for field in shown["schema"]] == ['"long"', '"string"']


@pytest.mark.parametrize(
    "code, summary",
    [
        ('println("before")\nthrow new IllegalStateException("boom")', "java.lang.IllegalStateException: boom"),
        ("nobody + 1", "not found: value nobody"),
        ("def f(", "incomplete command"),
        ("sc.parallelize(Seq(1)).map(i => i / (i - i)).collect()", "java.lang.ArithmeticException: / by zero"),
    ],
)
def test_errors_are_results_with_a_cause(shell, code, summary):
    failed = shell(code)
    assert failed["resultType"] == "error"
    assert summary in failed["summary"] and failed["cause"] and "$eval" not in failed["cause"]
    assert failed.get("data", "") == ("before\n" if "before" in code else "")


@pytest.mark.parametrize(
    "code", ["while (true) {}", "Thread.sleep(1000000)", "sc.parallelize(Seq(1)).map { i => Thread.sleep(1000000); i }.collect()"]
)
def test_cancel_ends_a_command(shell, cluster, code):
    name = shell.submit(code)
    assert cluster.call("GET", f"/sql/{name}?wait_ms=700")[1]["state"] == "running"
    assert cluster.call("POST", "/cancel", {"id": name})[0] == 200
    assert cluster.wait(name)["state"] == "cancelled"
    assert shell("1 + 1")["data"].endswith("Int = 2\n")


def test_widgets_and_exit(shell):
    assert shell('dbutils.widgets.text("w", "d"); dbutils.widgets.get("w")')["data"].endswith("String = d\n")
    assert shell('dbutils.notebook.exit("bye"); println("never")')["data"] == "Notebook exited: bye"


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="this machine has no R")
def test_r_keeps_state_plots_fails_and_is_cancelled(cluster):
    shell = Shell(cluster, "r", {"program": "Rscript"})
    assert shell("x <- 41\nx + 1")["data"] == "[1] 42\n"
    assert shell("plot(1:3)")["resultType"] == "image"
    assert shell("display(data.frame(a = 1:2, b = c('u', NA)))")["data"] == [[1, "u"], [2, None]]
    assert shell("stop('boom')")["summary"] == "Error: boom"
    name = shell.submit("repeat {}")
    assert cluster.call("GET", f"/sql/{name}?wait_ms=300")[1]["state"] == "running"
    cluster.call("POST", "/cancel", {"id": name})
    assert cluster.wait(name)["state"] == "cancelled"
    assert shell("x")["data"] == "[1] 41\n"
