"""What `doctor` asks of this machine before anybody launches anything: each probe tries the thing itself, and is quick.

Called by the command line and at start-up. A probe never raises and leaves nothing behind; all together take less than a
second when the engine runs. A finding that is not `ok` says what to do; `fatal` ones make launches impossible, the others
cost something that the detail names.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from boathouse.dataplane.contract import DriverUnavailable
from boathouse.dataplane.engine import firewall, gpus, host, overlay, podman
from boathouse.dataplane.engine.client import EngineClient, EngineRefused, bounded
from boathouse.dataplane.engine.locate import Engine, EngineMissing, find

DISK_WANTED = 10 * 1024**3
FILES_WANTED = 4096
MEMORY_WANTED = 4 * 1024**3
COMMAND_SECONDS = 5.0
TRIAL_BYTES = 64 * 1024 * 1024
EMBEDDED_NEEDS = (
    ("podman", ("podman",)),
    ("runc or crun", ("runc", "crun")),
    ("conmon", ("conmon",)),
    ("iptables", ("iptables",)),
)
NETAVARK = tuple(Path(base) / "netavark" for base in ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman"))


@dataclass(frozen=True)
class Finding:
    """One answer. `name` is stable, `detail` is what was found, `fix` what to do about it (empty when ok)."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    fatal: bool = True


