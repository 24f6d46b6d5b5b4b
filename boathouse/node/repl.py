"""The Python REPL of a command context; run by the customer image's own Python (3.8 or later) in the driver's container.

It speaks JSON lines on the descriptor named in BOATHOUSE_CHANNEL_FD. From the control plane: `{"op": "execute", "id",
"code"}` (an id that is known already is not run again), `cancel`, `status`, `forget` (each with `id`), `ping`. To it:
`{"event": "ready"}` when Spark is there, `{"event": "failed", "message"}` (also for each ping) when it cannot be reached,
`{"event": "result", "id", "state", "result"}` when a command ended, `{"event": "status", "id", "state", "result"?}` and
`{"event": "pong", "ready"}` as answers. States: running, finished (also when the code raised: that is a result), cancelled,
unknown. Results are kept until `forget`, so that a control plane that was away can ask: nothing depends on an event.

BOATHOUSE_CONTEXT_FILE names a file on tmpfs: `{"context", "capability", "socket", "gateway_port", "gateway_secret"}`; without
a `gateway_port` there is no Spark. Without the variable the process is a spare: started beside the driver's JVM, it imports
PySpark and connects to Spark (BOATHOUSE_GATEWAY_FILE) before anybody asks, and serves the first context that says `{"op":
"become", "file"}`, once; a REPL that has a context passes over that word.

Commands run one after the other in the main thread, where a signal can interrupt them; the channel is read by another thread,
which never runs the user's code.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time

from repl_cell import Namespace, describe
from repl_dbutils import DBUtils, NodeSocket
from repl_display import Displays
from repl_magic import ENVIRONMENTS, Environment, Magics
from repl_notebook import NotebookExit, RestartPython
from repl_output import Output, Redaction
from repl_spark import Spare, Spark, connect

MAX_LINE = 16 << 20
#: Results that are kept when nobody forgets them.
KEPT = 64
#: Bytes that wait for a control plane that does not read; results beyond them are not pushed (it can ask for them).
WAITING_BYTES = 4 * MAX_LINE
#: A command inside a call to the JVM gets so long to be ended by Spark's own cancellation before it is interrupted.
SPARK_CANCELS_S = 1.0
#: Where Spark cannot refuse jobs that a cancelled command would start later (before 4.0), they are looked for so long.
LINGER_S = 60.0
#: How this program is started anew by restartPython: its Python, arguments, folder, and environment without our variables.
_CHANNEL, _FILE, _RESUME = "BOATHOUSE_CHANNEL_FD", "BOATHOUSE_CONTEXT_FILE", "BOATHOUSE_RESUME_FD"
CANCELLED = {"resultType": "error", "summary": "Cancelled", "cause": "The command was cancelled."}


class Interrupted(BaseException):
    """Ends a command that waits inside Py4J. Not a KeyboardInterrupt: for that, Py4J asks the JVM to close the socket, and
    the JVM then closes those of all Python contexts of the cluster (`GatewayServer.shutdownSocket` compares with "or")."""


class Command:
    def __init__(self, id: str, code: str) -> None:
        self.id, self.code = id, code
        self.state = "running"
        self.result: dict | None = None
        self.cancelling = False
        self.ended = threading.Event()


class Repl:
    def __init__(self, channel: socket.socket, settings: dict, again, lines=None, spare: Spare | None = None) -> None:
        """`again(channel, kept)`: become a new Python that goes on with these results. `lines`: the channel's reading end where
        something was read from it already; `spare`: Spark, connected beforehand."""
        self._channel, self._settings, self._again = channel, settings, again
        self._stream, self._spare = lines or channel.makefile("rb"), spare
        self._restarting = False
        self._commands: dict = {}
        self._queue: queue.Queue = queue.Queue()
        self._lines: queue.Queue = queue.Queue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._main = threading.get_ident()
        self._interruptible: Command | None = None
        self._spark: Spark | None = None
        self._failure = ""
        self._connected = threading.Event()
        redaction = Redaction()
        self._redaction, self._output, self._displays = redaction, Output(redaction), Displays()
        self._namespace = Namespace()
        node = NodeSocket(settings.get("socket", "/run/boathouse/node.sock"), settings.get("capability", ""))
        self._namespace.names.update(
            dbutils=DBUtils(node, redaction.learn),
            display=self._displays.display,
            displayHTML=self._displays.display_html,
        )
        folder = settings.get("environments", ENVIRONMENTS)
        self._environment = Environment(os.path.join(folder, "pythonEnv-" + str(settings.get("context", ""))))
        self._environment.activate()
        self._magics = Magics(self._environment, self._namespace.names, self._displays.display)

    def run(self) -> None:
        """Serve until the channel ends. Called by the main thread."""
        signal.signal(signal.SIGINT, self._interrupted)
        for work in (self._read, self._write, self._connect):
            threading.Thread(target=work, name=f"boathouse{work.__name__}", daemon=True).start()
        while True:
            command = self._queue.get()
            self._run(command)

    # -- the channel's threads

    def _read(self) -> None:
        try:
            while True:
                line = self._stream.readline(MAX_LINE)
                if not line:
                    os._exit(0)  # the daemon is gone, and the node with it
                if line.strip():
                    self._receive(line)
        except OSError:
            os._exit(0)

    def _receive(self, line: bytes) -> None:
        try:
            message = json.loads(line.decode("utf-8"))
            op, id = message.get("op"), message.get("id", "")
        except (ValueError, AttributeError):
            return  # half a line of a control plane that died: it will ask again
        if op == "ping":
            ready = self._connected.is_set()
            self._send(self._failed() if self._failure else {"event": "pong", "ready": ready})
        elif op == "execute":
            self._execute(str(id), str(message.get("code", "")))
        elif op == "cancel":
            self._cancel(str(id))
        elif op == "forget":
            with self._lock:
                if id in self._commands and self._commands[id].ended.is_set():
                    del self._commands[id]
        elif op == "status":
            self._send(self._status(str(id)))

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._channel.sendall(line)
            except OSError:
                os._exit(0)
            with self._lock:
                self._waiting -= len(line)

    def resume(self, kept: dict) -> None:
        """Take over the results of the Python that was here before. Called before `run`."""
        for id, (state, result) in kept.items():
            command = self._commands[id] = Command(id, "")
            command.state, command.result = state, result
            command.ended.set()
            self._send({"event": "result", "id": id, "state": state, "result": result})

    def _restart(self) -> None:
        """The command that asked for it has ended, and nobody knows: the next Python says so, with all that is kept."""
        with self._lock:
            self._restarting = True
            kept = {command.id: (command.state, command.result) for command in self._commands.values() if command.ended.is_set()}
        while self._waiting:
            time.sleep(0.01)  # a line that is half written would be the end of the channel
        self._output.release()
        self._again(self._channel, kept)

    def _send(self, message: dict) -> None:
        line = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            if self._waiting > WAITING_BYTES or self._restarting:
                return  # nobody reads; whoever comes asks for the status
            self._waiting += len(line)
        self._lines.put(line)

    def _status(self, id: str) -> dict:
        with self._lock:
            command = self._commands.get(id)
            if command is None:
                return {"event": "status", "id": id, "state": "unknown"}
            told = {"event": "status", "id": id, "state": command.state}
            if command.result is not None:
                told["result"] = command.result
            return told

    def _execute(self, id: str, code: str) -> None:
        with self._lock:
            if id in self._commands:
                return
            command = self._commands[id] = Command(id, code)
            ended = [c.id for c in self._commands.values() if c.ended.is_set()]
            for old in ended[: max(0, len(ended) - KEPT)]:
                del self._commands[old]
        self._queue.put(command)

    def _cancel(self, id: str) -> None:
        with self._lock:
            command = self._commands.get(id)
            if command is None or command.ended.is_set() or command.cancelling:
                return
            command.cancelling = True
        threading.Thread(target=self._keep_cancelling, args=(command,), name="boathouse-cancel", daemon=True).start()

    def _keep_cancelling(self, command: Command) -> None:
        """Until it has ended: the user's code may catch what it is interrupted with, or start the next job."""
        began = time.monotonic()
        while not command.ended.is_set():
            if self._interruptible is command:
                self._cancel_jobs(command)
                command.ended.wait(0.1)
                if not _inside_py4j(sys._current_frames().get(self._main)) or time.monotonic() - began > SPARK_CANCELS_S:
                    signal.pthread_kill(self._main, signal.SIGINT)
            command.ended.wait(0.3)
        # The JVM does not know that its caller has gone: a query that it was planning becomes a job only now.
        ended = time.monotonic()
        while self._spark is not None and not self._spark.cancels_future_jobs and time.monotonic() - ended < LINGER_S:
            self._cancel_jobs(command)
            time.sleep(1)

    def _cancel_jobs(self, command: Command) -> None:
        if self._spark is not None:
            try:
                self._spark.cancel(self._group(command))
            except Exception as error:
                print(f"cancelling its jobs failed: {error!r}", file=sys.stderr)

    def _connect(self) -> None:
        if "gateway_port" not in self._settings:
            self._connected.set()
            self._send({"event": "ready"})
            return
        try:
            context, secret = self._settings["context"], self._settings["gateway_secret"]
            self._spark = self._spare.take(context) if self._spare is not None else None
            if self._spark is None:
                self._spark = connect(context, int(self._settings["gateway_port"]), secret)
            self._spark.bind(context, self._settings.get("socket", ""), self._settings.get("capability", ""))
        except BaseException as error:
            self._failure = f"The cluster's Spark cannot be reached: {type(error).__name__}: {error}"
            self._send(self._failed())
            print(describe(error)["cause"], file=sys.stderr)
        else:
            spark = self._spark.session
            self._namespace.names.update(spark=spark, sc=self._spark.sc, sql=spark.sql, table=spark.table)
            self._share_packages()
            self._send({"event": "ready"})
        self._connected.set()

    def _share_packages(self) -> None:
        """Python workers find what %pip installed, on whichever node."""
        if self._spark is not None and self._environment.activate():
            self._spark.share(str(self._settings["context"]), self._environment)

    def _group(self, command: Command) -> str:
        """The Spark job group of a command; the driver serves many contexts."""
        return "boathouse-{}-{}".format(self._settings["context"], command.id)

    def _failed(self) -> dict:
        return {"event": "failed", "message": self._failure[:4000]}

    # -- the main thread

    def _interrupted(self, number: int, frame) -> None:
        """The handler of SIGINT: only a running command that somebody cancelled feels it."""
        if self._interruptible is None or not self._interruptible.cancelling:
            return
        if self._spark is not None and _inside_py4j(frame):
            self._spark.drop_connection()
            raise Interrupted
        raise KeyboardInterrupt

    def _run(self, command: Command) -> None:
        signal.signal(signal.SIGINT, self._interrupted)  # PySpark, or an earlier command, may have set its own
        self._displays.clear()
        self._output.begin()
        error: BaseException | None = None
        result: dict = {}
        try:
            self._interruptible = command
            self._execute_in_main(command)
            self._interruptible = None
        except BaseException as raised:
            self._interruptible = None
            error = raised
        text, truncated = self._output.end()
        restart = isinstance(error, RestartPython) and not command.cancelling
        if isinstance(error, NotebookExit):
            text, error = f"{text}Notebook exited: {error}", None
        elif restart:
            error = None
        if command.cancelling:
            result = dict(CANCELLED)
        elif error is None:
            try:
                result = self._displays.outcome(text, truncated)
            except Exception as raised:  # a figure that cannot be drawn
                error = raised
        if error is not None and not command.cancelling:
            result = describe(error)
        if error is not None and text:
            result["data"] = text  # what it printed before
        del error  # and with its frames what they hold
        self._finish(command, result, tell=not restart)
        if restart:
            self._restart()

    def _execute_in_main(self, command: Command) -> None:
        if command.cancelling:
            raise KeyboardInterrupt
        self._connected.wait()
        if self._failure:
            raise RuntimeError(self._failure)
        if self._spark is not None:
            self._spark.enter(self._group(command), command.code[:200])
        code = self._magics.run(command.code)
        if code is not command.code:
            self._share_packages()
        self._namespace.run(code, self._show)

    def _show(self, value) -> None:
        print(repr(value))

    def _finish(self, command: Command, result: dict, tell: bool) -> None:
        result = fitting(self._redaction.document(result))
        with self._lock:
            command.state = "cancelled" if command.cancelling else "finished"
            command.result = result
            command.ended.set()
        if tell:
            self._send({"event": "result", "id": command.id, "state": command.state, "result": result})


