"""Byte streams into a node: to its loopback ports, and to the channels of its processes."""

import hashlib
import socket
import threading

import pytest

from boathouse.relay import NodeError

PATIENCE_S = 20.0

ECHO = ["sh", "-c", "exec cat <&3 >&3"]


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def target(listener) -> str:
    return f"tcp:127.0.0.1:{listener.getsockname()[1]}"


def opened(node, where: str) -> socket.socket:
    sock = node.relay.open(node.id, where, timeout=PATIENCE_S)
    sock.settimeout(PATIENCE_S)
    return sock


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def test_bytes_and_ends_pass_in_both_directions(node, listener):
    with opened(node, target(listener)) as near:
        far, _ = listener.accept()
        with far:
            near.sendall(b"request")
            near.shutdown(socket.SHUT_WR)
            assert read_all(far) == b"request"
            far.sendall(b"answer after your end")
        assert read_all(near) == b"answer after your end"


def test_much_data_both_ways_at_once_arrives_whole(node, listener):
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256(block * 32).hexdigest()

    def send(sock):
        for _ in range(32):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)

    with opened(node, target(listener)) as near:
        far, _ = listener.accept()
        with far:
            senders = [threading.Thread(target=send, args=[sock]) for sock in (near, far)]
            seen: list[str] = []
            reader = threading.Thread(target=lambda: seen.append(hashlib.sha256(read_all(far)).hexdigest()))
            for thread in (*senders, reader):
                thread.start()
            seen.append(hashlib.sha256(read_all(near)).hexdigest())
            for thread in (*senders, reader):
                thread.join(PATIENCE_S)
    assert seen == [digest, digest]


@pytest.mark.parametrize("who", ["near", "far"])
def test_the_end_of_one_side_ends_the_other(node, listener, who):
    near = opened(node, target(listener))
    far, _ = listener.accept()
    with near, far:
        (near if who == "near" else far).close()
        assert (far if who == "near" else near).recv(1) == b""


def test_a_slow_reader_holds_up_only_its_own_stream(node, listener):
    with opened(node, target(listener)) as stuck:
        far, _ = listener.accept()
        with far:
            stuck.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    stuck.sendall(bytes(1 << 20))
            with opened(node, target(listener)) as other:
                other_far, _ = listener.accept()
                with other_far:
                    other.sendall(b"through")
                    assert other_far.recv(10) == b"through"


def test_a_port_where_nobody_listens_is_refused(node, listener):
    where = target(listener)
    listener.close()
    with pytest.raises(NodeError, match="connect_failed.*Connection refused"):
        opened(node, where)


@pytest.mark.parametrize(
    "where",
    [
        "tcp:0.0.0.0:80",
        "tcp:localhost:80",
        "tcp:127.0.0.1:0",
        "tcp:127.0.0.1:99999",
        "tcp:127.0.0.1:x",
        "unix:/x",
        "",
        "channel:none",
    ],
)
def test_only_loopback_ports_and_channels_are_targets(node, where):
    with pytest.raises(NodeError):
        opened(node, where)


def test_a_channel_answers_its_attached_stream(node):
    node.call("start", name="echo", argv=ECHO, channel=True)
    with opened(node, "channel:echo") as stream:
        stream.sendall(b"one\n")
        assert stream.recv(100) == b"one\n"


def test_what_a_process_says_while_nobody_listens_waits(node):
    node.call("start", name="talk", argv=["sh", "-c", 'echo early >&3; read line <&3; echo "heard $line" >&3'], channel=True)
    with opened(node, "channel:talk") as stream:
        assert stream.recv(100) == b"early\n"
    with opened(node, "channel:talk") as stream:
        stream.sendall(b"you\n")
        assert read_all(stream) == b"heard you\n"
    node.event("exit")
    with opened(node, "channel:talk") as stream:
        assert read_all(stream) == b""


def test_a_newer_stream_takes_the_place_of_an_older(node):
    node.call("start", name="echo", argv=ECHO, channel=True)
    with opened(node, "channel:echo") as older, opened(node, "channel:echo") as newer:
        assert read_all(older) == b""
        newer.sendall(b"mine\n")
        assert newer.recv(100) == b"mine\n"


def test_half_a_line_of_a_stream_that_fell_is_closed_for_the_process(node):
    script = 'while read line <&3; do echo "got $line" >&3; done'
    node.call("start", name="lines", argv=["bash", "-c", script], channel=True)
    with opened(node, "channel:lines") as first:
        first.sendall(b"whole\nhal")
        assert first.recv(100) == b"got whole\n"
    with opened(node, "channel:lines") as second:
        assert second.recv(100) == b"got hal\n"
        second.sendall(b"next\n")
        assert second.recv(100) == b"got next\n"


def test_half_a_line_that_was_read_is_left_out_for_the_next_reader(node):
    script = "printf 'first\\nsec' >&3; read x <&3; printf 'ond\\nthird\\n' >&3"
    node.call("start", name="halves", argv=["sh", "-c", script], channel=True)
    with opened(node, "channel:halves") as first:
        got = b""
        while len(got) < 9:
            got += first.recv(100)
        assert got == b"first\nsec"
    with opened(node, "channel:halves") as second:
        second.sendall(b"go\n")
        assert read_all(second) == b"third\n"


def test_a_process_that_never_reads_or_never_stops_talking_blocks_only_itself(node):
    node.call("start", name="deaf", argv=["sleep", "1000"], channel=True)
    node.call("start", name="loud", argv=["sh", "-c", "exec yes >&3"], channel=True)
    with opened(node, "channel:deaf") as deaf, opened(node, "channel:loud") as loud:
        deaf.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                deaf.sendall(bytes(1 << 20))
        assert loud.recv(4).startswith(b"y")
        assert node.call("status")["launcher"] == "up"
    node.relay.stop()
    node.relay = node.new_relay()
    node.event("connected")
    assert node.call("signal", name="loud", signal="TERM") == {"delivered": True}
