"""Locations that are kept here: read and written as somebody, whole or not at all, refused by name."""

import pytest

from boathouse.workspace.locations import LocationError, Locations, Reader


@pytest.fixture
def locations(services) -> Locations:
    return services.get(Locations)


@pytest.fixture
def admin(ready):
    return Reader(ready.home.workspace_id, ready.home.admin)


@pytest.fixture
def ann(make_user, ready):
    make_user("ann@x.org")
    return Reader(ready.home.workspace_id, "ann@x.org")


def refusal(call, *args, **named):
    with pytest.raises(LocationError) as refused:
        call(*args, **named)
    return refused.value.kind, refused.value.message


def test_written_and_read_in_dbfs(locations, ann, admin):
    locations.write("dbfs:/logs/a/b.txt", ann, [b"one", b"two"])
    assert b"".join(locations.read("dbfs:/logs/a/b.txt", admin, limit=6)) == b"onetwo"
    locations.write("dbfs:/logs/a/b.txt", ann, iter([b"three"]))
    assert b"".join(locations.read("dbfs:/logs/a/b.txt", admin, limit=6)) == b"three"
    assert refusal(locations.read, "dbfs:/logs/a/b.txt", ann, limit=4) == (
        "invalid", "dbfs:/logs/a/b.txt has 5 bytes; the limit is 4",
    )  # fmt: skip
    assert refusal(locations.read, "dbfs:/no", ann, limit=4) == ("missing", "dbfs:/no does not exist")
    assert refusal(locations.read, "dbfs:/logs", ann, limit=4) == ("invalid", "dbfs:/logs is a directory")
    assert refusal(locations.write, "dbfs:/logs/a/b.txt/c", ann, [b""])[0] == "invalid"
    assert refusal(locations.write, "dbfs:/logs", ann, [b""]) == ("invalid", "dbfs:/logs is a directory")
    assert refusal(locations.write, "dbfs:/", ann, [b""]) == ("invalid", "dbfs:/ is a directory")


def test_a_write_that_breaks_off_leaves_the_old(locations, ann):
    def breaks():
        yield b"new"
        raise ConnectionError("gone")

    locations.write("dbfs:/f", ann, [b"old"])
    with pytest.raises(ConnectionError):
        locations.write("dbfs:/f", ann, breaks())
    assert b"".join(locations.read("dbfs:/f", ann, limit=10)) == b"old"


def test_homes_are_their_users(locations, ann, admin, make_user, ready):
    make_user("eve@x.org")
    eve = Reader(ready.home.workspace_id, "eve@x.org")
    locations.write("/Workspace/Users/ann@x.org/init.sh", ann, [b"x"])
    assert b"".join(locations.read("/Users/ann@x.org/init.sh", admin, limit=9)) == b"x"
    kind, message = refusal(locations.read, "/Users/ann@x.org/init.sh", eve, limit=9)
    assert (kind, "eve@x.org does not have READ permission" in message) == ("denied", True)
    assert refusal(locations.write, "/Users/ann@x.org/init.sh", eve, [b""])[0] == "denied"
    assert refusal(locations.write, "/Workspace/else/x", eve, [b""])[0] == "denied"
    locations.write("/Workspace/else/x", admin, [b"y"])
    assert refusal(locations.read, "/Workspace/else/x", eve, limit=9)[0] == "denied"
    locations.write("/Shared/x", eve, [b"shared"])
    assert b"".join(locations.read("/Workspace/Shared/x", ann, limit=9)) == b"shared"


def test_strangers_and_impossible_locations(locations, ann, ready):
    nobody = Reader(ready.home.workspace_id, "nobody@x.org")
    assert refusal(locations.read, "dbfs:/x", nobody, limit=1)[0] == "denied"
    for location in ("", "x", "/etc/passwd", "http://x/y", "dbfs:x", "dbfs:/a/../b", "dbfs:/a\0b", "/Users/x/../y"):
        assert refusal(locations.read, location, ann, limit=1)[0] == "invalid", location
