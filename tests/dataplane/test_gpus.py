"""GPUs of a machine that has none: NVIDIA's driver is a script here, and the engine takes what it is asked for.

What this shows is what we ask of the engine, and who gets which GPU; that an engine hands out a real one is not shown.
"""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boathouse.dataplane.contract import Limits, NodeFailure, NodeSpec
from boathouse.dataplane.engine import containers, gpus, naming, probes
from boathouse.dataplane.engine.driver import EngineDriver
from boathouse.dataplane.engine.host import HostFacts
from boathouse.dataplane.engine.locate import Engine

TWO = "GPU-aa, NVIDIA A10G, 23028, 8.6, 550.54.15\nGPU-bb, NVIDIA A10G, 23028, 8.6, 550.54.15\n"


@pytest.fixture
def fake_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A program `nvidia-smi` that says what it is told to say, alone in the PATH; the argument is its exit status."""

    def install(said: str, status: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '%s' '{said}'\nexit {status}\n")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


def test_docker_hands_out_what_the_driver_lists(fake_driver) -> None:
    fake_driver(TWO)
    found = gpus.look(False, {"runc", "nvidia"})
    assert [(gpu.uuid, gpu.name, gpu.memory_mb, gpu.capability) for gpu in found.devices] == [
        ("GPU-aa", "NVIDIA A10G", 23028, "8.6"), ("GPU-bb", "NVIDIA A10G", 23028, "8.6"),
    ]  # fmt: skip
    assert found.driver_version == "550.54.15" and not found.reason
    finding = probes.gpu_trial(False, frozenset({"nvidia"}))
    assert finding.ok and finding.detail == "2: NVIDIA A10G (compute capability 8.6); driver 550.54.15"


@pytest.mark.parametrize(
    ("said", "status", "podman", "runtimes", "reason"),
    [
        (TWO, 0, True, set(), "2 there, but Podman's API hands none"), (TWO, 0, False, {"runc"}, "container toolkit"),
        ("NVRM: version mismatch", 9, False, {"nvidia"}, "fails: NVRM"),
        ("No devices were found", 0, False, {"nvidia"}, "lists no GPU"),
    ],
)  # fmt: skip
def test_why_there_are_none(fake_driver, said: str, status: int, podman: bool, runtimes: set[str], reason: str) -> None:
    fake_driver(said, status)
    found = gpus.look(podman, runtimes)
    assert not found.devices and reason in found.reason
    finding = probes.gpu_trial(podman, frozenset(runtimes))
    assert finding.ok and "node types with GPUs are refused" in finding.detail and reason in finding.detail


def test_a_machine_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no nvidia-smi" in gpus.look(False, {"nvidia"}).reason


def test_free_gpus_are_chosen_in_order() -> None:
    there = gpus.parse(TWO)
    assert gpus.choose(there, 1, set()) == ("GPU-aa",) and gpus.choose(there, 1, {"GPU-aa"}) == ("GPU-bb",)
    assert gpus.choose(there, 2, {"GPU-aa"}) is None and gpus.choose(there, 2, {"GPU-zz"}) == ("GPU-aa", "GPU-bb")


def spec(node: str, count: int) -> NodeSpec:
    return NodeSpec(node, "c", 0, Path("/data/n"), Limits(1, 2**30), "sha256:" + "0" * 64, gpus=count)


def test_a_node_asks_for_its_gpus_and_its_daemon_for_none() -> None:
    config = containers.customer_config("i", spec("n", 1), "x", "volume", "10.0.0.2", podman=False, devices=("GPU-bb",))
    assert config["HostConfig"]["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["GPU-bb"], "Capabilities": [["gpu", "compute", "utility"]]}
    ]
    assert config["Labels"][naming.GPUS] == "GPU-bb" and config["HostConfig"]["CapDrop"] == ["ALL"]
    daemon = containers.daemon_config("i", spec("n", 1), "x", "net", "10.0.0.2", "0:0", podman=False)
    assert "DeviceRequests" not in daemon["HostConfig"] and naming.GPUS not in daemon["Labels"]
    plain = containers.customer_config("i", spec("n", 0), "x", "volume", "10.0.0.2", podman=False)
    assert "DeviceRequests" not in plain["HostConfig"] and naming.GPUS not in plain["Labels"]


class FakeEngine:
    """An engine that keeps what it is asked to create; it answers for Docker with NVIDIA's runtime."""

    def __init__(self, asked: Callable[[], None] = lambda: None) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self.asked = asked

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        self.asked()
        return [one for one in self.made.values() if set(labels) <= {f"{k}={v}" for k, v in one["Labels"].items()}]

    def create(self, name: str, config: dict[str, Any]) -> bool:
        self.asked()
        return self.made.setdefault(name, config) is config

    def close(self) -> None:
        pass


def test_no_gpu_is_given_twice(tmp_path: Path, fake_driver) -> None:
    """Nor while another process chooses: the machine's lock is held from the look at what is taken to the container."""
    fake_driver(TWO)
    locked: list[bool] = []

    def look() -> None:
        with (tmp_path / "engine" / "gpus.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                locked.append(True)
            else:
                locked.append(False)

    engine = FakeEngine(look)
    drivers = [EngineDriver(Engine("unix:///nowhere", False), name, "daemon", tmp_path, tmp_path) for name in ("one", "two")]
    for driver in drivers:
        driver.client = engine  # type: ignore[assignment]
        driver._host = HostFacts(False, "24", False, False, True, 8, 2**34, (0, 0))
        driver._gpus = gpus.look(False, {"nvidia"})
        assert len(driver.gpus().devices) == 2
        driver._stacks.volume = lambda cluster, layers: "volume"  # type: ignore[method-assign]
    first, second = drivers
    first._create_customer(spec("a", 1), "x", "10.0.0.2")
    second._create_customer(spec("b", 1), "x", "10.0.0.2")
    given = {config["Labels"][naming.NODE]: config["Labels"][naming.GPUS] for config in engine.made.values()}
    assert locked == [True] * 4, "two looks and two containers"
    assert given == {"a": "GPU-aa", "b": "GPU-bb"}, "two data directories on one machine share its GPUs"
    with pytest.raises(NodeFailure, match="The node needs 1 GPUs; of this machine's 2 there are 0 free") as failed:
        first._create_customer(spec("c", 1), "x", "10.0.0.3")
    assert failed.value.code == "CLOUD_PROVIDER_RESOURCE_STOCKOUT"
    engine.made.pop(naming.container("two", "b"))
    first._create_customer(spec("c", 1), "x", "10.0.0.3")
    assert engine.made[naming.container("one", "c")]["Labels"][naming.GPUS] == "GPU-bb"
    for driver in drivers:
        driver.close()
