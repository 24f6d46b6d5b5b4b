"""The embedded engine: started once by whoever comes first, found by the others, and its death does not touch the nodes."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boathouse.dataplane.contract import DriverUnavailable, NodeSpec, Presence
from boathouse.dataplane.engine import naming, podman
from boathouse.dataplane.engine.driver import EngineDriver
from boathouse.dataplane.engine.locate import Engine, find
from boathouse.settings import default_cache

from .conftest import EnginePlane

pytestmark = pytest.mark.engine


@pytest.fixture
def own(tmp_path: Path) -> Iterator[podman.Service]:
    """An embedded engine of this test's own, beside the machine's."""
    where = podman.service(tmp_path / "cache")
    yield where
    podman.stop(where)
    for mount in reversed([line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]):
        if mount.startswith((f"{where.home}/", f"{where.volatile}/")):
            subprocess.run(["umount", mount], check=True)
    shutil.rmtree(where.volatile, ignore_errors=True)


def test_many_come_at_once_and_one_service_is_started(own: podman.Service) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(find(own.home.parent, "embedded").address)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [own.address] * 4
    first = podman.process(own)
    assert find(own.home.parent, "embedded").address == own.address
    assert podman.process(own) == first
    assert podman.stop(own) is True
    assert podman.stop(own) is False
    assert podman.process(own) is None


def test_the_service_inherits_no_secrets(own: podman.Service) -> None:
    podman.ensure(own, {**os.environ, "BOATHOUSE_SECRET": "swordfish", "AWS_SECRET_ACCESS_KEY": "swordfish"})
    assert b"swordfish" not in Path(f"/proc/{podman.process(own)}/environ").read_bytes()


def test_the_command_line_starts_and_stops_it(own: podman.Service) -> None:
    def command(verb: str) -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).parent / "boathouse")
        line = [program, "engine", verb, "--output", "json", "--cache", str(own.home.parent)]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)

    assert command("status").returncode == 1
    started = command("start")
    assert started.returncode == 0 and '"running": true' in started.stdout
    assert command("status").returncode == 0
    assert command("stop").returncode == 0


def test_containers_outlive_a_service_that_is_killed(own: podman.Service, tmp_path: Path) -> None:
    engine, image = _with_image(own)
    plane = EnginePlane(tmp_path / "plane", engine, image)
    node = plane.node()
    try:
        plane.driver.ensure(node)
        plane.until(lambda: plane.driver.inspect(node.cluster_id)[0].container is Presence.RUNNING)
        pids = _pids(plane, node.node_id)

        service = podman.process(own)
        assert service is not None
        watch = os.pidfd_open(service)
        os.kill(service, signal.SIGKILL)
        plane.until(lambda: _ended(watch))
        os.close(watch)
        with pytest.raises(DriverUnavailable):
            plane.driver.inspect(node.cluster_id)

        assert find(own.home.parent, "embedded").address == engine.address
        again = EngineDriver(engine, plane.instance, image, tmp_path / "scratch", default_cache())
        seen = again.inspect(node.cluster_id)
        assert [(one.daemon, one.container) for one in seen] == [(Presence.RUNNING, Presence.RUNNING)]
        assert again.ensure(node).container is Presence.RUNNING
        assert _pids(plane, node.node_id) == pids
        again.close()
    finally:
        podman.ensure(own)
        plane.close()


@pytest.mark.parametrize("moment", [0.03, 0.08, 0.12, 0.16, 0.2, 0.3])
def test_a_node_comes_up_after_a_service_that_died_while_it_made_it(own: podman.Service, tmp_path: Path, moment: float) -> None:
    engine, image = _with_image(own)
    plane = EnginePlane(tmp_path / "plane", engine, image)
    node = plane.node()
    try:
        service = podman.process(own)
        assert service is not None
        making = threading.Thread(target=_try, args=(plane, node))
        making.start()
        making.join(moment)
        os.kill(service, signal.SIGKILL)
        making.join()
        find(own.home.parent, "embedded")
        plane.until(lambda: _try(plane, node) is Presence.RUNNING)
        plane.until(lambda: plane.driver.delete(node.cluster_id, node.node_id))
        plane.until(lambda: plane.driver.release(node.cluster_id))
        assert _left(plane, own) == []
    finally:
        podman.ensure(own)
        plane.close()


def _try(plane: EnginePlane, node: NodeSpec) -> Presence:
    """Where the customer's half stands, if the engine says it at all."""
    try:
        return plane.driver.ensure(node).container
    except DriverUnavailable:
        return Presence.GONE


def _left(plane: EnginePlane, own: podman.Service) -> list[str]:
    """Everything of this plane that is still on the machine."""
    client = plane.engine_driver.client
    with client.calls() as api:
        volumes = [one["Name"] for one in api.volumes()["Volumes"] or []]
        networks = [one["Name"] for one in api.networks()]
    names = [str(one["Names"]) for one in client.containers()] + volumes + networks
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{own.home}/root/volumes/" in line]
    bridge = naming.bridge(plane.instance, plane.cluster_id)
    bridges = [name for name in os.listdir("/sys/class/net") if name == bridge]
    return [name for name in names if plane.instance in name] + mounts + bridges


def _with_image(own: podman.Service) -> tuple[Engine, str]:
    """This test's own engine, with our small image."""
    import docker

    from boathouse.images import build

    engine = find(own.home.parent, "embedded")
    with contextlib.closing(docker.DockerClient(base_url=engine.address, version="1.41")) as client:
        return engine, client.api.inspect_image(build.load(client, "daemon", default_cache()))["Id"]


def _ended(watch: int) -> bool:
    return bool(select.select([watch], [], [], 0)[0])


def _pids(plane: EnginePlane, node_id: str) -> list[int]:
    with plane.engine_driver.client.calls() as api:
        names = (f"bh-{plane.instance}-{node_id}", f"bh-{plane.instance}-{node_id}-daemon")
        return [api.inspect_container(name)["State"]["Pid"] for name in names]
