import os
import stat
import threading

import pytest

from boathouse.auth.keys import KeyFileError, Keys


def test_a_key_is_made_once_and_read_by_every_start(tmp_path):
    first = Keys(tmp_path / "keys").get("server")
    assert len(first) == 32
    assert Keys(tmp_path / "keys").get("server") == first
    assert Keys(tmp_path / "keys").get("other") != first


def test_only_the_owner_reads_keys_and_nothing_else_is_left(tmp_path):
    keys = Keys(tmp_path / "keys")
    keys.get("server")
    assert stat.S_IMODE(keys.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((keys.directory / "server.key").stat().st_mode) == 0o600
    assert [path.name for path in keys.directory.iterdir()] == ["server.key"]


def test_starts_at_the_same_time_agree(tmp_path):
    barrier = threading.Barrier(8)
    found = []

    def start():
        keys = Keys(tmp_path / "keys")
        barrier.wait()
        found.append(keys.get("server"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(list((tmp_path / "keys").iterdir())) == 1


def test_a_crash_while_writing_leaves_no_key(tmp_path, monkeypatch):
    keys = Keys(tmp_path / "keys")

    def crash(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError):
        keys.get("server")
    assert list(keys.directory.iterdir()) == []


def test_damaged_and_open_files_are_refused_by_name(tmp_path):
    keys = Keys(tmp_path / "keys")
    keys.get("server")
    path = keys.directory / "server.key"
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        Keys(keys.directory).get("server")
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(KeyFileError, match="damaged"):
        Keys(keys.directory).get("server")


def test_find_makes_nothing(tmp_path):
    keys = Keys(tmp_path / "keys")
    assert keys.find("kek-0001") is None
    assert list(keys.directory.iterdir()) == []


def test_purposes_do_not_stand_in_for_each_other(tmp_path):
    keys = Keys(tmp_path / "keys")
    assert keys.hmac("a", "text") != keys.hmac("b", "text")
    assert keys.hmac("a", "text") == Keys(keys.directory).hmac("a", "text")
