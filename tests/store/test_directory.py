"""The data directory: one process at a time, one format, files whole or not at all."""

import stat

import pytest

from boathouse.store.directory import DataDirectory, DirectoryError, write_ready


def test_it_keeps_its_instance_id_and_is_nobody_elses(tmp_path):
    first = DataDirectory(tmp_path / "data")
    assert DataDirectory(tmp_path / "data").instance == first.instance
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "keys").stat().st_mode) == 0o700


def test_two_at_once_are_refused_and_the_holder_is_named(tmp_path):
    import os

    one, two = DataDirectory(tmp_path), DataDirectory(tmp_path)
    one.lock()
    with pytest.raises(DirectoryError, match=f"in use by process {os.getpid()}"):
        two.lock()
    assert two.holder() == os.getpid()
    one.unlock()
    assert two.holder() is None
    two.lock()
    two.unlock()


def test_another_format_is_refused_by_name(tmp_path):
    DataDirectory(tmp_path)
    (tmp_path / "format").write_text("7")
    with pytest.raises(DirectoryError, match="has format '7', this Boathouse reads '1'"):
        DataDirectory(tmp_path)


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match="choose another with --data"):
        DataDirectory(tmp_path / "file" / "data")


def test_a_ready_file_is_whole_and_for_its_owner_alone(tmp_path):
    file = tmp_path / "ready.json"
    write_ready(file, {"host": "http://127.0.0.1:1", "pid": 1})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("damage", [b"", b"../../x", b"\xff\xfe", b"0123456g"])
def test_a_damaged_instance_id_is_refused(tmp_path, damage):
    DataDirectory(tmp_path)
    (tmp_path / "instance").write_bytes(damage)
    with pytest.raises(DirectoryError, match="instance is damaged"):
        DataDirectory(tmp_path)


def test_a_format_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "format").write_bytes(b"\xff\xfe")
    with pytest.raises(DirectoryError, match="has format"):
        DataDirectory(tmp_path)
