"""What travels inside a node and between a node and the control plane: framing and limits, nothing that opens a socket.

Three conversations use this module; none of them may know what the messages are for.

1. Launcher and daemon (`launcher/launcher.c`): binary frames on a stream socket. All integers are little-endian.
   A frame is ``u32 length`` (of what follows, at most MAX_FRAME) ``u8 type`` and the fields of that type. ``str`` is
   ``u32 length, bytes`` where length counts one terminating NUL, and no other NUL is inside.

   ====================  ====  =======================================================================================
   daemon to launcher
   SPAWN                 0x01  u32 request, u8 flags, u8 fds, str cwd, u32 argc, str*argc, u32 envc, str*envc.
                               `fds` descriptors (3 to 8) come by SCM_RIGHTS with the first byte of the frame or
                               earlier and become 0, 1, 2, 3... An environment entry without `=` removes that name.
   SIGNAL                0x02  u32 request, i32 pid, u32 signal, u8 group (1: the whole process group)
   READ                  0x03  u32 request, u32 limit (at most MAX_READ), str path: the head of a regular file as the
                               customer's container sees it (its cgroup counters)
   launcher to daemon
   HELLO                 0x81  u32 version, u32 pid: the first frame of all
   SPAWNED               0x82  u32 request, i32 pid (0: failed), i32 errno, u8 stage (STAGES)
   SIGNALLED             0x83  u32 request, i32 errno (ESRCH: not a live process of ours)
   DATA                  0x84  u32 request, i32 errno, bytes
   EXITED                0x85  i32 pid, i32 exit code (-1: killed), i32 signal (0: none)
   ====================  ====  =======================================================================================

   The launcher ends, and everything it started with it, when this connection ends.

2. Daemon and relay: JSON objects, one a line, at most MAX_LINE bytes. Request ``{"id", "method", "params"}`` (calls from
   the node also carry ``"capability"``), response ``{"id", "result"}`` or ``{"id", "error": {"code", "message"}}``, event
   ``{"event", "data"}``. The daemon dials and greets with ``{"hello": {"node_id", "token", "boot"}}`` (answered by
   ``{"welcome": {}}`` or ``{"refused": "why"}``); for a byte stream it dials again with
   ``{"stream", "node_id", "token"}`` and everything after that line is the stream.

3. Processes of the customer's container and daemon (node.sock): the requests of 2, at most MAX_CLIENT_LINE bytes a line.
   Whoever speaks there is hostile until the control plane has checked the capability.
"""

from __future__ import annotations

import json
import re
import struct

LAUNCHER_VERSION = 1

SPAWN, SIGNAL, READ = 0x01, 0x02, 0x03
HELLO, SPAWNED, SIGNALLED, DATA, EXITED = 0x81, 0x82, 0x83, 0x84, 0x85
REPLIES = frozenset((HELLO, SPAWNED, SIGNALLED, DATA, EXITED))

#: SPAWN flags: start from an empty environment, not from the image's; kill what is left of the group when its leader ends.
CLEAN_ENVIRONMENT, KILL_GROUP = 1, 2
#: Which step of a spawn failed, by the number in SPAWNED.
STAGES = ("", "fork", "file descriptors", "working directory", "exec", "request")

MAX_FRAME = 4 << 20
MAX_READ = 64 << 10
MAX_ARGUMENTS = 65535
MIN_FDS, MAX_FDS = 3, 8

MAX_LINE = 16 << 20
MAX_CLIENT_LINE = 1 << 20
MAX_HELLO_LINE = 8 << 10

#: How deep JSON may be nested: on the tunnel, and in what processes of the customer's container send.
MAX_DEPTH, MAX_CLIENT_DEPTH = 128, 64


class ProtocolError(Exception):
    """The other side sent what this protocol does not allow; the connection is of no more use."""


def _text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise ProtocolError("a NUL inside a string")
    return struct.pack("<I", len(raw) + 1) + raw + b"\0"


def _frame(kind: int, *parts: bytes) -> bytes:
    size = 1 + sum(map(len, parts))
    if size > MAX_FRAME:
        raise ProtocolError(f"a frame of {size} bytes; at most {MAX_FRAME}")
    return struct.pack("<IB", size, kind) + b"".join(parts)


def spawn_frame(request: int, argv: list[str], env: list[str], cwd: str, flags: int, fds: int) -> bytes:
    """SPAWN. `env` holds ``NAME=value``, or ``NAME`` alone to remove it."""
    if not argv or len(argv) > MAX_ARGUMENTS or len(env) > MAX_ARGUMENTS or not MIN_FDS <= fds <= MAX_FDS:
        raise ProtocolError("argv, env or descriptors out of range")
    head = struct.pack("<IBB", request, flags, fds)
    arguments = [struct.pack("<I", len(argv)), *map(_text, argv)]
    return _frame(SPAWN, head, _text(cwd), *arguments, struct.pack("<I", len(env)), *map(_text, env))


