"""What comes before the body has a limit: nobody has shown who they are yet."""

import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from boathouse.server.http_protocol import HEAD_LIMIT, BoundedProtocol


async def hello(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})


@contextmanager
def serving():
    listener = socket.create_server(("127.0.0.1", 0))
    up = threading.Event()

    class Ready(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            up.set()

    server = Ready(uvicorn.Config(hello, lifespan="off", log_config=None, http=BoundedProtocol, ws="none"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    up.wait(30)
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(30)


def answer(address, *pieces: bytes) -> bytes:
    with socket.create_connection(address, timeout=20) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
        except OSError:
            pass  # the server had enough
        said = b""
        try:
            while more := client.recv(65536):
                said += more
        except OSError:
            pass
        return said


@pytest.mark.parametrize("head", [b"x-a: ", b"x-a: b\r\n" * 100 + b"x-b: "])
def test_a_header_without_an_end_is_refused(head):
    with serving() as address:
        said = answer(address, b"GET / HTTP/1.1\r\nhost: x\r\n" + head, *[b"y" * 16384] * 64)
        assert said == b"" or said.startswith(b"HTTP/1.1 431 "), said[:100]


def test_large_bodies_and_several_requests_are_served():
    with serving() as address:
        body = b"z" * (4 * HEAD_LIMIT)
        request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        last = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        said = answer(address, request, body, request + body, last)
        assert said.count(b"200 OK") == 3 and said.count(str(len(body)).encode()) == 2
