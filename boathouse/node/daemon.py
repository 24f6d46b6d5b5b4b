"""The daemon: the only program of ours that runs beside the customer's container, and the control plane's only way in.

Started as ``python3 -S -E daemon.py`` in a small image of our own (DAEMON_FILES of this folder, side by side). It listens
on /run/boathouse (a tmpfs that it shares with the customer's container), dials the relay in /node for ever, and ends
only with its container: a daemon that died is a lost node.

BOATHOUSE_NODE_DIR and BOATHOUSE_RUN_DIR move the two folders and BOATHOUSE_LOG_CAP (bytes) the size of a log: for tests.
"""

from __future__ import annotations

import binascii
import os
import signal
import sys

from callbacks import Callbacks
from faults import Fault
from files import put_files, remove_files
from launcher_link import LauncherLink
from logs import DEFAULT_CAP, Logs
from loop import Loop
from processes import Processes
from stats import FILES, counters
from tunnel import Tunnel

LOG_CHECK_S = 0.5


class Daemon:
    """Wires the parts; serves the methods that the control plane may call."""

    def __init__(self, node_dir: str, run_dir: str, log_cap: int) -> None:
        self.loop = Loop()
        self._run_dir = run_dir
        self._boot = binascii.hexlify(os.urandom(8)).decode("ascii")
        self._logs = Logs(os.path.join(node_dir, "logs"), log_cap)
        self._tunnel = Tunnel(self.loop, node_dir, self._boot, self._handle, self._attach, self._connected)
        self._link = LauncherLink(
            self.loop, os.path.join(run_dir, "launcher.sock"), self._launcher_up, self._exited, self._launcher_gone
        )
        self._processes = Processes(self.loop, self._link, self._logs, self._tunnel.emit)
        self._callbacks = Callbacks(self.loop, os.path.join(run_dir, "node.sock"), self._tunnel.call)
        self._methods = {
            "start": self._processes.start,
            "rename": self._processes.rename,
            "signal": self._processes.signal,
            "wait": self._processes.wait,
            "processes": lambda params, reply: reply.result(self._processes.list()),
            "put_files": lambda params, reply: reply.result(put_files(run_dir, params)),
            "remove_files": lambda params, reply: reply.result(remove_files(run_dir, params)),
            "read_log": lambda params, reply: reply.result(self._logs.read(params)),
            "stats": self._stats,
            "status": lambda params, reply: reply.result({"boot": self._boot, "launcher": self._link.state}),
        }

    def run(self) -> None:
        self._tunnel.dial()
        self._check_logs()
        while True:
            self.loop.run_once()

    def _handle(self, method: str, params: dict, reply) -> None:
        serve = self._methods.get(method)
        if serve is None:
            raise Fault("no_such_method", f"the daemon does not know {method[:100]}")
        serve(params, reply)

    def _attach(self, name: str, sock) -> None:
        self._processes.channel(name).attach(sock)

    def _connected(self) -> None:
        if self._link.state == "up":
            self._launcher_up()

    def _launcher_up(self) -> None:
        self._tunnel.emit("launcher_up", {})

    def _exited(self, pid: int, code: int, number: int) -> None:
        self._cut_logs()
        self._processes.exited(pid, code, number)

    def _launcher_gone(self) -> None:
        self._processes.launcher_gone()
        self._tunnel.emit("launcher_gone", {})

    def _cut_logs(self) -> None:
        for name in self._logs.cut():
            self._tunnel.emit("log_grew", {"file": name})

    def _check_logs(self) -> None:
        self._cut_logs()
        self.loop.later(LOG_CHECK_S, self._check_logs)

    def _stats(self, params: dict, reply) -> None:
        """The counters of the customer's container (stats.py): read by the launcher, the only one who sees them."""
        if self._link.state != "up":
            raise Fault("launcher_not_up", f"launcher {self._link.state}")
        texts: dict = {}

        def got(name: str, errno: int, data: bytes) -> None:
            texts[name] = None if errno else data.decode("ascii", "replace")
            if len(texts) == len(FILES):
                reply.result(counters(texts))

        for name, path in FILES.items():
            self._link.read(path, lambda errno, data, name=name: got(name, errno, data))


def main() -> None:
    # As process 1 a signal without a handler would be ignored, and the engine would wait ten seconds for nothing.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    environment = os.environ.get
    node_dir, run_dir = environment("BOATHOUSE_NODE_DIR", "/node"), environment("BOATHOUSE_RUN_DIR", "/run/boathouse")
    try:
        daemon = Daemon(node_dir, run_dir, int(environment("BOATHOUSE_LOG_CAP", str(DEFAULT_CAP))))
    except OSError as error:
        sys.exit(f"daemon: {error}")
    daemon.run()


if __name__ == "__main__":
    main()
