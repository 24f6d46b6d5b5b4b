"""`boathouse password`: on the data directory, without a server."""

import io
import json

import pytest

from boathouse.auth import passwords
from boathouse.cli import main
from boathouse.server import opened
from boathouse.settings import load

ADMIN = "admin@boathouse.local"


def test_set_from_standard_input_and_by_link(capsys, tmp_path, monkeypatch):
    data = str(tmp_path / "data")
    monkeypatch.setattr("sys.stdin", io.StringIO("a boat of cedar\n"))
    assert main(["password", ADMIN, "--data", data]) == 0
    assert capsys.readouterr().out == f"The password of {ADMIN} is set.\n"
    with opened(load({"data": data}, {})) as parts, parts.store.read() as reader:
        stored = passwords.stored_hash(reader, parts.ready.home.admin_id)
        assert passwords.verify(stored, "a boat of cedar") and not passwords.verify(stored, "a boat of oak")
        assert stored.startswith("$argon2id$")
    assert main(["password", ADMIN, "--link", "--host", "https://lake.corp/", "--data", data, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["url"].startswith("https://lake.corp/login/link/")


@pytest.mark.parametrize(
    ("user", "password", "words"), [(ADMIN, "short", "10 to 1024"), ("nobody@x.org", "a boat of cedar", "no user nobody@x.org")]
)
def test_refusals(capsys, tmp_path, monkeypatch, user, password, words):
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    assert main(["password", user, "--data", str(tmp_path / "data")]) == 1
    assert words in capsys.readouterr().err
