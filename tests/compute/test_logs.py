"""What lies where logs are read from: a node's daemon could write there."""

import os

import pytest

from boathouse.compute.logs import Freed, LogReader, OpenLog, _read_file
from boathouse.compute.nodes import NodeDirectories
from boathouse.dataplane.simulated import SimulatedLink


def test_pieces_of_a_log(tmp_path):
    (tmp_path / "driver.stderr").write_bytes(b"0123456789")
    assert _read_file(tmp_path / "driver.stderr", -4, 2) == (b"67", 6, 10)
    assert _read_file(tmp_path / "driver.stderr", 10**30, 5) == (b"", 10, 10)
    assert _read_file(tmp_path / "driver.stderr", -(10**30), 3) == (b"012", 0, 10)


def test_what_a_node_has_freed_is_passed_over(tmp_path):
    path = tmp_path / "driver.stderr"
    with path.open("wb") as file:
        file.write(b"head")
        file.seek(1 << 20)
        file.write(b"tail")
    assert _read_file(path, -6, 10) == (b"tail", 1 << 20, (1 << 20) + 4)
    data, at, _ = _read_file(path, 1, 2 << 20)  # up to the hole, which begins with a block
    assert (data.rstrip(b"\0"), at) == (b"ead", 1) and len(data) < 1 << 20
    with path.open("rb") as file, pytest.raises(Freed):
        OpenLog(file.fileno()).read((1 << 20) - 4, 8)


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


def test_a_link_in_the_place_of_a_folder_of_logs_leads_nowhere(tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "server.key").write_text("secret")
    directories = NodeDirectories(tmp_path / "data", lambda purpose, text: text)
    directories.prepare("c-0-1")
    place = directories.path("c-0-1") / "logs"
    place.rmdir()
    place.symlink_to(keys)
    reader = LogReader(Gone(), directories)
    assert reader.read("c", "c-0-1", "server.key", 0, 100) is None
    assert reader.listed("c", "c-0-1") == []
    with reader.opened("c", "c-0-1", "server.key") as opened:
        assert opened is None
    directories.keep("c-0-1", "container.stderr", b"x")
    directories.archive("c", "c-0-1")
    assert [file.name for file in keys.iterdir()] == ["server.key"] and not directories.logs.exists()


def test_our_own_log_goes_through_no_link_and_is_kept_once(tmp_path):
    directories = NodeDirectories(tmp_path, lambda purpose, text: text)
    directories.prepare("c-0-1")
    place = directories.path("c-0-1") / "logs"
    (place / "a").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "b"):
        directories.keep("c-0-1", name, b"first")
        directories.keep("c-0-1", name, b"second")
    assert (place / "b").read_bytes() == b"first" and not (tmp_path / "elsewhere").exists()
    directories.keep("c-0-2", "b", b"of a node that is gone")


class Gone(SimulatedLink):
    """A link to nodes that are not connected."""

    def __init__(self):
        return

    def connected(self, node_id):
        return False
