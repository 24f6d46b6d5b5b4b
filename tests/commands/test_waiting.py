"""Status calls that stay until there is an end to tell."""

import threading

import pytest

from boathouse.commands import waiting


@pytest.fixture
def patient(monkeypatch):
    """Longer than any test: whoever answers has been told, and did not give up."""
    monkeypatch.setattr(waiting, "HOLD", 60.0)
    monkeypatch.setattr(waiting, "LOOK_AGAIN", 60.0)


def test_one_call_sees_the_end_of_a_context_and_of_a_command(patient, open_shell, jvm):
    shell = open_shell("python")
    assert shell.state() == "Running"
    done = shell.status(shell.send("sum(range(10))"))
    assert (done["status"], done["results"]["data"]) == ("Finished", "45\n")


def test_a_command_that_ends_later_ends_the_call(patient, open_shell, jvm, control):
    shell = open_shell("sql")
    command = shell.send("SELECT later")

    def later():
        control.until(lambda: command in jvm.statements)
        jvm.ends(command, {"state": "finished", "schema": [], "data": []})

    thread = threading.Thread(target=later)
    thread.start()
    assert shell.status(command)["status"] == "Finished"
    thread.join()


def test_a_call_does_not_stay_for_ever(monkeypatch, open_shell, jvm):
    monkeypatch.setattr(waiting, "HOLD", 0.2)
    shell = open_shell("sql")
    assert shell.status(shell.send("SELECT endless"))["status"] in ("Queued", "Running")


def test_nobody_is_remembered_who_waits_no_more(patient, open_shell, ground, jvm):
    shell = open_shell("sql")
    shell.state()
    assert ground.changes._waiting == {}
