"""Content is whole or not there, whatever interrupts; the sweep takes what nothing names, and nothing else."""

import hashlib

import pytest

from boathouse.store.blobs import GRACE_SECONDS, STAGING_SECONDS, Blob, NoBlob, TooLarge


def staged(blobs):
    return sorted(path.name for path in (blobs._directory / "staging").iterdir())


def contents(blobs):
    return {path.name for path in blobs._directory.glob("??/*")}


def read(blobs, digest, *more):
    return b"".join(blobs.read(digest, *more))


def test_content_comes_back_whole_and_in_parts(blobs):
    blob = blobs.put([b"hello ", b"", b"world"])
    assert blob == Blob(hashlib.sha256(b"hello world").hexdigest(), 11)
    assert read(blobs, blob.digest) == b"hello world"
    assert (read(blobs, blob.digest, 6), read(blobs, blob.digest, 2, 3), read(blobs, blob.digest, 50)) == (b"world", b"llo", b"")
    assert blobs.put([b"hello world"]) == blob
    assert (contents(blobs), staged(blobs)) == ({blob.digest}, [])
    assert blobs.put([]).size == 0


def test_what_breaks_off_leaves_nothing(blobs):
    def breaks():
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        blobs.put(breaks())
    with pytest.raises(TooLarge) as refused:
        blobs.put([b"12", b"34"], limit=3)
    assert refused.value.limit == 3
    assert blobs.put([b"123"], limit=3).size == 3
    assert (len(contents(blobs)), staged(blobs)) == (1, [])


def test_unknown_and_impossible_digests(blobs):
    for digest in ("0" * 64, "../../etc/passwd", ""):
        with pytest.raises(NoBlob):
            blobs.read(digest)
        with pytest.raises(NoBlob):
            blobs.keep(digest)


def test_a_staged_file_grows_and_a_block_sent_twice_counts_once(blobs):
    blobs.append("a", 0, b"123")
    blobs.append("a", 3, b"45xxxx")
    blobs.append("a", 3, b"45")
    blobs.append("b", 0, b"6789")
    assert read(blobs, blobs.finish(["a"], 5).digest) == b"12345"
    assert read(blobs, blobs.finish(["a", "b"], 8).digest) == b"12345678"
    with pytest.raises(NoBlob, match="1 of 10"):
        blobs.finish(["a", "b"], 10)
    with pytest.raises(NoBlob):
        blobs.finish(["c"], 1)
    blobs.discard("a")
    blobs.discard("a")
    assert staged(blobs) == ["b"]
    with pytest.raises(ValueError, match="no staging key"):
        blobs.append("../x", 0, b"")


def test_the_sweep_takes_old_content_that_nothing_names(blobs, clock):
    named, unnamed = blobs.put([b"named"]), blobs.put([b"unnamed"])
    assert blobs.sweep(lambda some: set()) == []
    clock.advance(int(GRACE_SECONDS * 1000) + 1000)
    fresh = blobs.put([b"fresh"])
    assert blobs.sweep(lambda some: {named.digest} & set(some)) == [unnamed.digest]
    assert contents(blobs) == {named.digest, fresh.digest}
    assert blobs.sweep(lambda some: {named.digest} & set(some)) == []


def test_what_is_kept_or_written_again_during_a_sweep_stays(blobs, clock):
    kept, written = blobs.put([b"kept"]), blobs.put([b"written"])
    clock.advance(int(GRACE_SECONDS * 1000) + 1000)

    def meanwhile(some):
        blobs.keep(kept.digest)
        blobs.put([b"written"])
        return set()

    first = True

    def explained(some):
        nonlocal first
        if first:
            first = False
            return meanwhile(some)
        return set()

    assert blobs.sweep(explained) == []
    assert contents(blobs) == {kept.digest, written.digest}


def test_an_open_reader_outlives_the_sweep(blobs, clock):
    blob = blobs.put([b"12345"])
    reading = blobs.read(blob.digest)
    clock.advance(int(GRACE_SECONDS * 1000) + 1000)
    assert blobs.sweep(lambda some: set()) == [blob.digest]
    assert b"".join(reading) == b"12345"


def test_staged_files_of_the_dead_go(blobs, clock):
    blobs.append("left", 0, b"1")
    clock.advance(0)
    blobs._now = lambda: 4e9
    assert blobs.sweep(lambda some: set()) == []
    assert staged(blobs) == []
    assert STAGING_SECONDS > GRACE_SECONDS
