"""The processes of a node by name: starting, signalling, waiting, and what became of them.

Called by the tunnel with what the control plane asks; calls the launcher. It keeps no policy: what to start, and what
an exit means, is decided in the control plane, which can ask for `processes` at any time and needs no event.
"""

from __future__ import annotations

import os
import signal as signals

from channel import Channel
from faults import FILE_NAME, Fault, field, named, texts
from launcher_link import LauncherLink
from logs import Logs
from loop import READ, Loop, Timer
from protocol import CLEAN_ENVIRONMENT, KILL_GROUP, STAGES, ProtocolError, decode

#: Exited processes that are remembered; the oldest is forgotten first.
REMEMBERED = 512
READY_LIMIT = 64 << 10
WAIT_LIMIT_S = 600.0


class Process:
    """One started process. `state`: starting, running, exited."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.state = "starting"
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.ready_payload: dict | None = None
        self.channel: Channel | None = None
        self.started: list = []
        self.waiters: list = []

    def describe(self) -> dict:
        return {
            "name": self.name,
            "pid": self.pid,
            "state": self.state,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "ready_payload": self.ready_payload,
        }


class Processes:
    def __init__(self, loop: Loop, link: LauncherLink, logs: Logs, emit) -> None:
        """`emit(event, data)` tells the control plane, if it listens."""
        self._loop, self._link, self._logs, self._emit = loop, link, logs, emit
        self._by_name: dict = {}

    def list(self) -> list:
        return [p.describe() for p in self._by_name.values() if p.state != "starting"]

    def channel(self, name: str) -> Channel:
        process = self._by_name.get(name)
        if process is None or process.channel is None:
            raise Fault("no_such_channel", f"no process {name[:200]} with a channel")
        return process.channel

    def start(self, params: dict, reply) -> None:
        """Start a process, or answer the live one of that name (`started` false).

        `argv`; `env` {name: value | null}, laid over the image's environment (null removes a name) unless
        `inherit_env` is false; `cwd` (default /); `stdout`, `stderr`: log files (default: none kept); `ready`,
        `channel`: descriptor 3 as protocol.py says; `kill_group`: kill what is left of its group when it ends (default:
        as `channel`). Answers {name, pid, started}; Fault `spawn_failed` with the kernel's reason.
        """
        name = named(params, "name")
        live = self._by_name.get(name)
        if live is not None and live.state == "starting":
            live.started.append(reply)
            return
        if live is not None and live.state == "running":
            reply.result({"name": name, "pid": live.pid, "started": False})
            return
        if self._link.state != "up":
            raise Fault("launcher_not_up", f"the customer's container is not there: launcher {self._link.state}")
        argv, cwd = texts(params, "argv"), field(params, "cwd", str, "/")
        ready, channel = field(params, "ready", bool, False), field(params, "channel", bool, False)
        if not argv or not argv[0] or (ready and channel):
            raise Fault("bad_params", "argv must name a program, and ready and channel exclude each other")
        env = dict(field(params, "env", dict, {}))
        if ready or channel:
            env["BOATHOUSE_READY_FD" if ready else "BOATHOUSE_CHANNEL_FD"] = "3"
        flags = 0 if field(params, "inherit_env", bool, True) else CLEAN_ENVIRONMENT
        flags |= KILL_GROUP if field(params, "kill_group", bool, channel) else 0
        names = [named(params, key, FILE_NAME, None) for key in ("stdout", "stderr")]
        process = Process(name)
        process.started.append(reply)
        fds: list = []
        ready_fd = -1
        try:
            fds.append(os.open("/dev/null", os.O_RDONLY))
            fds.extend(self._logs.open(log) if log else os.open("/dev/null", os.O_WRONLY) for log in names)
            if ready:
                ready_fd, write_end = os.pipe()
                fds.append(write_end)
            elif channel:
                process.channel = Channel(self._loop)
                fds.append(process.channel.theirs.detach())
            self._link.spawn(argv, _entries(env), cwd, flags, fds, lambda *done: self._spawned(process, ready_fd, argv, *done))
        except (OSError, ProtocolError) as error:
            if ready_fd >= 0:
                os.close(ready_fd)
            if process.channel is not None:
                process.channel.close()
            raise Fault("spawn_failed", str(error)) from None
        finally:
            for fd in fds:
                os.close(fd)
        if live is not None and live.channel is not None:
            live.channel.close()
        self._by_name.pop(name, None)  # so that the order of names is the order of starts
        self._by_name[name] = process
        self._forget_old()

    def _spawned(self, process: Process, ready_fd: int, argv: list, pid: int, errno: int, stage: int) -> None:
        replies, process.started = process.started, []
        if not pid:
            if ready_fd >= 0:
                os.close(ready_fd)
            if process.channel is not None:
                process.channel.close()
            self._by_name.pop(process.name, None)
            step = STAGES[stage] if stage < len(STAGES) else f"step {stage}"
            for reply in replies:
                reply.error("spawn_failed", f"{argv[0][:300]}: {step}: {os.strerror(errno)}")
            return
        process.pid, process.state = pid, "running"
        if ready_fd >= 0:
            self._await_ready(process, ready_fd)
        for i, reply in enumerate(replies):
            reply.result({"name": process.name, "pid": pid, "started": i == 0})

    def _await_ready(self, process: Process, fd: int) -> None:
        seen = bytearray()
        os.set_blocking(fd, False)

        def readable(mask: int) -> None:
            try:
                data = os.read(fd, READY_LIMIT)
            except BlockingIOError:
                return
            seen.extend(data)
            if data and b"\n" not in seen and len(seen) <= READY_LIMIT:
                return
            self._loop.forget(fd)
            os.close(fd)
            line, newline, _ = bytes(seen).partition(b"\n")
            if newline:
                try:
                    process.ready_payload = decode(line)
                except ProtocolError as error:
                    process.ready_payload = {"error": str(error)}
                self._emit("ready", {"name": process.name, "payload": process.ready_payload})

        self._loop.watch(fd, READ, readable)

    def exited(self, pid: int, code: int, signal: int) -> None:
        """The launcher's news: a process of ours ended."""
        for process in self._by_name.values():
            if process.pid == pid and process.state == "running":
                process.state = "exited"
                process.exit_code = code if code >= 0 else None
                process.signal = signal or None
                self._emit("exit", {"name": process.name, "exit_code": process.exit_code, "signal": process.signal})
                waiters, process.waiters = process.waiters, []
                for reply, timer in waiters:
                    timer.cancel()
                    reply.result(process.describe())
                return

    def launcher_gone(self) -> None:
        """The customer's container ended, and everything in it."""
        for process in list(self._by_name.values()):
            if process.state == "running":
                self.exited(process.pid, -1, int(signals.SIGKILL))

    def rename(self, params: dict, reply) -> None:
        """`rename {name, to}`: a running process goes by another name from now on; `renamed` is false when there is none, or the
        new name is taken by one that runs. Of two who want the same process, one gets it."""
        name, to = named(params, "name"), named(params, "to")
        process, there = self._by_name.get(name), self._by_name.get(to)
        if process is None or process.state != "running" or (there is not None and there.state != "exited"):
            reply.result({"renamed": False})
            return
        if there is not None and there.channel is not None:
            there.channel.close()
        self._by_name.pop(to, None)
        process.name = to
        self._by_name[to] = self._by_name.pop(name)
        reply.result({"renamed": True})

    def signal(self, params: dict, reply) -> None:
        """Signal a process's whole group; `delivered` is false when it is not alive (any more)."""
        process = self._by_name.get(named(params, "name"))
        wanted = params.get("signal")
        try:
            number = signals.Signals["SIG" + wanted] if isinstance(wanted, str) else signals.Signals(wanted)
        except (KeyError, ValueError):
            raise Fault("bad_params", f"signal: {wanted!r} is none; TERM, KILL, INT... or its number") from None
        if process is None or process.state != "running" or self._link.state != "up":
            reply.result({"delivered": False})
            return
        self._link.signal(process.pid, int(number), True, lambda errno: reply.result({"delivered": errno == 0}))

    def wait(self, params: dict, reply) -> None:
        """`wait {name, timeout_ms}`: the process as `processes` tells it, when it has exited or the time is over."""
        process = self._by_name.get(named(params, "name"))
        seconds = field(params, "timeout_ms", int, 0) / 1000
        if process is None or not 0 <= seconds <= WAIT_LIMIT_S:
            raise Fault("bad_params", f"no such process, or timeout_ms not within 0 and {WAIT_LIMIT_S * 1000}")
        if process.state == "exited" or not seconds:
            reply.result(process.describe())
            return

        def over() -> None:
            process.waiters.remove(waiter)
            reply.result(process.describe())

        waiter: tuple[object, Timer] = (reply, self._loop.later(seconds, over))
        process.waiters.append(waiter)

    def _forget_old(self) -> None:
        exited = [p for p in self._by_name.values() if p.state == "exited"]
        for process in exited[: max(0, len(exited) - REMEMBERED)]:
            if process.channel is not None:
                process.channel.close()
            del self._by_name[process.name]


def _entries(env: dict) -> list:
    entries = []
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise Fault("bad_params", f"env: {name[:200]!r} cannot be a name")
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise Fault("bad_params", f"env: the value of {name[:200]} is no string")
        entries.append(name if value is None else f"{name}={value}")
    return entries
