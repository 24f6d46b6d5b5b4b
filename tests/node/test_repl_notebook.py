"""What a notebook has beside Python itself, in the REPL: widgets, notebook.exit, restartPython, magics, %pip."""

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

#: BOATHOUSE_TEST_PYTHON names another Python (3.8 or later) to run the REPL with.
PYTHON = os.environ.get("BOATHOUSE_TEST_PYTHON", sys.executable)


def test_widgets_keep_their_first_value_and_are_checked(repl):
    assert (
        repl.text("dbutils.widgets.text('a', 'one', 'A'); dbutils.widgets.text('a', 'two'); dbutils.widgets.get('a')")
        == "'one'\n"
    )
    repl.text("dbutils.widgets.dropdown('d', '1', ['1', '2']); dbutils.widgets.combobox('c', 'x', ['1'])")
    repl.text("dbutils.widgets.multiselect('m', '2', ['1', '2'])")
    assert repl.text("dbutils.widgets.getAll()") == "{'a': 'one', 'd': '1', 'c': 'x', 'm': '2'}\n"
    assert repl.text("dbutils.widgets.remove('a'); dbutils.widgets.getArgument('a', 'else')") == "'else'\n"
    assert repl.run("dbutils.widgets.get('a')")["summary"] == "InputWidgetNotDefined: No input widget named a is defined"
    assert "is not one of its choices: 1, 2" in repl.run("dbutils.widgets.dropdown('e', '3', ['1', '2'])")["summary"]
    assert repl.text("dbutils.widgets.removeAll(); dbutils.widgets.getAll()") == "{}\n"
    assert "dbutils.widgets: text(name" in repl.text("dbutils.help()")


def test_notebook_exit_ends_the_command_with_its_value(repl):
    code = "print('before')\ntry:\n    dbutils.notebook.exit('done')\nexcept Exception:\n    pass\nprint('never')"
    assert repl.text(code) == "before\nNotebook exited: done"
    assert "dbutils.notebook.run is not served" in repl.run("dbutils.notebook.run('/x', 60)")["summary"]


def test_restart_python_forgets_variables_and_keeps_context_and_results(repl):
    repl.text("x = 1\nimport os\nos.environ['CHANGED'] = 'yes'; os.chdir('/')")
    pid = repl.text("os.getpid()")
    restarting = repl.begin("dbutils.library.restartPython()")
    ended = {}
    while len(ended) < 3 or not ended.get("ready"):
        seen = repl.receive()
        ended[seen.get("id", seen["event"])] = seen
    assert ended[restarting]["result"] == {"resultType": "text", "data": ""}
    assert "NameError" in repl.run("x")["summary"]
    assert repl.text("import os\nos.environ.get('CHANGED'), os.getcwd() == '/'") == "(None, False)\n"
    assert repl.text("os.getpid()") == pid
    repl.send(op="execute", id=restarting, code="dbutils.library.restartPython()")
    repl.send(op="status", id=restarting)
    assert repl.receive()["state"] == "finished"


def test_magics_at_the_head_of_a_command(repl):
    assert repl.text("%sh echo one; exit 3") == "one\n"
    assert repl.text("\n%sh\necho two\necho three >&2") == "two\nthree\n"
    assert repl.run("%sh -e\nexit 3")["summary"] == "MagicError: %sh -e ended with exit code 3"
    assert repl.text("%python\n1 + 1") == "2\n"
    assert repl.text("%md # Title") == "# Title\n"
    assert '"language": "scala"' in repl.run("%scala\n1")["summary"]
    assert "%run is not served by Boathouse yet" in repl.run("%run ./other")["summary"]
    assert "%what is not known. Served at the head" in repl.run("%what")["summary"]
    assert "needs Spark" in repl.run("%sql select 1")["summary"]
    assert repl.run("1\n%sh ls")["summary"].startswith("SyntaxError")


def test_a_cancelled_shell_ends_with_all_that_it_started(repl):
    id = repl.begin("%sh echo $$ > pid; sleep 1000 & wait")
    pid = repl.log.parent / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        repl.send(op="status", id=id)
        assert repl.receive()["state"] == "running"
    repl.send(op="cancel", id=id)
    assert repl.receive()["state"] == "cancelled"
    group, pause = int(pid.read_text()), threading.Event()
    for _ in range(500):  # until whoever adopts orphans here has collected the dead
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        pause.wait(0.01)
    raise AssertionError(f"process group {group} is still there")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package `onlyhere` of one module."""
    path = tmp_path / "onlyhere-1.0-py3-none-any.whl"
    about = "onlyhere-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("onlyhere.py", "answer = 42\n")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: onlyhere\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return path


def test_pip_installs_for_its_own_context_alone_and_survives_a_restart(start, wheel):
    found = [each for each in (PYTHON, getattr(sys, "_base_executable", PYTHON)) if _has_pip(each)]
    if not found:
        pytest.skip("no Python with pip is here")
    one = start(python=found[0])
    one.receive()
    assert "onlyhere" in (said := one.text(f"%pip install --no-index {wheel}\nimport onlyhere\nonlyhere.answer")), said
    assert said.endswith("42\n") and "restartPython() to use updated packages" in said
    one.begin("%restart_python")
    while one.receive()["event"] != "ready":
        pass
    two = start(python=found[0], context="2")
    two.receive()
    assert two.run("import onlyhere")["summary"] == "ModuleNotFoundError: No module named 'onlyhere'"
    assert "pip ended with exit code" in two.run("%pip install --no-index nothing-of-that-name")["summary"]
    assert two.run("%pip")["summary"].startswith("MagicError: %pip needs a command")


def _has_pip(python: str) -> bool:
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
