"""Frames and lines: whatever arrives, in whatever pieces, is cut right or refused; nothing else comes out."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.node import protocol as p

frames = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=60)), max_size=6)
cuts = st.lists(st.integers(0, 400), max_size=8)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


@given(frames, cuts)
def test_frames_survive_any_cutting(sent, at):
    data = b"".join(struct.pack("<IB", 1 + len(body), kind) + body for kind, body in sent)
    buffer = p.FrameBuffer()
    assert [frame for piece in pieces(data, at) for frame in buffer.feed(piece)] == sent


@given(st.binary(max_size=200))
def test_garbage_frames_are_refused_or_wait(data):
    try:
        for kind, payload in p.FrameBuffer(limit=64).feed(data):
            p.reply_fields(kind, payload)
    except p.ProtocolError:
        pass


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=6), cuts)
def test_lines_survive_any_cutting(sent, at):
    buffer, got = p.LineBuffer(30), []
    for piece in pieces(b"".join(line + b"\n" for line in sent), at):
        buffer.feed(piece)
        while (line := buffer.next()) is not None:
            got.append(line)
    assert got == sent
    assert len(buffer) == 0


@pytest.mark.parametrize("data", [b"x" * 31, b"x" * 31 + b"\n"])
def test_a_line_over_the_limit_is_refused_whether_finished_or_not(data):
    buffer = p.LineBuffer(30)
    buffer.feed(data)
    with pytest.raises(p.ProtocolError, match="more than 30 bytes"):
        buffer.next()


@given(st.binary(max_size=200))
def test_decode_gives_an_object_or_refuses(data):
    try:
        assert isinstance(p.decode(data), dict)
    except p.ProtocolError:
        pass


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"1",
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"[" * p.MAX_DEPTH + b"]" * p.MAX_DEPTH + b"}",
        b'{"a": ' + b"9" * 1_000_000 + b"}",
        b'{"a": 1}{"b": 2}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"",
    ],
)
def test_hostile_lines_are_refused(line):
    with pytest.raises(p.ProtocolError):
        p.decode(line)


@given(st.text(alphabet='[]{}"\\x', max_size=60), st.integers(1, 80))
def test_brackets_inside_strings_are_not_depth(text, depth):
    line = json.dumps({"a": [text] * 70}).encode()
    assert p.decode(line, 2)["a"][0] == text
    nested = b'{"a":' * depth + json.dumps(text).encode() + b"}" * depth
    try:
        p.decode(nested, 64)
        assert depth <= 64
    except p.ProtocolError:
        assert depth > 64


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_what_is_encoded_is_one_line_and_comes_back(message):
    line = p.encode(message)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert p.decode(line[:-1]) == message


@pytest.mark.parametrize(
    ("argv", "env", "cwd", "fds"),
    [
        ([], [], "/", 3),
        (["a"], [], "/", 2),
        (["a"], [], "/", 9),
        (["a\0b"], [], "/", 3),
        (["a"], ["X=\0"], "/", 3),
        (["a"], [], "\0", 3),
    ],
)
def test_a_spawn_that_cannot_be_is_not_sent(argv, env, cwd, fds):
    with pytest.raises(p.ProtocolError):
        p.spawn_frame(1, argv, env, cwd, 0, fds)


def test_a_frame_over_the_limit_is_not_sent():
    with pytest.raises(p.ProtocolError, match="at most"):
        p.spawn_frame(1, ["x" * p.MAX_FRAME], [], "/", 0, 3)


@pytest.mark.parametrize(
    ("kind", "payload"), [(p.EXITED, b""), (p.EXITED, b"x" * 13), (p.DATA, b"x" * 7), (0x99, b""), (p.SPAWNED, b"x" * 12)]
)
def test_replies_of_the_wrong_size_are_refused(kind, payload):
    with pytest.raises(p.ProtocolError):
        p.reply_fields(kind, payload)


def test_a_request_has_a_capability_only_when_given():
    assert p.request(1, "m", {}) == {"id": 1, "method": "m", "params": {}}
    assert json.loads(p.encode(p.request(1, "m", {}, "c")))["capability"] == "c"
