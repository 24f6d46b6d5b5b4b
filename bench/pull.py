"""The first cluster of an image that the machine does not have, and the second: against `podman pull` and stock Spark by hand.

A registry of our own on loopback, with a password; an image of `--mb` megabytes above the platform's own. Before each round the
image is removed from the engine. Ours: from `clusters.create` to the first answer of a Spark command. By hand: the pull, then
`by_hand.py` with that image.
"""

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker
import docker.errors
from by_hand import Stock
from launch import Ours
from measure import BOATHOUSE, ROOT, interleaved, ratio, server

from boathouse.dataplane.engine.locate import find
from boathouse.images.build import reference
from boathouse.settings import default_cache

sys.path.insert(0, str(ROOT / "demo"))
from registry import Registry

GATES = {"fresh": (0.85, 0.60), "second": (0.35, 0.10)}
PIECES = 8


def push(folder: Path, image: str, megabytes: int, password: str) -> None:
    """Build the image, a layer for each of its pieces of random bytes, and push it."""
    lines = [f"FROM {reference('standard')}"]
    for piece in range(PIECES):
        (folder / f"piece-{piece}").write_bytes(os.urandom((megabytes << 20) // PIECES))
        lines.append(f"COPY piece-{piece} /opt/bulk/piece-{piece}")
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    login = {"BOATHOUSE_REGISTRY_USERNAME": "reader", "BOATHOUSE_REGISTRY_PASSWORD": password}
    subprocess.run([BOATHOUSE, "image", "build", str(folder), "-t", image, "--push"], check=True, env={**os.environ, **login})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mb", type=int, default=1024)
    options = parser.parse_args()
    address, password = find(default_cache()).address, secrets.token_urlsafe(12)
    engine = docker.DockerClient(base_url=address, timeout=300)

    def forget() -> None:
        """Remove the image, by all of its names."""
        for found in engine.images.list():
            if any("bench/bulk" in name for name in [*found.tags, *(found.attrs.get("RepoDigests") or [])]):
                engine.images.remove(found.id, force=True)

    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="boathouse-bench-pull-"))
        registry = stack.enter_context(Registry(Path(scratch) / "registry", "reader", password))
        image = f"{registry.host}/bench/bulk:1"
        folder = Path(scratch) / "image"
        folder.mkdir()
        push(folder, image, options.mb, password)
        stock = Stock(image)
        flags = ("--registry-private-hosts", registry.host, "--registry-plain-http-hosts", registry.host)
        with server(*flags) as ready:
            ours = Ours(ready)
            ours.w.workspace_conf.set_status({"enableDcs": "true"})
            auth = {"username": "reader", "password": password}
            wish = {"docker_image": {"url": image, "basic_auth": auth}}

            def fresh() -> float:
                forget()
                return ours.launch(0, **wish)["ANSWER"]

            def second() -> float:
                return ours.launch(0, **wish)["ANSWER"]

            def by_hand() -> float:
                forget()
                started = time.perf_counter()
                pull = ["podman", "--url", address, "pull", "-q", "--tls-verify=false", "--creds", f"reader:{password}", image]
                subprocess.run(pull, check=True, stdout=subprocess.DEVNULL)
                pulled = time.perf_counter() - started
                return pulled + stock.single()["ANSWER"]

            try:
                found = interleaved({"fresh": fresh, "second": second, "by hand": by_hand}, options.rounds)
            finally:
                forget()
    for name, (gate, aim) in GATES.items():
        print(f"{name}: {found[name]}; {found['by hand']}")
        print(f"{name}: ratio {ratio(found[name], found['by hand']):.2f} (gate {gate}, aim {aim})")


if __name__ == "__main__":
    main()
