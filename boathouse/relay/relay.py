"""The relay: listens in every node's own directory, and turns what daemons dial into plain calls and sockets.

Callers (launch, commands, SQL) use it from any thread; its own thread runs the loop. Methods that nodes may call are
handed in by `server.py` and run in a small pool; the relay decides nothing about them. It keeps no state that outlives
it: after a restart daemons dial again within 0.2 s.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

import msgspec

from boathouse.node.protocol import MAX_LINE, failure
from boathouse.relay.failures import NodeError, NodeGone, Refused
from boathouse.relay.greeting import Greeting
from boathouse.relay.link import Link

log = logging.getLogger(__name__)

SOCKET_NAME, NODE_ID_NAME = "relay.sock", "node_id"
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
#: Threads for the methods of one room (`fs.cp` and `fs.ls` are of one), and for checks of those who dial in: a copy that takes
#: minutes holds up neither secrets nor nodes that start.
METHOD_THREADS, CHECK_THREADS = 8, 4
MAX_GREETINGS = 64
#: Events are hints: when so many wait for a slow listener, newer ones are dropped.
MAX_WAITING_EVENTS = 1000

#: How long the loop's thread may take to do a small thing, in seconds: it never waits, so more than this is a fault.
LOOP_TIMEOUT = 10.0

Method = Callable[[str, dict[str, Any], str], Any]


def _room(method: Any) -> str:
    """`fs` of `fs.cp`; empty for what is no name."""
    return method.partition(".")[0] if isinstance(method, str) else ""


class _Node:
    """What the loop's thread knows of a node that may dial."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.link: Link | None = None
        self.greetings: set[Greeting] = set()
        self.expected: dict[str, Future[socket.socket]] = {}
        self.adopting: set[asyncio.Task[Any]] = set()


