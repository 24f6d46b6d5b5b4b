"""What lies where logs are read from: a node's daemon could write there."""

import os

import pytest

from boathouse.compute.logs import _read_file


def test_pieces_of_a_log(tmp_path):
    (tmp_path / "driver.stderr").write_bytes(b"0123456789")
    assert _read_file(tmp_path / "driver.stderr", -4, 2) == (b"67", 6, 10)
    assert _read_file(tmp_path / "driver.stderr", 10**30, 5) == (b"", 10, 10)
    assert _read_file(tmp_path / "driver.stderr", -(10**30), 3) == (b"012", 0, 10)


@pytest.mark.parametrize("kind", ["link", "directory", "pipe", "nothing"])
def test_what_is_no_log_is_not_read(tmp_path, kind):
    path = tmp_path / "driver.stderr"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    assert _read_file(path, 0, 100) is None
