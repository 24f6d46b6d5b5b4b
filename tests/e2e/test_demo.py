"""`make demo` as a user runs it, to its end and stopped in the middle: what it shows, and that nothing of it is left."""

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, boathouse

pytestmark = [pytest.mark.engine, pytest.mark.spark]

#: Seconds after which a demo that hangs is stopped.
LONGEST = 900


@dataclass
class Ran:
    """`said`: what it printed; `instance` and `registry`: what its containers, networks and images are named by."""

    code: int
    said: str
    instance: str
    registry: str


def run(scratch: Path, stop_at: str = "") -> Ran:
    """Run the demo. `stop_at`: send SIGTERM when a line begins so."""
    said, instance = "", ""
    with subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "demo" / "run.py")], cwd=ROOT, env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as demo:  # fmt: skip
        late = threading.Timer(LONGEST, demo.terminate)
        late.start()
        assert demo.stdout is not None
        for line in demo.stdout:
            said += line
            begins = re.sub(r"\x1b\[\d*m", "", line)
            if begins.startswith("4. "):
                (there,) = scratch.glob("boathouse-demo-*/data/instance")
                instance = there.read_text().strip()
            if stop_at and begins.startswith(stop_at):
                demo.send_signal(signal.SIGTERM)
        late.cancel()
    registry = re.search(r"(127\.0\.0\.1:\d+), user reader", said)
    assert instance and registry, said
    return Ran(demo.returncode, said, instance, registry[1])


@pytest.fixture
def left(engine):
    """`left(ran)`: what there is of a demo in the engine, which is started again for that: the demo stops it when it is idle."""

    def names(ran):
        boathouse("engine", "start")
        with engine.calls() as api:
            found = [name.lstrip("/") for each in api.containers(all=True) for name in each["Names"]]
            found += [each["Name"] for each in [*api.networks(), *(api.volumes()["Volumes"] or ())]]
            images = [name for each in api.images() for name in [*(each["RepoTags"] or ()), *(each["RepoDigests"] or ())]]
        return [n for n in found if n.startswith(f"bh-{ran.instance}-")] + [n for n in images if n.startswith(ran.registry)]

    return names


def test_the_demo_shows_the_main_job_and_leaves_nothing(tmp_path, left):
    ran = run(tmp_path)
    assert ran.code == 0, ran.said
    assert "import riverstats: 7.3.0 1.95" in ran.said
    hosts = re.search(r"4000 rows counted in 2 containers: (\S+),(\S+) \(the driver is (\S+)\)", ran.said)
    assert hosts and len(set(hosts.groups())) == 3, ran.said
    assert "SQL: [['LOCK', '1.20'], ['WEIR', '2.75']]" in ran.said
    why = ran.said.partition("7. The same with a broken image")[2]
    assert "refused: " in why and "The image has no bash." in why and "What to do" in why
    assert "nothing is left running" in ran.said
    assert left(ran) == []
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_stopped_in_the_middle_leaves_nothing(tmp_path, left):
    ran = run(tmp_path, stop_at="5. ")
    assert ran.code == 128 + signal.SIGTERM, ran.said
    assert left(ran) == []
    assert list(tmp_path.iterdir()) == []
