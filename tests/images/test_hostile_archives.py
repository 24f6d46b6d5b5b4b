"""`boathouse image check` on images that mean no good: a finding for each, in little memory, and not a byte written anywhere."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.images.archive_view import open_archive
from boathouse.images.tree import UnreadableArchive
from tests.images import hostile

MOST_MEMORY_KB = 256 << 10
#: Runs the command, then says what it opened for writing, and how much memory it had at most.
CHILD = """
import os, re, sys
written = []
CHANGES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime", "shutil.", "tempfile.")
def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        written.append(str(arguments[0]))
    elif event.startswith(CHANGES):
        written.append(f"{event}: {arguments}")
sys.addaudithook(watch)
from boathouse.cli import main
try:
    status = main(["image", "--output", "json", "check", sys.argv[1]])
except SystemExit as ended:
    status = ended.code
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print("\\n", __import__("json").dumps({"status": status, "written": written, "peak_kb": peak}), file=sys.stderr)
"""


def checked(what: Path, scratch: Path) -> tuple[dict, dict]:
    """The report, and what the child says of itself."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1",
               "BOATHOUSE_CACHE": str(scratch / "cache")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(what)], cwd=scratch, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads(done.stderr.strip().splitlines()[-1])


@pytest.mark.parametrize("name", hostile.IMAGES)
def test_a_hostile_image_is_named_in_little_memory_and_writes_nothing(name: str, tmp_path: Path) -> None:
    make, code, words = hostile.IMAGES[name]
    image, scratch = make(tmp_path / "image"), tmp_path / "scratch"
    scratch.mkdir()
    report, said = checked(image, scratch)
    found = {finding["code"]: finding for finding in report["findings"]}
    assert code in found and words in found[code]["evidence"], found
    assert found[code]["fix"] and (report["ok"], said["status"]) == (False, 1)
    assert said["peak_kb"] < MOST_MEMORY_KB
    assert said["written"] == [] and list(scratch.iterdir()) == []
    assert not Path("/tmp/written-outside").exists()


def whole_layer() -> bytes:
    """A layer with headers of every kind that is read: pax records, a long name and link, a sparse file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "for all"}) as tar:
        for name in ("etc/os-release", "usr/" + "n" * 150 + "/file", "bin/ünï"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"ID=x"))
        link = hostile.member("lib", tarfile.SYMTYPE, "l" * 150)
        link.pax_headers = {"SCHILY.xattr.user.a": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": "1"}
        tar.addfile(link)
    return buffer.getvalue()[:-1024] + hostile.LONG_NAME + hostile.header("a") + b"".join(hostile.sparse(2)) + hostile.END


LAYER = whole_layer()
changes = st.lists(st.tuples(st.integers(0, len(LAYER) - 1), st.binary(min_size=1, max_size=12)), min_size=1, max_size=6)


@given(changes, st.integers(0, 20))
def test_a_damaged_layer_is_read_or_named(tmp_path_factory: pytest.TempPathFactory, spoilt, cut: int) -> None:
    """Whatever is changed in a layer, and wherever it ends: files, or UnreadableArchive, and never another error."""
    data = bytearray(LAYER)
    for place, put in spoilt:
        block = data[place // 512 * 512 : place // 512 * 512 + 512]
        data[place : place + len(put)] = put
        if place % 2 and block[257:262] == b"ustar":  # half of them with a checksum that fits: else little is looked at
            at = place // 512 * 512
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    folder = hostile.with_layers(bytes(data[: len(data) - cut * 100]))(tmp_path_factory.mktemp("damaged") / "image")
    try:
        view = open_archive(folder)
    except UnreadableArchive:
        return
    for path, _ in view.files():
        assert view.lookup(path) is not None
