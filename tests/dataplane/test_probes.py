"""Probes on this machine, and on machines that lack something."""

import os
from pathlib import Path

import pytest

from boathouse.dataplane.engine import podman, probes
from boathouse.settings import default_cache


def test_a_machine_without_an_engine_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setattr(probes, "NETAVARK", (tmp_path / "netavark",))
    environ = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    begun: list[str] = []
    found = probes.findings(tmp_path, tmp_path, "embedded", environ, lambda: begun.append("start"))
    assert begun == []
    engine, embedded = found[:2]
    assert not engine.ok and engine.fatal and engine.fix.startswith("apt-get install")
    assert embedded.detail == "missing: podman, runc or crun, conmon, iptables, netavark"
    assert {"overlay", "firewall", "open files"} <= {one.name for one in found}


def test_a_disk_with_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "DISK_WANTED", 2**60)
    finding = probes.disk("cache", tmp_path / "not" / "there" / "yet")
    assert (finding.ok, finding.fatal) == (False, True) and str(tmp_path) in finding.detail


def test_without_nft_clusters_have_no_way_out() -> None:
    finding = probes.firewall_trial(lambda: None)
    assert not finding.ok and not finding.fatal and "internal" in finding.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups are root's")
def test_a_limit_that_cannot_be_set(tmp_path: Path) -> None:
    finding = probes.cgroup_trial(tmp_path / "nothing")
    assert not finding.ok and "cannot be set" in finding.detail


def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    probes.overlay_trial(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_an_engine_without_root_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "SYSTEM_PATH", str(tmp_path))
    assert probes.rootless(environ={"PATH": str(tmp_path)}).detail == "missing: newuidmap, slirp4netns"
    for name in ("newuidmap", "slirp4netns"):
        (tmp_path / name).touch(mode=0o755)
    assert "cannot be opened" in probes.rootless(tmp_path / "tun", {"PATH": str(tmp_path)}).detail
    assert probes.rootless(tmp_path, {"PATH": str(tmp_path)}).ok


def test_set_up_installs_what_the_embedded_engine_needs() -> None:
    setup = (Path(__file__).parents[2] / "scripts" / "setup").read_text()
    by_podman = {"conmon"}  # its package depends on it
    for name, programs in probes.EMBEDDED_NEEDS:
        assert name in by_podman or any(f" {program}:" in setup or f'"{program}:' in setup for program in programs), name


@pytest.mark.engine
def test_a_running_engine_whose_programs_are_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "EMBEDDED_NEEDS", (("netfilter", ("no-such-program",)),))
    found = {one.name: one for one in probes.findings(default_cache(), tmp_path, "embedded")}
    assert found["engine"].ok and found["embedded engine"].fatal and found["embedded engine"].detail == "missing: netfilter"


def test_without_root_what_maps_user_ids_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman is there and ends at once: the fix of the engine is the package that it lacks, not Podman."""
    for name in ("podman", "runc", "conmon", "iptables", "netavark"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(podman, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setattr(probes, "NETAVARK", (tmp_path / "netavark",))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    environ = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    engine, embedded, rootless = probes.findings(tmp_path, tmp_path, "embedded", environ)[:3]
    assert embedded.ok and not rootless.ok and rootless.detail == "missing: newuidmap, slirp4netns"
    assert not engine.ok and engine.fix == rootless.fix == "apt-get install uidmap slirp4netns"
