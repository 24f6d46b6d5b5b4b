"""The launcher alone, against a daemon that this test plays."""

import array
import errno
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from boathouse.node import protocol as p
from boathouse.node.launcher.build import SOURCE

PATIENCE_S = 20.0


class FakeDaemon:
    def __init__(self, launcher: Path, folder: Path, env: dict[str, str] | None = None) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "launcher.sock"))
        listener.listen()
        self.process = subprocess.Popen(
            [str(launcher)],
            env=env or {**os.environ, "BOATHOUSE_LAUNCHER_SOCK": str(folder / "launcher.sock"), "OF_IMAGE": "yes"},
            stderr=subprocess.PIPE,
        )
        self.sock, _ = listener.accept()
        listener.close()
        self.sock.settimeout(PATIENCE_S)
        self._frames, self._buffer, self._last = [], p.FrameBuffer(), 0
        assert self.reply(p.HELLO) == (p.LAUNCHER_VERSION, self.process.pid)

    def reply(self, wanted: int) -> tuple:
        """The next frame, which must be of that type."""
        while not self._frames:
            data = self.sock.recv(1 << 16)
            assert data, "the launcher closed the connection"
            self._frames += self._buffer.feed(data)
        kind, payload = self._frames.pop(0)
        assert kind == wanted
        return p.reply_fields(kind, payload)

    def spawn(self, argv, env=(), cwd="/", flags=0, out=None, extra=()) -> tuple:
        self._last += 1
        null = os.open("/dev/null", os.O_RDWR)
        fds = [null, out if out is not None else null, null, *extra]
        frame = p.spawn_frame(self._last, list(argv), list(env), cwd, flags, len(fds))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.sock.sendmsg([frame], rights)
        self.sock.sendall(frame[sent:])
        os.close(null)
        request, *rest = self.reply(p.SPAWNED)
        assert request == self._last
        return tuple(rest)

    def run(self, argv, **more) -> tuple[bytes, tuple]:
        """The output and the exit frame."""
        read_end, write_end = os.pipe()
        pid, error, _ = self.spawn(argv, out=write_end, **more)
        os.close(write_end)
        assert (pid > 0, error) == (True, 0)
        with os.fdopen(read_end, "rb") as pipe:
            output = pipe.read()
        return output, self.reply(p.EXITED)

    def close(self) -> None:
        self.sock.close()
        self.process.wait(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def daemon(launcher, short_folder):
    daemon = FakeDaemon(launcher, short_folder)
    yield daemon
    daemon.close()


def test_arguments_arrive_byte_for_byte(daemon):
    words = ["", " ", "a\nb", "ü€😀", "\udcff\udc80", "-n", "x" * 100_000]
    output, (_, code, number) = daemon.run(
        ["python3", "-c", "import sys,os;[os.write(1,os.fsencode(a)+b'\\0') for a in sys.argv[1:]]", *words]
    )
    assert (code, number) == (0, 0)
    assert output.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


def test_the_environment_is_the_images_under_what_is_given(daemon):
    output, _ = daemon.run(["sh", "-c", 'echo "$OF_IMAGE|$NEW|${HOME-none}"'], env=["NEW=a=b", "HOME"])
    assert output == b"yes|a=b|none\n"


def test_a_clean_environment_has_nothing_of_the_images(daemon):
    output, _ = daemon.run(["/usr/bin/env"], env=["A=1"], flags=p.CLEAN_ENVIRONMENT)
    assert output == b"A=1\n"


def test_the_program_is_looked_for_on_the_path_that_is_given(daemon, short_folder):
    (short_folder / "hello").write_text("#!/bin/sh\necho found\n")
    (short_folder / "hello").chmod(0o755)
    assert daemon.run(["hello"], env=[f"PATH=/nowhere::{short_folder}"])[0] == b"found\n"


@pytest.mark.parametrize(
    ("argv", "cwd", "error", "stage"),
    [
        (["no-such-program"], "/", errno.ENOENT, "exec"),
        ([str(SOURCE)], "/", errno.EACCES, "exec"),
        (["/"], "/", errno.EACCES, "exec"),
        (["true"], "/nowhere", errno.ENOENT, "working directory"),
    ],
)
def test_a_spawn_that_fails_says_where_and_why(daemon, argv, cwd, error, stage):
    pid, got, at = daemon.spawn(argv, cwd=cwd)
    assert (pid, got, p.STAGES[at]) == (0, error, stage)
    assert daemon.run(["echo", "next"])[0] == b"next\n"


def test_a_process_leads_its_own_session_with_no_signal_blocked_and_no_stray_descriptor(daemon):
    # By exec: a shell that waits for a child blocks signals itself meanwhile.
    script = "echo $$; ps -o sid= -p $$; ls -l /proc/$$/fd | grep -c ' -> '; "
    script += "exec grep -E 'SigBlk|SigIgn|NoNewPrivs' /proc/self/status"
    output, _ = daemon.run(["sh", "-c", script])
    pid, sid, *rest = output.decode().split("\n")
    assert int(pid) == int(sid)
    descriptors, blocked, ignored, *others = rest
    # Signals 32 and 33 are the C library's own: a program cannot set them, and inherits what its ancestors did.
    assert int(ignored.removeprefix("SigIgn:\t"), 16) & ~0b11 << 31 == 0
    assert [descriptors, blocked, *others] == ["3", "SigBlk:\t0000000000000000", "NoNewPrivs:\t1", ""]


def test_descriptor_three_reaches_the_process(daemon):
    mine, theirs = socket.socketpair()
    with mine, theirs:
        daemon.spawn(["sh", "-c", "echo from three >&3"], extra=[theirs.fileno()])
        assert mine.recv(100) == b"from three\n"
    daemon.reply(p.EXITED)


def test_exits_and_signals_are_told(daemon):
    assert daemon.run(["sh", "-c", "exit 42"])[1][1:] == (42, 0)
    assert daemon.run(["sh", "-c", "kill -9 $$"])[1][1:] == (-1, signal.SIGKILL)


def test_a_group_is_signalled_and_a_stranger_is_not(daemon):
    read_end, write_end = os.pipe()
    pid, _, _ = daemon.spawn(["sh", "-c", "echo up; sleep 1000 & wait"], out=write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.readline() == b"up\n"
        daemon.sock.sendall(p.signal_frame(9, pid, signal.SIGTERM, True))
        replies = daemon.reply(p.SIGNALLED), daemon.reply(p.EXITED)
        assert replies == ((9, 0), (pid, -1, signal.SIGTERM))
        assert pipe.read() == b""  # the sleeping child had the pipe too
    for number in (pid, 1, os.getpid(), -1, 0):
        daemon.sock.sendall(p.signal_frame(10, number, signal.SIGKILL, False))
        assert daemon.reply(p.SIGNALLED) == (10, errno.ESRCH)


@pytest.mark.parametrize("kill_group", [True, False])
def test_what_a_leader_leaves_behind_is_killed_only_when_asked(daemon, kill_group):
    read_end, write_end = os.pipe()
    pid, _, _ = daemon.spawn(["sh", "-c", "sleep 1000 & echo $!"], out=write_end, flags=p.KILL_GROUP if kill_group else 0)
    os.close(write_end)
    assert daemon.reply(p.EXITED) == (pid, 0, 0)
    with os.fdopen(read_end, "rb") as pipe:
        child = int(pipe.readline())
        ended, _, _ = select.select([pipe], [], [], PATIENCE_S if kill_group else 0)
        assert bool(ended) == kill_group
    if not kill_group:
        os.kill(child, signal.SIGKILL)


def test_orphans_are_reaped(daemon):
    output, _ = daemon.run(["sh", "-c", "(sh -c 'echo $$; exec true' &) ; true"])
    daemon.run(["true"])
    daemon.run(["true"])
    assert not Path(f"/proc/{int(output)}").exists()


def test_the_end_of_the_daemon_ends_everything(daemon):
    read_end, write_end = os.pipe()
    daemon.spawn(["sh", "-c", "trap '' TERM; echo up; sleep 1000 & wait"], out=write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.readline() == b"up\n"
        daemon.sock.close()
        assert pipe.read() == b""
    assert daemon.process.wait(PATIENCE_S) == 0


def test_a_stop_of_the_container_is_passed_on_and_waited_for(daemon):
    read_end, write_end = os.pipe()
    pid, _, _ = daemon.spawn(["sh", "-c", "trap 'echo clean; exit 5' TERM; echo up; while :; do sleep 0.01; done"], out=write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.readline() == b"up\n"
        daemon.process.send_signal(signal.SIGTERM)
        assert pipe.read() == b"clean\n"
    assert daemon.reply(p.EXITED) == (pid, 5, 0)
    assert daemon.process.wait(PATIENCE_S) == 0


def test_heads_of_regular_files_are_read_and_nothing_else(daemon, short_folder):
    (short_folder / "f").write_bytes(b"0123456789")
    os.mkfifo(short_folder / "pipe")
    for path, limit, expected in [
        ("f", 4, (1, 0, b"0123")),
        ("f", 100, (1, 0, b"0123456789")),
        ("pipe", 4, (1, errno.EINVAL, b"")),
        (".", 4, (1, errno.EINVAL, b"")),
        ("none", 4, (1, errno.ENOENT, b"")),
    ]:
        daemon.sock.sendall(p.read_frame(1, str(short_folder / path), limit))
        assert daemon.reply(p.DATA) == expected


GOOD = p.spawn_frame(1, ["true"], ["A=1"], "/", 0, 3)


def _with(position: int, value: bytes) -> bytes:
    return GOOD[:position] + value + GOOD[position + len(value) :]


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack("<I", 0),
        struct.pack("<I", 0xFFFFFFFF),
        struct.pack("<IB", 1, p.SPAWN),
        struct.pack("<IB", 1, 0x55),
        GOOD,  # its descriptors did not come
        _with(9, b"\x09"),
        _with(11, struct.pack("<I", 0)),
        _with(11, struct.pack("<I", 0xFFFFFFFF)),
        _with(11, struct.pack("<I", 3)),
        _with(15, b"\0\0"),
        struct.pack("<IBI", 5, p.SIGNAL, 1),
        struct.pack("<IBII", 9, p.READ, 1, 1 << 20),
        p.read_frame(1, "/etc/hostname", p.MAX_READ + 1),
    ],
)
def test_a_daemon_that_speaks_nonsense_ends_the_node_cleanly(daemon, frame):
    daemon.sock.sendall(frame)
    assert daemon.process.wait(PATIENCE_S) == 70
    assert b"launcher: " in daemon.process.stderr.read()


def test_random_damage_never_breaks_its_memory(tmp_path_factory, short_folder):
    """Mutated frames against a build with the compiler's address and undefined-behaviour checks."""
    checked = tmp_path_factory.mktemp("bin") / "checked"
    compiler = shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a compiler built the launcher before"
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run([compiler, *flags, "-o", str(checked), str(SOURCE)], check=True)
    chance = random.Random(20)
    frames = [
        GOOD,
        p.signal_frame(1, 2, 0, False),
        p.read_frame(1, "/etc/hostname", 9),
        p.spawn_frame(2, ["a", "b"], [], "/", 3, 8),
    ]
    for _ in range(60):
        data = bytearray(b"".join(chance.choices(frames, k=3)))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        (short_folder / "launcher.sock").unlink(missing_ok=True)
        daemon = FakeDaemon(checked, short_folder)
        null = os.open("/dev/null", os.O_RDWR)
        try:
            daemon.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * chance.randrange(20)))])
            daemon.sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended already
        finally:
            os.close(null)
        code = daemon.process.wait(PATIENCE_S)
        said = daemon.process.stderr.read().decode()
        assert code in (0, 70), said
        daemon.close()