class Relay:
    """`Relay(root, verify, on_event, methods)`; see `dataplane.contract.Link` for how it is used."""

    def __init__(
        self,
        root: Path,
        verify: Callable[[str, str], bool],
        on_event: Callable[[str, str, dict[str, Any]], None],
        methods: Mapping[str, Method],
        gone: type[Exception] = NodeGone,
        refused: type[Exception] = NodeError,
    ) -> None:
        """`root` holds `<node_id>/` directories. `verify(node_id, token)` says whether a daemon is who it says.

        `on_event(node_id, name, data)` gets daemons' events, and `connected {boot}` and `disconnected {}`; one at a time, in
        order. `methods[name](node_id, params, capability)` serves a node; it may raise `Refused`. `gone` and `refused`
        are the exceptions that `call` and `open` raise.
        """
        self._root, self._verify, self._on_event, self._methods = root, verify, on_event, dict(methods)
        self._gone, self._refused = gone, refused
        self._nodes: dict[str, _Node] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._pools = {
            room: ThreadPoolExecutor(METHOD_THREADS, thread_name_prefix=f"relay-{room}") for room in {*map(_room, methods), ""}
        }
        self._checks = ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="relay-check")
        self._events = ThreadPoolExecutor(1, thread_name_prefix="relay-event")
        self._waiting_events = 0
        self._stopped = False

    # -- for callers, from any thread but the relay's own

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close everything; nodes go on and dial until somebody listens again. Idempotent."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            nodes = dict(self._nodes)
            self._nodes.clear()
        for node_id, node in nodes.items():
            self._loop.call_soon_threadsafe(self._close, node)
            (self._root / node_id / SOCKET_NAME).unlink(missing_ok=True)
        # A turn later: links that were just closed first fail the calls that wait for them.
        self._loop.call_soon_threadsafe(lambda: self._loop.call_soon(self._loop.stop))
        self._thread.join()
        for pool in (*self._pools.values(), self._checks):
            pool.shutdown(cancel_futures=True)
        self._events.shutdown(cancel_futures=True)
        self._loop.close()

    def listen(self, node_id: str) -> None:
        """Be ready for the node's daemon to dial `<root>/<node_id>/relay.sock`. Idempotent; also writes the node's id there."""
        if not _NODE_ID.match(node_id):
            raise ValueError(f"{node_id!r} is not a node id")
        with self._lock:
            if self._stopped:
                raise self._gone("the relay is stopped")
            if node_id in self._nodes:
                return
            folder = self._root / node_id
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_whole(folder / NODE_ID_NAME, node_id)
            node = self._nodes[node_id] = _Node(_listening(folder / SOCKET_NAME))
        self._in_loop(lambda: self._loop.add_reader(node.listener.fileno(), self._accept, node_id, node))

    def forget(self, node_id: str) -> None:
        """Listen no more and drop what is connected. Idempotent."""
        with self._lock:
            node = self._nodes.pop(node_id, None)
        if node is None:
            return
        self._in_loop(lambda: self._close(node))
        (self._root / node_id / SOCKET_NAME).unlink(missing_ok=True)

    def connected(self, node_id: str) -> bool:
        node = self._nodes.get(node_id)
        return node is not None and node.link is not None

    def call(self, node_id: str, method: str, params: Mapping[str, Any] | None = None, timeout: float = 10.0) -> Any:
        """Ask the node's daemon (protocol.py lists nothing: daemon.py has the methods) and wait for its answer.

        Raises `gone` when there is no tunnel, when it falls, or when `timeout` seconds pass without an answer (the call may
        have taken effect: ask again, every method is idempotent); `refused` (with a `code`) when the daemon refuses.
        """
        encoded = msgspec.json.encode(params or {})
        if len(encoded) > MAX_LINE - 1024:
            raise self._refused(f"too_large: {method} with {len(encoded)} bytes; at most {MAX_LINE - 1024}")
        link = self._link(node_id)
        future: Future[Any] = Future()
        sent: list[int] = []
        self._post(lambda: sent.append(link.request(method, encoded, future)))
        try:
            return future.result(timeout)
        except FutureTimeout:
            self._soon(lambda: link.abandon(sent[0]))
            raise self._gone(f"{node_id} did not answer {method} in {timeout:g} s") from None

    def open(self, node_id: str, target: str, timeout: float = 10.0) -> socket.socket:
        """A connected, blocking socket to `tcp:127.0.0.1:<port>` or `channel:<name>` of the node. Raises as `call`."""
        node = self._nodes.get(node_id)
        if node is None:
            raise self._gone(f"{node_id} is not listened for")
        stream = secrets.token_hex(16)
        dialled: Future[socket.socket] = Future()
        self._in_loop(lambda: node.expected.__setitem__(stream, dialled))
        try:
            self.call(node_id, "open", {"stream": stream, "target": target}, timeout)
            sock = dialled.result(timeout)
        except BaseException as error:
            self._soon(lambda: _expect_no_more(node, stream, dialled))
            if isinstance(error, FutureTimeout):
                raise self._gone(f"{node_id} did not dial a stream for {target} in {timeout:g} s") from None
            raise
        sock.setblocking(True)
        return sock

    # -- in the loop's thread

    def _in_loop(self, action: Callable[[], Any]) -> None:
        """Have the loop's thread do it, and wait. Raises `gone` when the relay is stopped or does not come to it."""
        done: Future[None] = Future()

        def act() -> None:
            try:
                action()
                done.set_result(None)
            except BaseException as error:
                done.set_exception(error)

        self._post(act)
        try:
            done.result(LOOP_TIMEOUT)
        except FutureTimeout:
            raise self._gone(f"the relay did not come to it in {LOOP_TIMEOUT:g} s") from None

    def _post(self, action: Callable[[], Any]) -> None:
        """Have the loop's thread do it soon. Raises `gone` once the relay is stopped."""
        if self._stopped:
            raise self._gone("the relay is stopped")
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:
            raise self._gone("the relay is stopped") from None

    def _link(self, node_id: str) -> Link:
        node = self._nodes.get(node_id)
        link = node.link if node is not None else None
        if link is None:
            raise self._gone(f"no tunnel to {node_id}")
        return link

    def _accept(self, node_id: str, node: _Node) -> None:
        try:
            sock, _ = node.listener.accept()
        except BlockingIOError:
            return
        if len(node.greetings) >= MAX_GREETINGS:
            sock.close()
            return
        node.greetings.add(Greeting(self._loop, sock, lambda s, m: self._greeted(node_id, node, s, m), node.greetings.discard))

    def _greeted(self, node_id: str, node: _Node, sock: socket.socket, message: dict[str, Any]) -> None:
        hello = message.get("hello", message)
        token = hello.get("token") if isinstance(hello, dict) else None
        if not isinstance(token, str) or hello.get("node_id") != node_id:
            _refuse(sock, "not the node of this socket")
            return
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        stream = message.get("stream")
        if isinstance(stream, str):
            known = node.link is not None and hmac.compare_digest(node.link.token_digest, digest)
            dialled = node.expected.pop(stream, None) if known else None
            if dialled is None:
                sock.close()
            else:
                dialled.set_result(sock)
            return
        boot = str(hello.get("boot", ""))[:64]

        def check() -> None:  # may read a database: not in the loop
            try:
                valid = self._verify(node_id, token)
            except Exception:
                log.exception("the token of %s could not be checked", node_id)
                valid = False
            self._soon(lambda: self._verified(node_id, node, sock, boot, digest, valid))

        self._checks.submit(check)

    def _verified(self, node_id: str, node: _Node, sock: socket.socket, boot: str, digest: bytes, valid: bool) -> None:
        if not valid or self._nodes.get(node_id) is not node:
            log.warning("refused a daemon that says it is %s", node_id)
            _refuse(sock, "unknown node or wrong token")
            return

        def up(link: Link) -> None:
            older, node.link = node.link, link
            if older is not None:
                older.close()
            self._event(node_id, "connected", {"boot": boot})

        def lost(link: Link) -> None:
            if node.link is link:
                node.link = None
                self._event(node_id, "disconnected", {})

        link = Link(
            digest,
            up,
            lost,
            lambda served, message: self._pool_of(message).submit(self._serve, node_id, served, message),
            lambda name, data: self._event(node_id, name, data),
            self._gone,
            self._refused,
        )
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: link, sock))
        node.adopting.add(task)
        task.add_done_callback(node.adopting.discard)

    def _pool_of(self, message: Mapping[str, Any]) -> ThreadPoolExecutor:
        return self._pools.get(_room(message["method"])) or self._pools[""]

    def _close(self, node: _Node) -> None:
        self._loop.remove_reader(node.listener.fileno())
        node.listener.close()
        for greeting in list(node.greetings):
            greeting.close()
        if node.link is not None:
            node.link.close()
        for dialled in node.expected.values():
            dialled.set_exception(self._gone("the node is forgotten"))
        node.expected.clear()

    def _soon(self, action: Callable[[], Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:
            if not self._stopped:
                raise

    def _event(self, node_id: str, name: str, data: dict[str, Any]) -> None:
        if self._waiting_events >= MAX_WAITING_EVENTS:
            log.warning("event %s of %s dropped: the listener is slow", name, node_id)
            return
        self._waiting_events += 1
        self._events.submit(self._tell, node_id, name, data)

    # -- in the pools' threads

    def _tell(self, node_id: str, name: str, data: dict[str, Any]) -> None:
        try:
            self._on_event(node_id, name, data)
        except Exception:
            log.exception("the listener failed on event %s of %s", name, node_id)
        finally:
            self._waiting_events -= 1

    def _serve(self, node_id: str, link: Link, message: dict[str, Any]) -> None:
        id = message["id"] if isinstance(message.get("id"), int) else None
        try:
            response = msgspec.json.encode(self._response(node_id, id, message))
            if len(response) >= MAX_LINE:
                response = msgspec.json.encode(failure(id, "too_large", "the answer is too large for one line"))
        except Exception:
            # What went wrong inside is for our log, not for a process of the customer.
            log.exception("method %s failed for %s", message["method"], node_id)
            response = msgspec.json.encode(failure(id, "internal", "the call failed in the control plane"))
        self._soon(lambda: link.answered(response + b"\n"))

    def _response(self, node_id: str, id: int | None, message: dict[str, Any]) -> dict[str, Any]:
        name, params, capability = message["method"], message.get("params"), message.get("capability")
        method = self._methods.get(name) if isinstance(name, str) else None
        if method is None:
            return failure(id, "no_such_method", f"nodes cannot call {str(name)[:100]}")
        if not isinstance(params, dict) or not isinstance(capability, str):
            return failure(id, "bad_params", "params must be an object and capability a string")
        try:
            return {"id": id, "result": method(node_id, params, capability)}
        except Refused as refused:
            return failure(id, refused.code, refused.message)


def _expect_no_more(node: _Node, stream: str, dialled: "Future[socket.socket]") -> None:
    node.expected.pop(stream, None)
    if dialled.done() and dialled.exception() is None:
        dialled.result().close()  # it came, but too late


def _refuse(sock: socket.socket, why: str) -> None:
    try:
        sock.send(msgspec.json.encode({"refused": why}) + b"\n")
    except OSError as error:
        log.info("a refused connection was gone already: %s", error)
    sock.close()


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.replace(path)


def _listening(path: Path) -> socket.socket:
    """A listening socket of mode 0600, also under a path longer than the 107 bytes that the kernel takes."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        path.unlink(missing_ok=True)
        sock.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o600)
        sock.listen(64)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(folder)
    return sock
