"""The embedded engine: one Podman service for each machine and user, shared by all data directories.

`locate` falls back to it when no other engine is there. It is started detached and outlives whoever started it; the next one
finds it by its socket. Its storage is under CACHE/engine, its volatile state in a short directory of its own (the path of a
Unix socket has 107 characters at most, that of Podman's run directory 50). It knows nothing of nodes.

Configuration is our own from end to end, so that a machine's settings for other uses of Podman neither help nor hurt: a
network directory of its own (two services that share one take each other's networks), the runtime that works on this kernel,
limits that may be raised (without explicit ones every start fails where the capability to raise limits is missing), no
credentials but those of a call.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from boathouse.dataplane.engine import overlay

READY_SECONDS = 20.0
STOP_SECONDS = 15.0
PING_SECONDS = 5.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HOME",
    "USER",
    "LANG",
    "XDG_RUNTIME_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
CGROUPS = Path("/sys/fs/cgroup")


class EmbeddedEngineFailed(Exception):
    """The embedded engine cannot be had here; the message says why and what to install."""


@dataclass(frozen=True)
class Service:
    """Where the embedded engine of a cache directory keeps its things."""

    home: Path
    volatile: Path

    @property
    def socket(self) -> Path:
        return self.volatile / "podman.sock"

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    @property
    def lock(self) -> Path:
        return self.home / "service.lock"

    @property
    def log(self) -> Path:
        return self.home / "service.log"

    @property
    def downloads(self) -> Path:
        """Where layers are kept while they arrive: its growth shows that a pull goes on."""
        return self.home / "tmp"

    @property
    def volumes(self) -> Path:
        return self.home / "root" / "volumes"


def service(cache: Path, environ: Mapping[str, str] = os.environ) -> Service:
    """The embedded engine that belongs to `cache`. The same for everybody who uses that cache on this machine."""
    cache = cache.resolve()
    mark = hashlib.sha256(str(cache).encode()).hexdigest()[:10]
    if os.geteuid() == 0:
        volatile = Path("/run/boathouse") / f"engine-{mark}"
    elif environ.get("XDG_RUNTIME_DIR"):
        volatile = Path(environ["XDG_RUNTIME_DIR"]) / f"boathouse-{mark}"
    else:
        volatile = Path(f"/tmp/boathouse-{os.geteuid()}") / mark
    return Service(cache / "engine", volatile)


def program(environ: Mapping[str, str] = os.environ) -> str | None:
    return shutil.which("podman", path=_path(environ))


def configuration(home: Path, hybrid_cgroups: bool, rootless: bool, hard_limits: tuple[int, int]) -> str:
    """The text of containers.conf. `hard_limits`: open files and processes, as many as this process may give. Pure."""
    files, processes = (str(limit) if limit >= 0 else "1048576" for limit in hard_limits)
    runtime = 'runtime = "runc"\n' if hybrid_cgroups else ""
    manager = "" if rootless and not hybrid_cgroups else 'cgroup_manager = "cgroupfs"\n'
    return (
        "[containers]\n"
        f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'
        "http_proxy = false\n"
        'log_driver = "k8s-file"\n'
        "[engine]\n"
        f"{runtime}{manager}"
        'events_logger = "file"\n'
        "exit_command_delay = 5\n"
        "[network]\n"
        'network_backend = "netavark"\n'
        f'network_config_dir = "{home / "networks"}"\n'
    )


def answering(where: Service) -> bool:
    """Whether the service answers now."""
    return answers(where.socket)


def answers(path: Path) -> bool:
    """Whether an engine answers a ping on this socket, asked without any library: `up` asks before it has loaded one."""
    connection = http.client.HTTPConnection("engine", timeout=PING_SECONDS)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(PING_SECONDS)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ensure(where: Service, environ: Mapping[str, str] = os.environ, starting: Callable[[], None] = lambda: None) -> str:
    """Have the service running and answering; its address. Only one of many callers on the machine starts it, and hears so
    first (`starting`).

    Raises EmbeddedEngineFailed when Podman is missing or does not come up.
    """
    if answering(where):
        return where.address
    where.home.mkdir(parents=True, exist_ok=True)
    with where.lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answering(where):
            if program(environ) is not None:
                starting()
            _start(where, environ)
    return where.address


def stop(where: Service) -> bool:
    """End the service, not the containers; False when none ran. Waits until it has ended."""
    pid = process(where)
    if pid is None:
        return False
    watch = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        if not select.select([watch], [], [], STOP_SECONDS)[0]:
            os.kill(pid, signal.SIGKILL)
            select.select([watch], [], [], STOP_SECONDS)
    finally:
        os.close(watch)
    where.socket.unlink(missing_ok=True)
    return True


def process(where: Service) -> int | None:
    """The process that listens on the service's socket, as the kernel tells it; None when nobody does."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(where.socket))
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return pid
    return None


