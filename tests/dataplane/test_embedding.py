"""Finding an engine, and the embedded one's configuration."""

import os
import socket
import tomllib
from pathlib import Path

import pytest

from boathouse.dataplane.contract import DriverUnavailable, Limits
from boathouse.dataplane.engine import host, locate, podman
from boathouse.dataplane.engine.client import EngineClient, bounded


def test_the_configuration_is_our_own() -> None:
    text = podman.configuration(Path("/cache/engine"), hybrid_cgroups=True, rootless=False, hard_limits=(20000, 32768))
    assert tomllib.loads(text) == {
        "containers": {
            "default_ulimits": ["nofile=20000:20000", "nproc=32768:32768"],
            "http_proxy": False,
            "log_driver": "k8s-file",
        },
        "engine": {"runtime": "runc", "cgroup_manager": "cgroupfs", "events_logger": "file", "exit_command_delay": 5},
        "network": {"network_backend": "netavark", "network_config_dir": "/cache/engine/networks"},
    }


def test_a_modern_machine_chooses_its_runtime_itself() -> None:
    text = podman.configuration(Path("/c"), hybrid_cgroups=False, rootless=True, hard_limits=(-1, 4096))
    assert set(tomllib.loads(text)["engine"]) == {"events_logger", "exit_command_delay"}
    assert "nofile=1048576:1048576" in text


def test_a_cache_has_one_service_and_its_socket_is_short(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    where = podman.service(deep, {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert where == podman.service(deep, {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert where != podman.service(tmp_path, {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert len(str(where.socket)) < 100
    assert podman.process(where) is None and not podman.answering(where) and podman.stop(where) is False


def test_a_users_own_sockets_come_before_the_machines() -> None:
    users = [str(path) for path in locate.candidates({"XDG_RUNTIME_DIR": "/run/user/7"}, 7)]
    assert users[:2] == ["/run/user/7/docker.sock", "/run/user/7/podman/podman.sock"]
    assert locate.candidates({}, 0) == [Path("/var/run/docker.sock"), Path("/run/podman/podman.sock")]


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:2375", "ssh://host", "npipe://x"])
def test_an_engine_elsewhere_is_refused_by_name(tmp_path: Path, address: str) -> None:
    with pytest.raises(locate.EngineMissing, match="not on this machine"):
        locate.find(tmp_path, address)
    with pytest.raises(locate.EngineMissing, match="not on this machine"):
        locate.find(tmp_path, None, {"DOCKER_HOST": address})


def test_a_named_engine_that_is_silent_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(locate.EngineMissing, match="does not answer"):
        locate.find(tmp_path, None, {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"})


def test_without_podman_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(locate.EngineMissing, match="apt-get install"):
        locate.find(tmp_path, "embedded", {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})


def test_who_owns_a_nodes_directory_inside_a_container() -> None:
    rootful = host.facts("docker", "20", listener=0, user=1000, group=100, delegation=False)
    assert (rootful.rootless, rootful.root, rootful.limits, rootful.owner) == (False, False, True, (1000, 100))
    rootless = host.facts("podman", "4.3.1", listener=1000, user=1000, group=100, delegation=False)
    assert (rootless.rootless, rootless.root, rootless.limits, rootless.owner) == (True, False, False, (0, 0))
    assert host.facts("podman", "4", listener=1000, user=1000, group=1, delegation=True).limits
    assert host.facts("podman", "4", listener=0, user=0, group=0, delegation=False).root


def test_some_memory_is_kept_back() -> None:
    facts = host.facts("podman", "4", 0, 0, 0, False)
    room = host.capacity(facts)
    assert isinstance(room, Limits) and facts.memory_bytes // 2 <= room.memory_bytes < facts.memory_bytes


def test_whose_socket_it_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert host.listening_user(f"unix://{tmp_path}/s") == os.getuid()
    with pytest.raises(DriverUnavailable):
        host.listening_user(f"unix://{tmp_path}/s")
    assert host.listening_user("tcp://127.0.0.1:2375") == 0


def test_a_client_of_nobody_says_so(tmp_path: Path) -> None:
    client = EngineClient(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(DriverUnavailable, match="does not answer"):
        client.inspect("x")
    client.close()


def test_an_engines_words_are_one_bounded_line() -> None:
    assert bounded("a\n  b") == "a b"
    assert bounded("x" * 400 + "the cause").endswith("the cause") and len(bounded("x" * 400)) == 300
