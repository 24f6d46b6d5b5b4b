"""Bodies that are not read whole, on a real socket: piece by piece, bounded, refused early, broken off."""

import asyncio
import http.client
import json
import socket

import pytest


@pytest.fixture
def address(served, toys):
    return served(toys).removeprefix("http://")


@pytest.fixture
def ask(address, ready):
    def call(method, path, body=None, headers=None, token=True):
        connection = http.client.HTTPConnection(address, timeout=20)
        sent = {"Authorization": f"Bearer {ready.token}"} if token else {}
        connection.request(method, path, body, sent | (headers or {}))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    return call


def test_a_body_comes_in_pieces_of_a_mebibyte_or_more(ask):
    answer, content = ask("POST", "/toys/stream", b"x" * (3 << 20))
    assert answer.status == 200
    told = json.loads(content)
    assert told["announced"] == 3 << 20
    assert sum(told["pieces"]) == 3 << 20
    assert all(size >= 1 << 20 for size in told["pieces"][:-1])
    chunked, content = ask("POST", "/toys/stream", iter([b"a" * 10, b"b" * 5]))
    assert json.loads(content) == {"announced": None, "pieces": [15]}
    assert json.loads(ask("POST", "/toys/stream", b"")[1]) == {"announced": 0, "pieces": []}


def test_limits_hold_announced_or_not(ask):
    answer, content = ask("POST", "/toys/stream", b"x" * ((5 << 20) + 1))
    assert (answer.status, b"MAX_REQUEST_SIZE_EXCEEDED" in content) == (413, True)
    pieces = (b"x" * (1 << 20) for _ in range(7))
    answer, content = ask("POST", "/toys/stream", pieces)
    assert (answer.status, b"MAX_REQUEST_SIZE_EXCEEDED" in content) == (413, True)


def test_who_may_not_is_told_so_and_sees_the_answer(ask):
    answer, _ = ask("POST", "/toys/stream", b"x" * (4 << 20), token=False)
    assert answer.status == 401
    answer, content = ask("POST", "/toys/stream/deny", b"x" * (4 << 20))
    assert (answer.status, b"PERMISSION_DENIED" in content) == (403, True)


def test_a_sender_that_goes_away_takes_its_request_with_it(address, ready, ask):
    with socket.create_connection(address.split(":")) as sock:
        head = f"POST /toys/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ready.token}\r\nContent-Length: 100\r\n\r\nhalf"
        sock.sendall(head.encode())
    assert ask("POST", "/toys/stream", b"x")[0].status == 200


def test_a_silent_sender_is_given_up(address, ready, monkeypatch):
    monkeypatch.setattr("boathouse.edge.streams.PATIENCE", 0.05)
    with socket.create_connection(address.split(":")) as sock:
        head = f"POST /toys/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ready.token}\r\nContent-Length: 100\r\n\r\nhalf"
        sock.sendall(head.encode())
        assert b"408" in sock.recv(1000)


def test_an_answer_in_pieces(ask, address, ready):
    answer, content = ask("GET", "/toys/pieces/5")
    assert (answer.status, len(content), answer.headers["X-Count"]) == (200, 5000, "5")
    assert answer.headers["Content-Length"] == "5000"
    answer, content = ask("HEAD", "/toys/pieces/7")
    assert (answer.headers["Content-Length"], content) == ("7000", b"")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask("GET", "/toys/broken-pieces/3")


def form(*parts, boundary="b"):
    out = b""
    for name, content in parts:
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def test_a_form_with_a_large_file(ask):
    answer, content = ask("POST", "/toys/stream/form", form(("a", "wört".encode()), ("file", b"x" * (3 << 20)), ("b", b"")), FORM)
    assert (answer.status, content.decode()) == (200, '{"a":"wört","file":3145728,"b":""}')


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"nope", FORM, "not readable"),
        (form(("a", b"1"))[:-8], FORM, "ends before its last boundary"),
        (form(("a", b"1"), ("a", b"2")), FORM, "'a' comes twice"),
        (form(("a", b"\xff")), FORM, "not text in UTF-8"),
        (form(("a", b"1" * 70000)), FORM, "more than 65536 bytes"),
        (form(*[(f"a{n}", b"") for n in range(101)]), FORM, "more than 100 fields"),
        (b"--b\r\nX: y\r\n\r\n1\r\n--b--\r\n", FORM, "has no name"),
        (b"--b\r\nX: " + b"y" * 70000 + b"\r\n\r\n1\r\n--b--\r\n", FORM, "Maximum header size"),
        (form(("a", b"1")), {"Content-Type": "multipart/form-data"}, "with a boundary"),
        (form(("a", b"1")), {"Content-Type": "text/plain; boundary=b"}, "not multipart/form-data"),
    ],
)
def test_forms_that_are_none(ask, body, headers, says):
    answer, content = ask("POST", "/toys/stream/form", body, headers)
    assert answer.status == 400, content
    assert says in content.decode()


def test_a_sender_that_drips_is_given_up(address, ready, monkeypatch):
    monkeypatch.setattr("boathouse.edge.streams.SLOWEST", 0.05)
    with socket.create_connection(address.split(":")) as sock:
        head = f"POST /toys/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ready.token}\r\nContent-Length: 100\r\n\r\nhalf"
        sock.sendall(head.encode())
        answer = b""
        while b"}" not in answer:
            answer += sock.recv(1000)
        assert b"408" in answer and b"took more than" in answer


class Call:
    """A POST to an Edge in this loop, whose body comes when the test says so."""

    def __init__(self, path: str, token: str, length: int) -> None:
        headers = [(b"host", b"x"), (b"authorization", f"Bearer {token}".encode()), (b"content-length", b"%d" % length)]
        self.scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.status = 0

    async def receive(self):
        self.asked.set()
        await self.go_on.wait()
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(self, message):
        self.status = message.get("status", self.status)


def test_nobody_takes_the_threads_of_all(edge_app, toys, ready, make_user, monkeypatch):
    monkeypatch.setattr("boathouse.edge.app.STREAMS_OF_ONE", 1)
    edge = edge_app(toys)
    _, other = make_user("ann@x.org")

    async def run():
        first, second, others, again = (
            Call("/toys/stream", token, 1) for token in (ready.token, ready.token, other, ready.token)
        )  # fmt: skip
        under_way = asyncio.create_task(edge(first.scope, first.receive, first.send))
        await first.asked.wait()
        for call in (second, others, again):
            if call is again:
                first.go_on.set()
                await under_way
            call.go_on.set()
            await edge(call.scope, call.receive, call.send)
        return [call.status for call in (first, second, others, again)]

    assert asyncio.run(run()) == [200, 429, 200, 200]


def test_a_stranger_is_asked_who_it_is_before_much_is_read(edge_app):
    edge = edge_app("boathouse.workspace.files.dbfs")
    call = Call("/api/2.0/dbfs/add-block", "nobody", 2 << 20)
    known, read_before = edge.authenticate, []

    def authenticate(*arguments):
        read_before.append(call.asked.is_set())
        return known(*arguments)

    edge.authenticate = authenticate
    call.go_on.set()
    asyncio.run(asyncio.wait_for(edge(call.scope, call.receive, call.send), 20))
    assert (read_before, call.status) == ([False], 403)