def hybrid_cgroups(root: Path = CGROUPS) -> bool:
    """Whether this machine has control groups of version 1 (alone or beside version 2), which `crun` may refuse."""
    return not (root / "cgroup.controllers").exists()


def _start(where: Service, environ: Mapping[str, str]) -> None:
    podman = program(environ)
    if podman is None:
        raise EmbeddedEngineFailed(
            "no container engine answers, and podman is not installed "
            "(Debian, Ubuntu: apt-get install --no-install-recommends podman runc netavark iptables nftables)"
        )
    if where.downloads.is_dir():
        shutil.rmtree(where.downloads)  # what a service that was killed had not finished: nobody reads it any more
    for directory in (where.home / "root", where.home / "networks", where.downloads):
        directory.mkdir(parents=True, exist_ok=True)
    _private(where.volatile)
    where.socket.unlink(missing_ok=True)
    arguments = [
        *(podman, "--root", str(where.home / "root"), "--runroot", str(where.volatile / "run")),
        *("--tmpdir", str(where.volatile / "tmp")),
        # Left alone, Podman without root copies whole images for every container.
        *(() if overlay.trial(where.home) else ("--storage-driver", "overlay")),
        *("system", "service", "--time", "0", where.address),
    ]
    where.log.touch()
    # The shell leaves at once, so that the service belongs to nobody and no dead child is left when it ends.
    started = subprocess.run(
        ["/bin/sh", "-c", 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!', "sh", str(where.log), *arguments],
        env=_environment(where, environ),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    _await(where, int(started.stdout))


def _await(where: Service, pid: int) -> None:
    """Until the service answers. Its end is noticed at once; before its socket exists there is nothing else to wait on."""
    deadline = time.monotonic() + READY_SECONDS
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError as gone:
        raise EmbeddedEngineFailed(f"podman ended at once: {_last_words(where.log)}") from gone
    try:
        while not answering(where):
            if select.select([watch], [], [], 0.01)[0]:
                raise EmbeddedEngineFailed(f"podman ended at once: {_last_words(where.log)}")
            if time.monotonic() > deadline:
                raise EmbeddedEngineFailed(f"podman did not answer within {READY_SECONDS:.0f} s: {_last_words(where.log)}")
    finally:
        os.close(watch)


def _private(directory: Path) -> None:
    """A directory that nobody else can have prepared for us. Raises EmbeddedEngineFailed."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place in (directory, directory.parent):
        if place.stat().st_uid not in (0, os.geteuid()):
            raise EmbeddedEngineFailed(f"{place} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR")


def _environment(where: Service, environ: Mapping[str, str]) -> dict[str, str]:
    """What the service sees of the environment: nothing that is not named here, no credentials of whoever started it."""
    conf = where.home / "containers.conf"
    hard = (resource.getrlimit(resource.RLIMIT_NOFILE)[1], _processes())
    _write(conf, configuration(where.home, hybrid_cgroups(), os.geteuid() != 0, hard))
    no_credentials = where.home / "auth.json"
    _write(no_credentials, "{}\n")
    passed = {name: environ[name] for name in PASSED_ON if name in environ}
    if os.geteuid() != 0:
        passed.setdefault("XDG_RUNTIME_DIR", str(where.volatile))
    return {
        **passed,
        "PATH": _path(environ),
        "CONTAINERS_CONF": str(conf),
        "REGISTRY_AUTH_FILE": str(no_credentials),
        "TMPDIR": str(where.downloads),
    }


def _processes() -> int:
    """How many processes a container may be allowed. Podman lowers its own hard limit to the kernel's number of process ids."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    ids = int(Path("/proc/sys/kernel/pid_max").read_text())
    return ids if hard < 0 else min(hard, ids)


def _path(environ: Mapping[str, str]) -> str:
    """The caller's path, and the directories of system programs, which users' paths often lack."""
    return ":".join(part for part in (environ.get("PATH", ""), SYSTEM_PATH) if part)


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][:300] if lines else "it said nothing"
