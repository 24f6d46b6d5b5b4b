"""`boathouse image check` on images that mean no good: a finding for each, in little memory, and not a byte written anywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
