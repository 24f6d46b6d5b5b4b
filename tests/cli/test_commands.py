"""The command line's manners: exit codes, JSON, messages."""

import json

import pytest

from boathouse.cli import COMMANDS, main
from boathouse.compute.terminations import CATALOGUE


def test_every_command_has_a_module_that_can_be_called():
    from importlib import import_module

    for module, _ in COMMANDS.values():
        room = import_module(f"boathouse.cli.{module}")
        assert callable(room.arguments)
        assert callable(room.run)


def test_wrong_usage_is_2():
    with pytest.raises(SystemExit) as left:
        main(["sail"])
    assert left.value.code == 2


def test_settings_as_json_name_value_and_source(capsys, tmp_path):
    assert main(["settings", "--data", str(tmp_path), "--output", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["data"]["value"] == str(tmp_path)
    assert rows["data"]["source"] == "--data"


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_that_we_can_give_is_explained(capsys, code):
    assert main(["explain", code]) == 0
    said = capsys.readouterr().out
    assert CATALOGUE[code].meaning in said
    assert CATALOGUE[code].fix in said


def test_a_code_that_we_do_not_give_is_refused(capsys):
    assert main(["explain", "NOT_A_CODE"]) == 1
    assert "'NOT_A_CODE' is not a code that Boathouse gives" in capsys.readouterr().err


def test_the_token_of_a_ready_file_goes_to_its_own_server_only(capsys, tmp_path, monkeypatch):
    (tmp_path / "ready.json").write_text(json.dumps({"host": "http://127.0.0.1:1", "token": "dapi-secret"}))
    monkeypatch.delenv("DATABRICKS_TOKEN", raising=False)
    monkeypatch.setenv("DATABRICKS_HOST", "elsewhere.example")
    assert main(["why", "0101-000000-abcdefgh", "--data", str(tmp_path)]) == 1
    assert "no token for elsewhere.example" in capsys.readouterr().err
    monkeypatch.setenv("DATABRICKS_HOST", "http://127.0.0.1:1/")
    assert main(["why", "0101-000000-abcdefgh", "--data", str(tmp_path)]) == 1
    assert "http://127.0.0.1:1 does not answer" in capsys.readouterr().err


def test_without_a_server_a_command_says_how_to_get_one(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    monkeypatch.delenv("DATABRICKS_TOKEN", raising=False)
    assert main(["why", "0101-000000-abcdefgh", "--data", str(tmp_path)]) == 1
    assert "start `boathouse up`" in capsys.readouterr().err


def test_the_password_of_a_database_is_not_printed(capsys, tmp_path):
    (tmp_path / "boathouse.toml").write_text('database_url = "postgresql://ann:hunter2@db/x?sslpassword=hunter3&a=b"')
    assert main(["settings", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "postgresql://ann:***@db/x?sslpassword=***&a=b" in said and "hunter" not in said
