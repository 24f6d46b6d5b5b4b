"""The unmodified SDK drives commands over a real socket."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.compute import CommandStatus, ContextStatus, Language, ResultType

MODULES = ("boathouse.auth.discovery", "boathouse.commands.contexts", "boathouse.commands.commands", "boathouse.identity.me")


@pytest.fixture
def host(served, ground):
    return served(*MODULES)


@pytest.fixture
def client(host, ready, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    return WorkspaceClient(host=host, token=ready.token)


@pytest.fixture
def pauses(monkeypatch, control):
    """The SDK pauses a second and more between looks; here a look follows the next change of a row. What is in the list runs
    first, one at a pause."""
    first = []

    def sleep(seconds):
        if first:
            first.pop()()
        control.pause()

    monkeypatch.setattr("time.sleep", sleep)
    return first


def test_create_execute_cancel_destroy(client, pauses, cluster, jvm):
    run = client.command_execution
    context = run.create_and_wait(cluster_id=cluster, language=Language.PYTHON)
    assert context.status is ContextStatus.RUNNING
    where = {"cluster_id": cluster, "context_id": context.id}

    done = run.execute_and_wait(**where, language=Language.PYTHON, command="print('hello')")
    assert (done.status, done.results.result_type, done.results.data) == (CommandStatus.FINISHED, ResultType.TEXT, "hello\n")

    failed = run.execute_and_wait(**where, language=Language.PYTHON, command="boom")
    assert (failed.status, failed.results.result_type) == (CommandStatus.FINISHED, ResultType.ERROR)
    assert failed.results.summary == "NameError: name 'boom' is not defined"

    jvm.answers["SELECT 1 AS a"] = {
        "state": "finished",
        "schema": [{"name": "a", "type": "int", "json": '"integer"'}],
        "data": [[1]],
    }
    table = run.execute_and_wait(**where, language=Language.SQL, command="SELECT 1 AS a").results
    assert (table.result_type, table.data, table.schema[0]["name"]) == (ResultType.TABLE, [[1]], "a")

    endless = run.execute(**where, language=Language.PYTHON, command="while True: pass")
    cancelled = run.cancel_and_wait(**where, command_id=endless.command_id)
    assert cancelled.status is CommandStatus.CANCELLED

    run.destroy(cluster, context.id)
    with pytest.raises(NotFound, match="ContextNotFound"):
        run.context_status(cluster, context.id)


def test_a_cluster_that_comes_up_is_waited_for_by_the_sdk_itself(client, pauses, cluster, change_cluster, jvm):
    change_cluster(state="PENDING")
    pauses.append(lambda: change_cluster(state="RUNNING"))
    context = client.command_execution.create_and_wait(cluster_id=cluster, language=Language.SQL)
    assert context.status is ContextStatus.RUNNING
    assert pauses == []


def test_a_stranger_is_refused(host, cluster, make_user, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    stranger = WorkspaceClient(host=host, token=make_user("stranger@x.org")[1])
    with pytest.raises(PermissionDenied, match="does not have Attach permissions"):
        stranger.command_execution.create(cluster_id=cluster, language=Language.PYTHON)