def signal_frame(request: int, pid: int, signal: int, group: bool) -> bytes:
    """SIGNAL to one process of ours, or to its whole group."""
    return _frame(SIGNAL, struct.pack("<IiIB", request, pid, signal, group))


def read_frame(request: int, path: str, limit: int = MAX_READ) -> bytes:
    """READ the head of a file of the customer's container."""
    return _frame(READ, struct.pack("<II", request, limit), _text(path))


_REPLY_FIELDS = {HELLO: "<II", SPAWNED: "<IiiB", SIGNALLED: "<Ii", EXITED: "<iii"}


def reply_fields(kind: int, payload: bytes) -> tuple:
    """The fields of one frame of the launcher, in the order of the table above.

    >>> reply_fields(EXITED, struct.pack("<iii", 7, 0, 0))
    (7, 0, 0)
    """
    if kind == DATA:
        if len(payload) < 8:
            raise ProtocolError(f"a DATA frame of {len(payload)} bytes")
        request, errno = struct.unpack_from("<Ii", payload)
        return request, errno, payload[8:]
    layout = _REPLY_FIELDS.get(kind)
    if layout is None:
        raise ProtocolError(f"unknown frame type {kind}")
    if len(payload) != struct.calcsize(layout):
        raise ProtocolError(f"a frame of type {kind} with {len(payload)} bytes")
    return struct.unpack(layout, payload)


class FrameBuffer:
    """Cuts a byte stream into binary frames, whatever the sizes in which it arrives."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that `data` completes, as (type, payload). ProtocolError for a length of 0 or over the limit."""
        self._bytes += data
        frames, start = [], 0
        while len(self._bytes) - start >= 4:
            (size,) = struct.unpack_from("<I", self._bytes, start)
            if not 1 <= size <= self._limit:
                raise ProtocolError(f"a frame of {size} bytes")
            if len(self._bytes) - start - 4 < size:
                break
            body = bytes(self._bytes[start + 4 : start + 4 + size])
            frames.append((body[0], body[1:]))
            start += 4 + size
        del self._bytes[:start]
        return frames


class LineBuffer:
    """Cuts a byte stream into lines without their newline; never holds more than `limit` bytes of an unfinished one."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def next(self) -> bytes | None:
        """The next whole line, None when there is none yet. ProtocolError when it is longer than the limit."""
        end = self._bytes.find(b"\n", self._searched)
        if (len(self._bytes) if end < 0 else end) > self._limit:
            raise ProtocolError(f"a line of more than {self._limit} bytes")
        if end < 0:
            self._searched = len(self._bytes)
            return None
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._searched = 0
        return line


def _bounded_int(text: str) -> int:
    # Python's int() takes quadratic time; no number of this protocol has more digits than an i64.
    if len(text) > 20:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:  # 1e999 would come out as Infinity, which the next reader refuses
        raise ValueError(f"{text[:40]} is too large")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]')


def _depth(text: str) -> int:
    """How deep valid JSON is nested; quick for the usual message, which has few brackets."""
    if text.count("[") + text.count("{") <= MAX_CLIENT_DEPTH:
        return 0
    depth = deepest = 0
    for found in _BRACKET.finditer(text):
        if found.group() in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found.group() in "]}":
            depth -= 1
    return deepest


def decode(line: bytes, depth: int = MAX_DEPTH) -> dict:
    """One JSON object; ProtocolError for anything else (not UTF-8, too deep, NaN, numbers of a thousand digits...).

    What passes here with a smaller `depth` passes at the next reader too, inside an envelope: a client cannot make the
    relay cut off its daemon.
    """
    try:
        text = line.decode("utf-8")
        value = json.loads(text, parse_int=_bounded_int, parse_float=_finite, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise ProtocolError("not a JSON object")
    if _depth(text) > depth:
        raise ProtocolError(f"nested deeper than {depth}")
    return value


def encode(message: dict) -> bytes:
    """One line with its newline, pure ASCII."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def request(id: int, method: str, params: dict, capability: str | None = None) -> dict:
    """A request; `capability` only for calls that come from processes of the node."""
    message: dict = {"id": id, "method": method, "params": params}
    if capability is not None:
        message["capability"] = capability
    return message


def failure(id: object, code: str, message: str) -> dict:
    """The response that says why a request was not served."""
    return {"id": id, "error": {"code": code, "message": message}}
