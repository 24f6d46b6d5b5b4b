"""The check of a local image, its bill of materials and its scan, against `podman save | tar` (all its bytes, read once).

An image of `--mb` megabytes is built above the platform's own, in the engine. Ours, as a user runs them: `boathouse image check`,
`boathouse image sbom`, and with `--scan` (advisories are on the machine) `boathouse image scan`.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import docker
from measure import BOATHOUSE, interleaved, ratio

from boathouse.dataplane.engine.locate import find
from boathouse.images.build import reference
from boathouse.settings import default_cache

IMAGE = "localhost/bench-check:1"
PIECES = 8


def build(folder: Path, megabytes: int) -> None:
    """A layer for each piece of random bytes."""
    lines = [f"FROM {reference('standard')}"]
    for piece in range(PIECES):
        (folder / f"piece-{piece}").write_bytes(os.urandom((megabytes << 20) // PIECES))
        lines.append(f"COPY piece-{piece} /opt/bulk/piece-{piece}")
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    subprocess.run([BOATHOUSE, "image", "build", str(folder), "-t", IMAGE], check=True, stdout=subprocess.DEVNULL)


def timed(*command: str) -> Callable[[], float]:
    """Seconds that a command takes; it must succeed."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mb", type=int, default=1024)
    parser.add_argument("--scan", action="store_true", help="measure the scan too")
    options = parser.parse_args()
    address = find(default_cache()).address
    engine = docker.DockerClient(base_url=address, timeout=300)
    sides = {
        "check": timed(BOATHOUSE, "image", "check", IMAGE),
        "sbom": timed(BOATHOUSE, "image", "sbom", IMAGE, "--format", "cyclonedx"),
        "by hand": timed("bash", "-o", "pipefail", "-c", f"podman --url {address} save {IMAGE} | tar -t"),
    }
    with tempfile.TemporaryDirectory(prefix="boathouse-bench-check-") as scratch:
        build(Path(scratch), options.mb)
        try:
            if options.scan:
                sides["scan"] = timed(BOATHOUSE, "image", "scan", IMAGE)
            found = interleaved(sides, options.rounds)
        finally:
            engine.images.remove(IMAGE, force=True)
    for name in sides:
        print(found[name])
        if name != "by hand":
            print(f"{name}: ratio {ratio(found[name], found['by hand']):.2f}")


if __name__ == "__main__":
    main()
