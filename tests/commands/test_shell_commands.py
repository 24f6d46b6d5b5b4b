"""Scala and R commands from the API's request to the driver's shells and back."""

import pytest

from boathouse.commands import results
from boathouse.commands.shell_context import LOOK_AGAIN_S

TEXT = {"state": "finished", "result": {"resultType": "text", "data": "val x: Int = 1\n"}}


@pytest.fixture
def scala(open_shell, jvm):
    jvm.answers["val x = 1"] = TEXT
    return open_shell("scala")


@pytest.fixture
def with_r(change_cluster, cluster, facts):
    change_cluster(facts={**facts, "image": {**facts["image"], "r": "/usr/bin/Rscript"}})


def test_a_scala_command_and_how_its_shell_is_opened(scala, jvm):
    assert scala.run("val x = 1")["results"] == {"resultType": "text", "data": "val x: Int = 1\n"}
    options = jvm.shells[(scala.context, "scala")]
    assert options["socket"] == "/run/boathouse/node.sock" and len(options["capability"]) >= 32


def test_an_r_shell_is_told_the_images_program(with_r, open_shell, jvm):
    jvm.answers["1"] = TEXT
    shell = open_shell("r")
    assert shell.run("1")["status"] == "Finished"
    options = jvm.shells[(shell.context, "r")]
    assert options["program"] == "/usr/bin/Rscript"
    assert options["socket"] == "/run/boathouse/node.sock" and len(options["capability"]) >= 32


def test_another_language_in_a_context_has_no_capability_of_its_own(open_shell, jvm):
    jvm.answers["val x = 1"] = TEXT
    shell = open_shell("sql")
    assert shell.run("val x = 1", language="scala")["results"]["data"] == "val x: Int = 1\n"
    assert jvm.shells[(shell.context, "scala")]["capability"] == ""


def test_a_context_is_pending_while_its_shell_starts(jvm, open_shell, control, clock):
    jvm.standing = {"state": "starting", "message": ""}
    shell = open_shell("scala")
    control.until(lambda: (shell.context, "scala") in jvm.shells)
    assert shell.state() == "Pending"
    jvm.standing = {"state": "ready", "message": ""}
    clock.advance(2000)
    control.until(lambda: shell.state() == "Running")


def test_a_shell_that_cannot_start_says_why(jvm, open_shell, control):
    jvm.standing = {"state": "failed", "message": "Scala could not be started: no memory"}
    shell = open_shell("scala")
    control.until(lambda: shell.state() == "Error")
    refused = shell.api.post("/api/1.2/commands/execute", json={**shell.keys, "command": "1"})
    assert refused.status_code == 404 and "no memory" in refused.json()["error"]


def test_a_shell_that_ended_takes_its_context_along(scala, jvm, control):
    dead = {"resultType": "error", "summary": "The process was killed", "cause": "The process was killed"}
    quitting = scala.send("quit")
    control.until(lambda: quitting in jvm.statements)
    jvm.standing = {"state": "failed", "message": "The process was killed"}
    jvm.ends(quitting, {"state": "finished", "result": dead})
    assert scala.reach(quitting, "Finished", "Error")["results"]["summary"] == "The process was killed"
    # Whatever is sent next finds out; unless the round that took the result has looked already.
    scala.api.post("/api/1.2/commands/execute", json={**scala.keys, "command": "2"})
    control.until(lambda: scala.state() == "Error")


def test_a_new_control_plane_finds_the_shell_and_its_running_command(scala, jvm, control):
    running = scala.send("endless")
    scala.reach(running, "Running")
    control.until(lambda: running in jvm.statements)
    control.kill()
    opened = dict(jvm.shells)
    control.start()
    jvm.ends(running, TEXT)
    assert scala.reach(running, "Finished")["results"] == TEXT["result"]
    assert jvm.shells == opened


def test_a_shell_that_is_no_longer_there_is_not_made_again(scala, jvm, control):
    scala.run("val x = 1")
    control.kill()
    jvm.shells.clear()
    control.start()
    control.until(lambda: scala.state() == "Error")
    assert jvm.shells == {}


def test_cancel_and_destroy_reach_the_driver(scala, jvm):
    running = scala.send("endless")
    scala.reach(running, "Running")
    assert scala.cancel(running).status_code == 200
    assert scala.reach(running, "Cancelled")["results"]["summary"] == "Command was cancelled"
    scala.api.post("/api/1.2/contexts/destroy", json=scala.keys)
    scala.control.until(lambda: scala.context in jvm.removed)
    assert jvm.shells == {}


def test_a_displayed_table_keeps_what_was_printed():
    column = {"name": "id", "type": "bigint", "json": '"long"', "metadata": "{}"}
    shown = {"resultType": "table", "summary": "t\n", "schema": [column], "data": [[1]], "truncated": False}
    assert results.from_shell({"state": "finished", "result": shown}) == {
        "resultType": "table",
        "data": [[1]],
        "schema": [{"name": "id", "type": '"long"', "metadata": "{}"}],
        "truncated": False,
        "isJsonSchema": True,
        "summary": "t\n",
    }


@pytest.mark.parametrize("answer", [{"state": "finished"}, {"state": "finished", "result": [1]}, {"state": "error"}])
def test_an_answer_that_is_no_result_is_a_failure(answer):
    assert results.from_shell(answer)["resultType"] == "error"


def test_a_shell_is_looked_at_more_often_than_contexts_idle():
    from boathouse.commands.reconciler import IDLE

    assert LOOK_AGAIN_S < IDLE
