"""Python contexts: one REPL process of the image's own Python in the driver's container, spoken to over its channel.

The words of that conversation (JSON lines) are here and in `node/repl.py`, nowhere else. The REPL keeps what it ran by our
command ids, so that after a restart of ours a new session attaches and asks `status`. The stream may break and be made again at
any time; a line that fell between is asked for again.
"""

import base64
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boathouse.commands import results
from boathouse.commands.session import READY, RUNNING, STARTING, UNKNOWN, Answer, Phase, Standing
from boathouse.dataplane.contract import Link, NodeError, NodeGone
from boathouse.releases.arguments import SPARE_PYTHON

log = logging.getLogger("boathouse.commands")

#: A result has at most 20 MB; a longer line is no result.
LONGEST_LINE = 64 << 20

#: What a REPL reads as one line, less a little; and how long it may leave us waiting to write, in seconds.
LONGEST_SENT, SEND_PATIENCE_S = 15 << 20, 10

#: How long a REPL that is to end gets to cancel its Spark jobs.
GOODBYE_S = 3.0

#: Exit by signal 9 is nearly always the kernel, for want of memory.
_SIGKILL = 9


class Start(msgspec.Struct, frozen=True):
    """How the process of a context is started. `settings` become its own file, readable by root of the container alone."""

    argv: list[str]
    env: Mapping[str, str]
    cwd: str
    settings: Mapping[str, Any]


class CannotStart(Exception):
    """The process cannot be started, and trying again will not help; the message says why."""


