"""The Spark UI: entered by a ticket that is used once, served on an origin of its own, with nothing of ours passed through."""

import http.client
import json
import socket
import threading

import pytest

from boathouse.commands import passes
from boathouse.commands.spark_ui import SparkUiFront
from boathouse.edge.app import Edge
from boathouse.identity import principals, registry
from tests.conftest import serving

CLUSTER = "1123-153000-abcdefgh"


class Page:
    """A web server in the driver, as raw bytes: `head` and `body` of every answer; keeps what it was asked."""

    def __init__(self):
        self.asked: list[bytes] = []
        self.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: theirs=1\r\nAccess-Control-Allow-Origin: *\r\n"
            b"X-Theirs: yes\r\n\r\n<h1>Jobs</h1>"
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(65536)
                head, _, rest = asked.partition(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        while len(rest) < int(line.split(b":")[1]):
                            rest += connection.recv(65536)
                self.asked.append(head + b"\r\n\r\n" + rest)
                connection.sendall(self.answer)


@pytest.fixture
def page(node):
    made = Page()
    node.ports[40001] = made.listener.getsockname()[1]
    yield made
    made.listener.close()


class Browser:
    """Asks one origin, with the cookies that it was given."""

    def __init__(self, port, host=f"{CLUSTER}.apps.localhost"):
        self.port, self.host, self.cookies = port, f"{host}:{port}", {}

    def ask(self, path, method="GET", headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {"Host": self.host, **(headers or {})}
        if self.cookies:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        answer.text = answer.read().decode()  # type: ignore[attr-defined]
        connection.close()
        if cookie := answer.getheader("set-cookie"):
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        return answer


@pytest.fixture
def edge(edge_app, ground) -> Edge:
    edge = edge_app("boathouse.commands.spark_ui")
    edge.front = front = SparkUiFront(ground, threads=2)
    yield edge
    front.close()


@pytest.fixture
def port(edge):
    with serving(edge) as url:
        yield int(url.rpartition(":")[2])


@pytest.fixture
def ticket(port, cluster, ready):
    """`ticket()` -> path of a fresh ticket URL, as this user."""

    def get(token=ready.token):
        answer = Browser(port, "127.0.0.1").ask(
            f"/api/2.0/boathouse/clusters/{cluster}/spark-ui", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status == 200, answer.text

        url = json.loads(answer.text)["url"]
        assert url.startswith(f"http://{cluster}.apps.localhost:{port}/?ticket=")
        return url.partition(f":{port}")[2]

    return get


@pytest.fixture
def inside(port, ticket, page):
    """A browser that has come in."""
    browser = Browser(port)
    answer = browser.ask(ticket())
    assert (answer.status, answer.getheader("location")) == (302, "/")
    return browser


def test_a_ticket_opens_the_page_once(port, ticket, page):
    path, browser = ticket(), Browser(port)
    entered = browser.ask(path + "&q=1")
    assert entered.getheader("location") == "/?q=1"
    cookie = entered.getheader("set-cookie")
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Domain" not in cookie
    assert browser.ask("/jobs/?status=running").text == "<h1>Jobs</h1>"
    assert page.asked[0].startswith(b"GET /jobs/?status=running HTTP/1.0\r\n")
    again = Browser(port).ask(path)
    assert again.status == 401
    assert "used already" in again.text
    assert not again.getheader("set-cookie")


def test_nothing_of_ours_goes_in_and_no_cookie_comes_out(inside, page):
    answer = inside.ask("/", headers={"Authorization": "Bearer dapi-secret", "X-Forwarded-For": "1.2.3.4"})
    assert answer.getheader("x-theirs") == "yes"
    assert answer.getheader("set-cookie") is None
    assert answer.getheader("access-control-allow-origin") is None
    asked = page.asked[-1].lower()
    assert not [word for word in (b"cookie", b"authorization", b"dapi", b"1.2.3.4") if word in asked]
    assert f"host: {inside.host}".encode() in asked


def test_the_redirect_stays_here_and_is_one_header(port, ticket):
    query = ticket().partition("?")[2]
    moved = Browser(port).ask(f"//evil.example/%0d%0aset-cookie:x=1?{query}").getheader("location")
    assert moved == "/evil.example/%0D%0Aset-cookie:x=1"


def test_without_a_ticket_the_page_says_how(port, page):
    answer = Browser(port).ask("/jobs/")
    assert answer.status == 401
    assert f"GET /api/2.0/boathouse/clusters/{CLUSTER}/spark-ui" in answer.text
    assert page.asked == []


def test_a_ticket_of_another_cluster_or_too_old_is_refused(port, ticket, clock, page):
    assert Browser(port, "1123-153000-zzzzzzzz.apps.localhost").ask(ticket()).status == 401
    old = ticket()
    clock.advance(passes.TICKET_MS + 1)
    assert Browser(port).ask(old).status == 401


def test_the_cookie_ends_with_time_launch_and_right(inside, clock, change_cluster, make_user, ready):
    assert inside.ask("/").status == 200
    change_cluster(launch=2)
    assert "started anew" in inside.ask("/").text
    change_cluster(launch=1)
    change_cluster(spec={"spark_version": "x", "data_security_mode": "SINGLE_USER", "single_user_name": "other@x.org"})
    assert inside.ask("/").status == 403
    change_cluster(spec={"spark_version": "x", "data_security_mode": "NONE"})
    assert inside.ask("/").status == 200
    clock.advance(passes.COOKIE_MS + 1)
    assert inside.ask("/").status == 401


def test_who_is_no_admin_or_no_member_any_more_is_out_at_once(port, ticket, page, make_user, store, ready):
    other, token = make_user("other@x.org", groups=["admins"])
    browser = Browser(port)
    browser.ask(ticket(token))
    assert browser.ask("/").status == 200
    with store.transaction() as tx:
        admins = principals.by_name(tx, ready.home.account_id, principals.ADMINS, [principals.GROUP], ready.home.workspace_id)
        registry.remove_member(tx, admins.principal_id, other.principal_id)
    assert browser.ask("/").status == 403
    with store.transaction() as tx:
        registry.add_member(tx, admins.principal_id, other.principal_id)
        registry.set_active(tx, other.principal_id, False)
    assert browser.ask("/").status == 401


def test_the_cookie_ends_with_the_token_and_with_a_deactivation(port, ticket, page, make_user, store, keys, ready):
    from boathouse.auth import credentials
    from boathouse.identity.tables import deactivations

    other, token = make_user("other@x.org", groups=["admins"])
    first, second = Browser(port), Browser(port)
    first.ask(ticket(token))
    with store.read() as reader:
        (made,) = credentials.owned(reader, other.principal_id, ready.home.workspace_id, store.clock())
    with store.transaction() as tx:
        again, _ = credentials.issue(tx, keys, credentials.PAT, other.principal_id, workspace_id=ready.home.workspace_id)
    second.ask(ticket(again))
    assert (first.ask("/").status, second.ask("/").status) == (200, 200)
    with store.transaction() as tx:
        credentials.end(tx, made.token_id)
    assert (first.ask("/").status, second.ask("/").status) == (401, 200)
    with store.transaction() as tx:
        tx.execute(deactivations.insert().values(principal_id=other.principal_id, workspace_id=ready.home.workspace_id))
    assert second.ask("/").status == 401


def test_pages_are_guarded_by_the_workspaces_addresses(port, ticket, inside, page, store, ready):
    from boathouse.auth import ip_gate
    from boathouse.auth.tables import ip_access_lists
    from boathouse.identity import workspaces

    path, asked = ticket(), len(page.asked)
    values = {"label": "office", "list_type": ip_gate.BLOCK, "addresses": ["127.0.0.0/8"], "enabled": True, "list_id": "l"}
    by = {"created_at": 0, "created_by": 1, "updated_at": 0, "updated_by": 1, "workspace_id": ready.home.workspace_id}
    with store.transaction() as tx:
        tx.execute(ip_access_lists.insert().values(account_id=ready.home.account_id, **values, **by))
        workspaces.set_conf(tx, ready.home.workspace_id, ip_gate.SWITCH, "true")
    shut = inside.ask("/")
    assert shut.status == 403 and "Source IP address: 127.0.0.1 is blocked" in shut.text
    assert Browser(port).ask(path).status == 403
    assert len(page.asked) == asked
    with store.transaction() as tx:
        workspaces.set_conf(tx, ready.home.workspace_id, ip_gate.SWITCH, "false")
    assert Browser(port).ask(path).status == 302  # the ticket was not used up


def test_kill_links_need_the_page_itself_and_post(inside, page):
    assert inside.ask("/stages/stage/kill/?id=1").status == 405
    assert inside.ask("/stages/stage/kil%6c;x=1/?id=1").status == 405
    assert inside.ask("/stages/stage/kill/?id=1", "POST").status == 403
    assert inside.ask("/stages/stage/kill/", "POST", {"Origin": "http://other.apps.localhost:1"}).status == 403
    before = len(page.asked)
    origin = {"Origin": f"http://{inside.host}", "Content-Type": "application/x-www-form-urlencoded"}
    assert inside.ask("/stages/stage/kill/", "POST", origin, b"id=1").status == 200
    assert page.asked[before].endswith(b"\r\n\r\nid=1")


def test_only_who_may_attach_gets_a_ticket(port, cluster, make_user, change_cluster):
    api = Browser(port, "127.0.0.1")
    path = f"/api/2.0/boathouse/clusters/{cluster}/spark-ui"
    assert api.ask(path).status == 401
    stranger = {"Authorization": f"Bearer {make_user('stranger@x.org')[1]}"}
    assert api.ask(path, headers=stranger).status == 403


def test_a_cluster_without_a_page(port, ticket, inside, node, change_cluster, facts, page):
    page.answer = b"SSH-2.0-OpenSSH_9\r\n\r\n"
    assert inside.ask("/").status == 502
    node.ports.clear()
    assert inside.ask("/").status == 503
    node.up = False
    assert inside.ask("/").status == 503
    change_cluster(facts={**facts, "spark": {}})
    assert "no Spark UI" in inside.ask("/").text


def test_a_large_page_streams_and_the_rest_of_the_edge_is_untouched(inside, page, port):
    body = b"x" * 3_000_000
    page.answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3000000\r\n\r\n" + body
    assert len(inside.ask("/logs").text) == len(body)
    assert Browser(port, "127.0.0.1").ask("/jobs/").status == 404