def _inside_py4j(frame) -> bool:
    for _ in range(30):
        if frame is None:
            return False
        if f"{os.sep}py4j{os.sep}" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def fitting(result: dict, limit: int = MAX_LINE - 4096) -> dict:
    """The result, cut so that it fits a line of the channel (JSON may be six times as long as its text)."""
    while len(json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")) > limit:
        longest = max((name for name in result if isinstance(result[name], (str, list))), key=lambda name: len(result[name]))
        result = {**result, longest: result[longest][: len(result[longest]) // 2], "truncated": True}
    return result


def main() -> None:
    channel = socket.socket(fileno=int(os.environ.pop(_CHANNEL)))
    channel.set_inheritable(False)
    sys.path[0] = ""  # the user's code imports from its working directory, not from here
    os.environ.setdefault("MPLBACKEND", "agg")
    sys.argv = [""]
    lines, spare, kept = channel.makefile("rb"), None, {}
    path, gateway = os.environ.pop(_FILE, ""), os.environ.pop("BOATHOUSE_GATEWAY_FILE", "")
    if _RESUME in os.environ:
        with open(int(os.environ.pop(_RESUME)), encoding="utf-8") as file:
            kept = json.load(file)
    environment = dict(os.environ)
    again = _again(environment)
    if not path:
        spare = Spare(gateway, environment)
        path = _become(lines)
        importlib.invalidate_caches()  # libraries may have been installed since
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    repl = Repl(channel, settings, lambda channel, kept: again(channel, path, kept), lines, spare)
    repl.resume(kept)
    repl.run()


def _again(environment: dict):
    """What a `Repl` restarts with: this program anew, in the same process, as it was started."""
    python, folder = sys.executable, os.getcwd()
    program = os.path.abspath(__file__)

    def again(channel: socket.socket, context_file: str, kept: dict) -> None:
        results = os.memfd_create("results", 0)
        with open(os.dup(results), "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.lseek(results, 0, os.SEEK_SET)
        channel.set_inheritable(True)
        os.chdir(folder)
        ours = {_CHANNEL: str(channel.fileno()), _FILE: context_file, _RESUME: str(results)}
        os.execve(python, [python, "-u", program], {**environment, **ours})

    return again


def _become(lines) -> str:
    """Wait, as a spare, for the file of the context to serve. Ends the process with the channel."""
    while True:
        line = lines.readline(MAX_LINE)
        if not line:
            os._exit(0)
        try:
            message = json.loads(line.decode("utf-8"))
            if message.get("op") == "become":
                return str(message["file"])
        except (ValueError, AttributeError, KeyError):
            continue  # half a line of a control plane that died: it will ask again


if __name__ == "__main__":
    main()
