"""What an image is built of: folders and archives of the platform's files, and archives that want out."""

import io
import tarfile
import zipfile

import pytest

from boathouse.rollout import build_context
from boathouse.rollout.failures import StepFailed
from boathouse.workspace.locations import Locations, Reader


@pytest.fixture
def fetch(store, blobs, ready, tmp_path):
    """`fetch(location, **files)`: writes the files, fetches the location; what came of it, by path."""
    locations = Locations(store, blobs)
    reader = Reader(ready.home.workspace_id, ready.home.admin)
    numbers = iter(range(100))

    def run(location, files):
        for path, content in files.items():
            locations.write(path, reader, [content])
        target = tmp_path / str(next(numbers)) / "context"
        target.mkdir(parents=True)
        count = build_context.fetch(store, locations, location, reader, target)
        found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        assert count == len(found)
        assert list(target.parent.iterdir()) == [target]  # nothing is left beside it
        return found

    return run


def packed(members, kind="w:gz"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=kind) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content
                archive.addfile(member)
    return made.getvalue()


def zipped(members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


FILES = {"Dockerfile": b"FROM x\n", "lib/a.txt": b"a"}


@pytest.mark.parametrize("root", ["/Workspace/Shared/etl", "dbfs:/etl"])
def test_a_folder(fetch, root):
    beside = {f"{root}-other/b.txt": b"b"}
    assert fetch(root, {**{f"{root}/{name}": content for name, content in FILES.items()}, **beside}) == FILES


@pytest.mark.parametrize(("name", "pack"), [("c.tar.gz", packed), ("c.tgz", packed), ("c.tar", lambda files: packed(files, "w")),
                                            ("c.zip", zipped)])  # fmt: skip
def test_an_archive(fetch, name, pack):
    assert fetch(f"dbfs:/{name}", {f"dbfs:/{name}": pack(FILES)}) == FILES


@pytest.mark.parametrize("members", [
    {"../out": b"x"}, {"/etc/out": (tarfile.SYMTYPE, "../../out")}, {"a": (tarfile.SYMTYPE, "/etc/passwd")},
    {"a": (tarfile.LNKTYPE, "../../out")}, {"a": (tarfile.CHRTYPE, "")}, {"a": (tarfile.FIFOTYPE, "")},
])  # fmt: skip
def test_a_tar_that_wants_out_is_refused(fetch, tmp_path, members):
    with pytest.raises(StepFailed, match=r"source.path: dbfs:/c.tar.gz cannot be unpacked"):
        fetch("dbfs:/c.tar.gz", {"dbfs:/c.tar.gz": packed(members)})
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_zip_that_wants_out_is_refused(fetch, name):
    with pytest.raises(StepFailed, match="leads outside"):
        fetch("dbfs:/c.zip", {"dbfs:/c.zip": zipped({name: b"x"})})


@pytest.mark.parametrize("pack", [packed, zipped])
def test_a_bomb_is_refused_before_it_is_whole(fetch, monkeypatch, pack):
    monkeypatch.setattr(build_context, "LARGEST", 1 << 20)
    name = "dbfs:/c.zip" if pack is zipped else "dbfs:/c.tgz"
    with pytest.raises(StepFailed, match="1 MiB"):
        fetch(name, {name: pack({"zeros": bytes(2 << 20)})})


@pytest.mark.parametrize(("location", "content", "told"), [
    ("dbfs:/none", None, "is no folder with files"), ("dbfs:/none.zip", None, "does not exist"),
    ("dbfs:/broken.zip", b"PK", "cannot be unpacked"), ("dbfs:/broken.tgz", b"\x1f\x8b", "cannot be unpacked"),
    ("/Volumes/no/such/volume", None, "source.path"),
])  # fmt: skip
def test_what_is_no_source(fetch, location, content, told):
    with pytest.raises(StepFailed, match=told):
        fetch(location, {} if content is None else {location: content})


def encrypted(files):
    made = bytearray(zipped(files))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(signature) + flags] |= 1
    return bytes(made)


def damaged(files):
    made = bytearray(packed(files))
    made[12:30] = b"\xff" * 18
    return bytes(made)


@pytest.mark.parametrize(("name", "pack"), [("c.zip", encrypted), ("c.tar.gz", damaged)])
def test_an_archive_that_cannot_be_read_ends_the_step(fetch, name, pack):
    with pytest.raises(StepFailed, match="cannot be unpacked"):
        fetch(f"dbfs:/{name}", {f"dbfs:/{name}": pack({"Dockerfile": b"FROM x" * 50})})