class PythonSession:
    """See `session.Session`. `make_start` is asked once, when the process is really to be started."""

    def __init__(
        self,
        context_id: str,
        node_id: str,
        link: Link,
        file: str,
        started_before: bool,
        make_start: Callable[[], Start],
        on_news: Callable[[], None],
    ) -> None:
        """`file`: where its own file is, on tmpfs. `started_before`: the process has been ready once, so that its absence is its
        end and not its beginning."""
        self.name = f"repl-{context_id}"
        self._node_id, self._link, self._make_start, self._on_news = node_id, link, make_start, on_news
        self._file, self._started_before = file, started_before
        self._lock = threading.Lock()
        self._stream: socket.socket | None = None
        self._ready = False
        self._failed = ""
        self._answers: dict[str, Answer] = {}
        self._asked: set[str] = set()
        # Whoever waits for the end of this very command is told; about everything else a round is asked for.
        self._heard = threading.Condition()
        self._lingering: str | None = None
        self._ending_since: float | None = None

    def prepare(self) -> Standing:
        if self._failed:
            return Standing(Phase.ENDED, self._failed)
        if self._stream is not None and self._ready:
            return READY
        process = self._process()
        if process is None and self._started_before:
            return Standing(Phase.ENDED, "The Python process of this context is no longer there.")
        if process is not None and process["state"] == "exited":
            return Standing(Phase.ENDED, _how_it_ended(process))
        if process is None:
            self._start()
        if self._failed:
            return Standing(Phase.ENDED, self._failed)
        if self._stream is None:
            self._attach()
        return READY if self._ready else STARTING

    def ask(self, command_id: str) -> Answer | None:
        known = self._answers.get(command_id)
        if known == RUNNING or (known is None and command_id not in self._asked):
            # Also while it is thought to run: the REPL drops news that nobody took, and relies on being asked.
            self._asked.add(command_id)
            self._send({"op": "status", "id": command_id})
        return known

    def run(self, command_id: str, text: str, linger: float) -> Answer | None:
        with self._heard:
            self._answers[command_id] = RUNNING
            self._lingering = command_id
        try:
            self._send({"op": "execute", "id": command_id, "code": text})
        except (NodeGone, NodeError):
            self._lingering = None
            self._answers.pop(command_id, None)
            raise
        with self._heard:
            self._heard.wait_for(lambda: self._has_ended(command_id) or self._stream is None, linger)
            self._lingering = None
            return self._answers.get(command_id)

    def cancel(self, command_id: str) -> None:
        self._send({"op": "cancel", "id": command_id})

    def forget(self, command_id: str) -> None:
        self._answers.pop(command_id, None)
        self._asked.discard(command_id)
        self._send({"op": "forget", "id": command_id})

    def end(self, running: str | None) -> bool:
        """Interrupts what runs, so that its Spark jobs end with it; then kills the process and whatever it started."""
        if running is not None and not self._has_ended(running):
            if self._ending_since is None:
                self._ending_since = time.monotonic()
                self._interrupt(running)
            if time.monotonic() - self._ending_since < GOODBYE_S and self._stream is not None:
                return False
        self._link.call(self._node_id, "signal", {"name": self.name, "signal": "KILL"})
        self._link.call(self._node_id, "remove_files", {"paths": [self._file]})
        self.close()
        return True

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            _shut(stream)

    # -- inside

    def _has_ended(self, command_id: str) -> bool:
        answer = self._answers.get(command_id)
        return answer is not None and (answer.ended or answer == UNKNOWN)

    def _interrupt(self, command_id: str) -> None:
        try:
            if self._stream is None:
                self._attach()
            self.cancel(command_id)
            self._asked.discard(command_id)
            self.ask(command_id)
        except NodeError as error:
            log.info("%s cannot be asked to stop first: %s", self.name, error)

    def _process(self) -> dict[str, Any] | None:
        for process in self._link.call(self._node_id, "processes", {}):
            if process["name"] == self.name:
                return process
        return None

    def _start(self) -> None:
        try:
            start = self._make_start()
        except CannotStart as error:
            self._failed = f"Python could not be started: {error}"
            return
        data = base64.b64encode(json.dumps(dict(start.settings)).encode()).decode()
        self._link.call(self._node_id, "put_files", {"files": [{"path": self._file, "mode": 0o600, "data": data}]})
        if self._take_spare():
            return
        log_file = f"{self.name}.log"
        try:
            self._link.call(
                self._node_id,
                "start",
                {
                    "name": self.name, "argv": start.argv, "env": dict(start.env), "cwd": start.cwd,
                    "stdout": log_file, "stderr": log_file, "channel": True,
                },
            )  # fmt: skip
        except NodeError as error:
            if "launcher_not_up" in str(error):
                raise NodeGone(f"the driver's container is not there: {error}") from None
            self._failed = f"Python could not be started: {error}"

    def _take_spare(self) -> bool:
        """Whether the process that waits beside the driver is ours now. There is one a launch; the first context gets it."""
        try:
            return bool(self._link.call(self._node_id, "rename", {"name": SPARE_PYTHON, "to": self.name})["renamed"])
        except NodeError as error:
            log.info("%s: no spare process: %s", self.name, error)
            return False

    def _attach(self) -> None:
        stream = self._link.open(self._node_id, f"channel:{self.name}")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_PATIENCE_S, 0))
        self._asked.clear()
        self._answers = {command_id: answer for command_id, answer in self._answers.items() if answer.ended}
        self._stream = stream
        threading.Thread(target=self._read, args=(stream,), name=self.name, daemon=True).start()
        self._send({"op": "become", "file": self._file})
        self._send({"op": "ping"})

    def _send(self, message: dict[str, Any]) -> None:
        stream = self._stream
        if stream is None:
            raise NodeGone(f"{self.name} is not attached")
        line = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if len(line) > LONGEST_SENT:
            raise NodeError(f"too_large: {len(line)} bytes for one line; at most {LONGEST_SENT}")
        try:
            with self._lock:
                stream.sendall(line)
        except OSError as error:
            _shut(stream)  # perhaps in the middle of a line: it is of no more use
            raise NodeGone(f"{self.name}: the stream broke: {error}") from None

    def _read(self, stream: socket.socket) -> None:
        """Takes lines until the stream ends, however it ends."""
        try:
            with stream.makefile("rb") as lines:
                while line := lines.readline(LONGEST_LINE):
                    if not line.endswith(b"\n") and len(line) >= LONGEST_LINE:
                        raise ValueError(f"a line of more than {LONGEST_LINE} bytes")
                    if line.strip():
                        self._hear(json.loads(line))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s does not keep to the protocol: %r", self.name, error)
            self._failed = "The Python process of this context sent what no REPL sends; it is of no more use."
        except OSError as error:
            log.info("%s: the stream broke: %s", self.name, error)
        if self._stream is stream:
            with self._heard:
                self._stream = None
                self._ready = False
                self._heard.notify_all()
            _shut(stream)
            self._on_news()

    def _hear(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "ready" or (event == "pong" and message.get("ready")):
            news = not self._ready
            self._ready = self._started_before = True
        elif event == "failed":
            self._failed = f"Python could not be started: {str(message.get('message'))[:2000]}"
            news = True
        elif event in ("result", "status"):
            with self._heard:
                command_id, answer = message["id"], _answer(message)
                news = self._lingering != command_id and self._answers.get(command_id) != answer
                self._answers[command_id] = answer
                self._heard.notify_all()
        else:
            news = False
        if news:
            self._on_news()


def _answer(message: dict[str, Any]) -> Answer:
    state = message.get("state", "finished")
    if state == "running":
        return RUNNING
    if state == "unknown":
        return UNKNOWN
    return Answer("cancelled" if state == "cancelled" else "finished", results.from_repl(message.get("result")))


def _how_it_ended(process: Mapping[str, Any]) -> str:
    """In words that help: a process that vanished was usually too large."""
    signal = process.get("signal")
    if signal == _SIGKILL:
        return (
            "The Python process of this context was killed (signal 9): it most likely needed more memory than the node has. "
            "Its variables are lost; create a new context."
        )
    how = f"by signal {signal}" if signal else f"with exit code {process.get('exit_code')}"
    return f"The Python process of this context ended {how}. Its variables are lost; create a new context."


def _shut(stream: socket.socket) -> None:
    try:
        stream.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("a stream was closed already: %s", error)
    stream.close()