def findings(
    cache: Path,
    data: Path,
    wanted: str | None = None,
    environ: Mapping[str, str] = os.environ,
    starting: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Every probe. Starts the embedded engine where no other is used, since only a running engine can be tried; `starting` is
    called before."""
    try:
        engine = find(cache, wanted, environ, starting)
    except EngineMissing as missing:
        needs = [embedded_programs(environ)] if os.geteuid() == 0 else [embedded_programs(environ), rootless(environ=environ)]
        fixes = [need.fix for need in needs if not need.ok]
        fix = fixes[0] if fixes else "start Docker or Podman, or install podman and let Boathouse run it"
        return [Finding("engine", False, str(missing), fix), *needs, *of_the_machine(cache, data)]
    client = EngineClient(engine.address)
    try:
        programs = [embedded_programs(environ)] if engine.embedded else []  # a service runs without what its containers need
        return [*of_the_engine(client, engine), *programs, *of_the_machine(cache, data)]
    finally:
        client.close()


def of_the_engine(client: EngineClient, engine: Engine) -> list[Finding]:
    """Whether the engine answers, enforces limits, and is enough of a machine."""
    try:
        with client.calls() as api:
            info = api.info()
        facts = host.look(client)
        storage = str(info.get("Driver", ""))
    except (DriverUnavailable, EngineRefused) as silent:
        return [Finding("engine", False, bounded(str(silent)), "boathouse engine start, or restart Docker")]
    kind = ("embedded " if engine.embedded else "") + ("Podman" if facts.podman else "Docker Engine")
    how = "rootless" if facts.rootless else "with root"
    found = [Finding("engine", True, f"{kind} {facts.version} at {engine.address}, {how}, storage {storage}")]
    if facts.limits:
        found.append(cgroup_trial() if facts.root else Finding("limits", True, "control groups are delegated"))
    else:
        fix = "use control groups v2 with delegation to your user (systemd), or run as root"
        detail = "the engine cannot limit memory, cpu or processes"
        found.append(Finding("limits", False, detail, fix, fatal=False))
    memory = facts.memory_bytes / 1024**3
    small = "" if facts.memory_bytes >= MEMORY_WANTED else "give the machine at least 4 GiB of memory"
    found.append(Finding("machine", not small, f"{facts.cpus:.0f} cores, {memory:.1f} GiB of memory", small, fatal=False))
    found.append(gpu_trial(facts.podman, frozenset(info.get("Runtimes") or ())))
    if facts.rootless and engine.embedded:
        found.append(rootless())
    if storage in ("vfs", "devicemapper"):
        fix = "put the cache on ext4 or xfs (BOATHOUSE_CACHE), or install fuse-overlayfs"
        found.append(Finding("storage", False, f"storage {storage}: every container copies its image", fix, fatal=False))
    return found


def gpu_trial(podman: bool, runtimes: frozenset[str]) -> Finding:
    """Which GPUs nodes can have. None is fine: node types with GPUs are then refused by name."""
    there = gpus.look(podman, runtimes)
    if not there.devices:
        return Finding("gpu", True, f"none: {there.reason}; node types with GPUs are refused")
    kinds = ", ".join(dict.fromkeys(f"{gpu.name} (compute capability {gpu.capability})" for gpu in there.devices))
    return Finding("gpu", True, f"{len(there.devices)}: {kinds}; driver {there.driver_version}")


def of_the_machine(cache: Path, data: Path) -> list[Finding]:
    """What does not depend on the engine."""
    return [overlay_trial(data), firewall_trial(), disk("cache", cache), disk("data directory", data), open_files()]


def embedded_programs(environ: Mapping[str, str] = os.environ) -> Finding:
    """Whether the programs of the embedded engine are installed."""
    path = ":".join(part for part in (environ.get("PATH", ""), podman.SYSTEM_PATH) if part)
    missing = [name for name, programs in EMBEDDED_NEEDS if not any(shutil.which(program, path=path) for program in programs)]
    if not any(place.exists() for place in NETAVARK):
        missing.append("netavark")
    if not missing:
        return Finding("embedded engine", True, "podman and what it needs are installed")
    fix = "apt-get install --no-install-recommends podman runc netavark iptables nftables"
    return Finding("embedded engine", False, f"missing: {', '.join(missing)}", fix)


def rootless(tunnel: Path = Path("/dev/net/tun"), environ: Mapping[str, str] = os.environ) -> Finding:
    """What networks of an engine without root need of the machine."""
    path = f"{environ.get('PATH', '')}:{podman.SYSTEM_PATH}"
    missing = [name for name in ("newuidmap", "slirp4netns") if shutil.which(name, path=path) is None]
    if missing:
        return Finding("rootless", False, f"missing: {', '.join(missing)}", "apt-get install uidmap slirp4netns")
    if not os.access(tunnel, os.R_OK | os.W_OK):
        return Finding("rootless", False, f"{tunnel} cannot be opened: clusters get no network", f"as root: chmod 0666 {tunnel}")
    return Finding("rootless", True, "user ids are mapped and networks can be made")


def cgroup_trial(root: Path = podman.CGROUPS) -> Finding:
    """Make a control group, limit its memory, read the limit back, remove it. Root only."""
    hybrid = podman.hybrid_cgroups(root)
    group = (root / "memory" if hybrid else root) / f"boathouse-trial-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if hybrid else "memory.max")
    try:
        group.mkdir()
        try:
            limit.write_text(str(TRIAL_BYTES))
            held = int(limit.read_text())
        finally:
            group.rmdir()
    except (OSError, ValueError) as failed:
        fix = "mount the control groups writable (in a container: --cgroupns=host and /sys/fs/cgroup), with the memory controller"
        return Finding("limits", False, f"a memory limit cannot be set: {failed}", fix, fatal=False)
    if held > TRIAL_BYTES:
        return Finding(
            "limits", False, "the kernel does not hold a memory limit that was set", "enable the memory controller", False
        )
    return Finding("limits", True, f"control groups {'v1' if hybrid else 'v2'}: a memory limit holds")


def overlay_trial(data: Path) -> Finding:
    """Mount a stack of two layers where the data directory is."""
    place = next((one for one in (data, *data.parents) if one.is_dir()), Path("/"))
    trouble = overlay.trial(place)
    if trouble:
        fix = "put the data directory on ext4, xfs or btrfs (--data); OverlayFS cannot write on NFS or on another overlay"
        return Finding("overlay", False, trouble, fix)
    return Finding("overlay", True, f"layers can be stacked under {place}")


def firewall_trial(program: Callable[[], str | None] = firewall.program) -> Finding:
    """Let nft check our table without setting it."""
    lost = "clusters' networks are internal: no way out, and libraries from repositories outside are refused"
    if os.geteuid() != 0:
        return Finding("firewall", False, f"not root: {lost}", "run as root to let clusters reach the outside world", fatal=False)
    path = program()
    if path is None:
        return Finding("firewall", False, f"nft is missing: {lost}", "apt-get install nftables", fatal=False)
    try:
        done = _run([path, "--check", "--file", "-"], firewall.base(()))
    except (OSError, subprocess.SubprocessError) as failed:
        return Finding("firewall", False, bounded(str(failed)), "check that nft works as root", fatal=False)
    if done.returncode:
        fix = "load the kernel's nf_tables modules (nft_reject_inet, nft_ct)"
        return Finding("firewall", False, f"{bounded(done.stderr)}: {lost}", fix, fatal=False)
    return Finding("firewall", True, "nftables takes our table")


def disk(name: str, place: Path) -> Finding:
    """Free space where something of ours grows."""
    existing = next((one for one in (place, *place.parents) if one.is_dir()), Path("/"))
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GiB free at {existing}"
    if free >= DISK_WANTED:
        return Finding(f"disk ({name})", True, detail)
    return Finding(
        f"disk ({name})",
        False,
        detail,
        f"have {DISK_WANTED // 1024**3} GiB free there, or move it",
        fatal=free < DISK_WANTED // 10,
    )


def open_files() -> Finding:
    """How many files a node may have open: containers cannot have more than we may give."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    enough = hard == resource.RLIM_INFINITY or hard >= FILES_WANTED
    fix = "" if enough else f"raise the hard limit of open files to {FILES_WANTED} or more (ulimit -Hn, systemd: LimitNOFILE)"
    return Finding("open files", enough, f"a node may open {shown} files", fix, fatal=False)


def _run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
