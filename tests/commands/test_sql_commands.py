"""SQL commands from the API's request to the driver's control interface and back."""

import pytest

from boathouse.commands.reconciler import RESEND_MS

TABLE = {
    "state": "finished",
    "schema": [
        {"name": "n", "type": "int", "json": '"integer"', "metadata": "{}"},
        {"name": "s", "type": "struct<a:int>", "json": '{"type":"struct","fields":[]}', "metadata": "{}"},
    ],
    "data": [[1, {"a": 2}], [None, None]],
    "truncated": False,
}


@pytest.fixture
def shell(open_shell, jvm):
    jvm.answers["SELECT n, s"] = TABLE
    return open_shell("sql")


def test_a_table_comes_in_the_platforms_shape(shell, jvm):
    done = shell.run("SELECT n, s")
    assert done["status"] == "Finished"
    assert done["results"] == {
        "resultType": "table",
        "data": [[1, {"a": 2}], [None, None]],
        "schema": [
            {"name": "n", "type": '"integer"', "metadata": "{}"},
            {"name": "s", "type": '{"type":"struct","fields":[]}', "metadata": "{}"},
        ],
        "truncated": False,
        "isJsonSchema": True,
    }
    assert jvm.sessions == [shell.context]


def test_a_failed_statement_is_a_result(shell, jvm):
    jvm.answers["SELEC"] = {"state": "error", "summary": "ParseException: near 'SELEC'", "cause": "...stack"}
    assert shell.run("SELEC") == {
        "id": next(iter(jvm.statements)),
        "status": "Finished",
        "results": {"resultType": "error", "summary": "ParseException: near 'SELEC'", "cause": "...stack"},
    }


def test_an_empty_statement_fails_as_in_spark(shell):
    assert "PARSE_EMPTY_STATEMENT" in shell.run("  \n")["results"]["summary"]


def test_a_statement_is_cancelled_at_the_driver(shell, jvm):
    endless = shell.send("SELECT endless")
    shell.reach(endless, "Running")
    waiting = shell.send("SELECT n, s")
    assert shell.status(waiting)["status"] == "Queued"
    shell.cancel(endless)
    shell.reach(endless, "Cancelled")
    assert jvm.statements[endless]["state"] == "cancelled"
    assert shell.reach(waiting, "Finished")["results"]["resultType"] == "table"


def test_a_restart_finds_the_statement_again(shell, jvm, control):
    long = shell.send("SELECT long")
    shell.reach(long, "Running")
    control.until(lambda: long in jvm.statements)
    control.kill()
    jvm.ends(long, TABLE)
    control.start()
    assert shell.reach(long, "Finished")["results"]["resultType"] == "table"
    assert list(jvm.statements) == [long]


def test_a_result_that_the_driver_has_forgotten_is_not_made_again(shell, jvm, control, clock):
    insert = shell.send("INSERT INTO t VALUES (1)")
    shell.reach(insert, "Running")
    control.until(lambda: insert in jvm.statements)
    control.kill()
    jvm.ends(insert, TABLE)
    del jvm.statements[insert]
    clock.advance(RESEND_MS + 1000)
    control.start()
    assert "is lost" in shell.reach(insert, "Error")["results"]["summary"]
    assert jvm.statements == {}


def test_python_and_sql_share_a_context(open_shell, jvm):
    jvm.answers["SELECT n, s"] = TABLE
    shell = open_shell("python")
    assert shell.run("1 + 1")["results"]["data"] == "2\n"
    assert shell.run("SELECT n, s", language="sql")["results"]["resultType"] == "table"
    assert jvm.sessions == [shell.context]


def test_a_driver_that_does_not_answer_is_waited_for(shell, jvm, node, clock, control):
    shell.run("SELECT n, s")
    port = node.ports.pop(40000)
    command = shell.send("SELECT n, s")
    shell.reach(command, "Running")
    node.ports[40000] = port
    clock.advance(5000)
    control.contexts.wake(shell.context)
    assert shell.reach(command, "Finished")["status"] == "Finished"
