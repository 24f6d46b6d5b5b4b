"""What the machine keeps of registries: by digest, least recently used goes first."""

import os

from boathouse.images.content import Content, digest_of


def keep(content: Content, body: bytes, used: float) -> str:
    digest = digest_of(body)
    content.keep(digest, body)
    path = content.find(digest)
    assert path is not None
    os.utime(path, (used, used))
    return digest


def test_least_recently_used_goes_first(tmp_path):
    content = Content(tmp_path / "pulled", 20)
    old, middle, new = (keep(content, mark * 10, used) for mark, used in ((b"a", 1), (b"b", 2), (b"c", 3)))
    content.trim()
    assert [content.read(each) for each in (old, middle, new)] == [None, b"b" * 10, b"c" * 10]
    assert (tmp_path / "pulled").stat().st_mode & 0o777 == 0o700


def test_what_is_read_counts_as_used_and_what_is_held_stays(tmp_path):
    content = Content(tmp_path, 0)
    held, other = keep(content, b"held", 1), keep(content, b"other", 2)
    with content.holding(frozenset({held})):
        content.trim()
        assert content.read(held) == b"held" and content.read(other) is None
    assert content.read(held) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_spoilt_on_the_disk_is_not_given(tmp_path):
    content = Content(tmp_path, 100)
    digest = keep(content, b"honest", 1)
    path = content.find(digest)
    assert path is not None
    path.write_bytes(b"spoilt")
    assert content.read(digest) is None and not path.exists()


def test_unfinished_files_are_left_for_a_day(tmp_path):
    content = Content(tmp_path, 0)
    fresh, old = content.part(digest_of(b"x")), content.part(digest_of(b"y"))
    os.utime(old, (1, 1))
    content.trim()
    assert fresh.exists() and not old.exists()


def test_an_open_file_outlives_its_name(tmp_path):
    content = Content(tmp_path, 0)
    digest = keep(content, b"still there", 1)
    file = content.open(digest, 11)
    assert file is not None
    content.trim()
    with file:
        assert file.read() == b"still there"
    assert content.open(digest, 11) is None


def test_a_file_that_became_shorter_is_not_given(tmp_path):
    content = Content(tmp_path, 100)
    digest = keep(content, b"honest", 1)
    assert content.open(digest, 7) is None and content.find(digest) is None


def test_what_cannot_be_kept_is_no_failure(tmp_path):
    (tmp_path / "file").touch()
    content = Content(tmp_path / "file", 100)
    content.keep(digest_of(b"x"), b"x")
    assert content.read(digest_of(b"x")) is None
    content.trim()
