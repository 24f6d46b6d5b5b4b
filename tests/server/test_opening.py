"""What a data directory can be like when a start meets it: one sentence that says what is wrong, never a bug's trace."""

import socket
import sqlite3

import pytest

from boathouse.compute.registry_keys import RegistryKeys
from boathouse.server import StartError, opened, up
from boathouse.settings import load


def settings(directory, **more):
    return load({"data": str(directory), "driver": "simulated", "port": "0", **more}, {})


def start(directory, **more):
    with opened(settings(directory, **more), lock=True):
        pass


@pytest.mark.parametrize("name", ["plain", "with space", "ünï", "a?b=c", "a#b%20c", "quote'\""])
def test_everything_lies_below_the_directory(tmp_path, name):
    start(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "boathouse.db").stat().st_size > 0


def test_a_database_that_is_none(tmp_path):
    start(tmp_path)
    for file in tmp_path.glob("boathouse.db*"):
        file.unlink()
    (tmp_path / "boathouse.db").write_bytes(b"\x07" * 8192)
    with pytest.raises(StartError, match=r"the database in .* cannot be used: file is not a database"):
        start(tmp_path)


def test_a_database_of_a_newer_version(tmp_path):
    start(tmp_path)
    with sqlite3.connect(tmp_path / "boathouse.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(StartError, match="written by a newer Boathouse"):
        start(tmp_path)


@pytest.mark.parametrize(("size", "mode", "says"), [(5, 0o600, "is damaged"), (32, 0o644, "chmod 600")])
def test_a_key_that_cannot_be_trusted(tmp_path, size, mode, says):
    start(tmp_path)
    key = tmp_path / "keys" / "server.key"
    key.write_bytes(b"x" * size)
    key.chmod(mode)
    with pytest.raises(StartError, match=says):
        start(tmp_path)
    key.write_bytes(b"x" * 32)
    key.chmod(0o600)
    start(tmp_path)  # the refused one let go of the directory


@pytest.mark.parametrize("url", ["nonsense", "nosuch://u:hidden-password@h/d", "sqlite:////nowhere/at/all.db"])
def test_a_database_url_that_leads_nowhere(tmp_path, url):
    with pytest.raises(StartError, match="database_url") as refused:
        start(tmp_path, database_url=url)
    assert "hidden-password" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "none/ready.json"])
def test_a_ready_file_that_cannot_be_written(tmp_path, name):
    with pytest.raises(StartError, match="cannot write the ready file"):
        up(settings(tmp_path / "data"), tmp_path / name, quiet=True)
    assert not (tmp_path / "data" / "ready.json").exists()


def test_simulated_nodes_that_cannot_be_read(tmp_path):
    from boathouse.server import planes
    from boathouse.store.directory import DataDirectory

    directory = DataDirectory(tmp_path)
    (tmp_path / "simulated.db").write_bytes(b"no database at all, and long enough to be looked at" * 50)
    with pytest.raises(StartError, match="simulated.db cannot be used: file is not a database; remove the file"):
        settings = load({"data": str(tmp_path), "driver": "simulated"})
        planes.make(settings, directory, lambda *_: True, lambda *_: None, {}, RegistryKeys())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken(tmp_path, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        holder = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"no {host} here")
    with holder:
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=rf"cannot listen on {host}:{port}: Address already in use; .*--port"):
            up(settings(tmp_path, port=str(port), host=host), quiet=True)
    assert not (tmp_path / "ready.json").exists()
