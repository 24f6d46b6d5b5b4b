"""IP access lists where no credential is needed: the log-in pages and the token endpoints hear from where a browser or a program
comes before they look at anything else."""

import importlib

import httpx
import pytest
from sqlalchemy import select

from boathouse.auth import credentials, ip_gate, passwords
from boathouse.auth.authenticator import Authenticator
from boathouse.auth.tables import ip_access_lists, ip_access_switches, login_failures, tokens
from boathouse.edge.app import Edge
from boathouse.edge.routing import Routes
from boathouse.edge.sources import Sources
from boathouse.identity import registry, workspaces
from tests.conftest import serving

HOME, ELSEWHERE = "203.0.113.7", "198.51.100.9"
PASSWORD = "a boat of cedar"
MODULES = (
    "boathouse.identity.me", "boathouse.auth.discovery", "boathouse.auth.oauth", "boathouse.auth.login",
    "boathouse.auth.authorize", "boathouse.auth.client_secrets",
)  # fmt: skip
ASKED = {"response_type": "code", "client_id": "databricks-cli", "redirect_uri": "http://localhost:8020", "state": "s"}


@pytest.fixture
def host(store, keys, ready, services):
    routes = Routes([importlib.import_module(name) for name in MODULES])
    edge = Edge(routes, store, Authenticator(store, keys), services, threads=4, sources=Sources(["127.0.0.1"]))
    with serving(edge) as url:
        yield url
    edge.close()


@pytest.fixture
def at(host):
    """`at(address)`: a browser that comes from there."""
    made = []

    def browser(address, **more):
        made.append(httpx.Client(base_url=host, headers={"X-Forwarded-For": address, **more}))
        return made[-1]

    yield browser
    for each in made:
        each.close()


def guard(store, ready, workspace_id):
    """Let in whoever comes from HOME only: into a workspace, or into the account (0)."""
    with store.transaction() as tx:
        tx.execute(
            ip_access_lists.insert().values(
                list_id=f"l{workspace_id}", account_id=ready.home.account_id, workspace_id=workspace_id, label="office",
                list_type=ip_gate.ALLOW, addresses=[HOME], enabled=True, created_at=0, created_by=1, updated_at=0, updated_by=1,
            )
        )  # fmt: skip
        if workspace_id:
            workspaces.set_conf(tx, workspace_id, ip_gate.SWITCH, "true")
        else:
            tx.execute(ip_access_switches.insert().values(account_id=ready.home.account_id, enabled=True, version=1))


def calls(account_id):
    """What the workspace's lists guard, and what the account's do."""
    of_workspace = [
        ("GET", "/login", {}), ("POST", "/login", {"user": "ann@x.org", "password": PASSWORD}), ("POST", "/logout", {}),
        ("POST", "/login/oidc", {}), ("GET", "/login/oidc/callback?state=x&code=y", {}), ("GET", "/login/link/x", {}),
        ("POST", "/login/link/x", {"password": PASSWORD, "again": PASSWORD}), ("GET", "/oidc/v1/authorize", {}),
        ("POST", "/oidc/v1/authorize", {}), ("POST", "/oidc/v1/token", {"grant_type": "client_credentials"}),
        ("POST", "/oidc/v1/revoke", {"token": "x"}),
    ]  # fmt: skip
    own = f"/oidc/accounts/{account_id}/v1"
    of_account = [
        ("GET", f"{own}/authorize", {}), ("POST", f"{own}/authorize", {}), ("POST", f"{own}/revoke", {"token": "x"}),
        ("POST", f"{own}/token", {"grant_type": "client_credentials"}),
    ]  # fmt: skip
    return of_workspace, of_account


def ask(browser, method, path, form):
    query = ASKED if path.endswith("/authorize") else None
    return browser.request(method, path, data=form or None, params=query)


def test_every_way_in_is_shut_from_elsewhere(at, store, ready):
    of_workspace, of_account = calls(ready.home.account_id)
    before = {each[:2]: ask(at(ELSEWHERE), *each).status_code for each in of_workspace + of_account}
    guard(store, ready, ready.home.workspace_id)
    for each in of_workspace:
        said = ask(at(ELSEWHERE), *each)
        assert said.status_code == 403 and f"Source IP address: {ELSEWHERE} is blocked by Databricks IP ACL" in said.text, each
        assert str(ready.home.workspace_id) in said.text
        assert ask(at(HOME), *each).status_code == before[each[:2]], each
    for each in of_account:
        assert ask(at(ELSEWHERE), *each).status_code == before[each[:2]], each
    guard(store, ready, ip_gate.ACCOUNT)
    for each in of_account:
        said = ask(at(ELSEWHERE), *each)
        assert said.status_code == 403 and f"account: {ready.home.account_id}" in said.text, each
        assert ask(at(HOME), *each).status_code == before[each[:2]], each


def test_how_it_is_said(at, store, ready):
    guard(store, ready, ready.home.workspace_id)
    page = at(ELSEWHERE).get("/login")
    assert page.headers["content-type"].startswith("text/html") and "content-security-policy" in page.headers
    token = at(ELSEWHERE).post("/oidc/v1/token", data={"grant_type": "client_credentials"})
    assert set(token.json()) == {"error", "error_description"}
    config = at(ELSEWHERE).get("/.well-known/databricks-config")  # clients ask it first, and then hear from the API why not
    assert config.status_code == 200


def test_no_password_is_tried_and_no_secret_gives_a_token_from_elsewhere(at, store, keys, ready, make_user):
    ann, _ = make_user("ann@x.org")
    robot, _ = make_user("0a0b0c0d-0000-0000-0000-000000000001", kind="service_principal")
    with store.transaction() as tx:
        passwords.store_hash(tx, keys, ann.principal_id, passwords.hash_of(PASSWORD))
    path = f"/api/2.0/accounts/servicePrincipals/{robot.principal_id}/credentials/secrets"
    secret = at(HOME, Authorization=f"Bearer {ready.token}").post(path, json={}).json()["secret"]
    form = {"grant_type": "client_credentials", "client_id": robot.name, "client_secret": secret}
    guard(store, ready, ready.home.workspace_id)
    for _ in range(passwords.OF_PAIR + 1):  # what is not let in is not counted: nobody is locked out from outside
        assert at(ELSEWHERE).post("/login", data={"user": "ann@x.org", "password": "wrong"}).status_code == 403
    assert at(ELSEWHERE).post("/oidc/v1/token", data=form).status_code == 403
    with store.read() as reader:
        assert reader.execute(select(tokens).where(tokens.c.kind == credentials.OAUTH)).all() == []
        assert reader.execute(select(login_failures)).all() == []
    assert at(HOME).post("/oidc/v1/token", data=form).status_code == 200


def test_another_workspaces_host_is_guarded_by_its_own_lists(at, store, ready):
    guard(store, ready, ready.home.workspace_id)
    with store.transaction() as tx:
        workspace_id = registry.new_id()
        registry.create_workspace(tx, ready.home.account_id, "two", "two", "aws", workspace_id, {})
    other = at(ELSEWHERE, Host="two.localhost:8470")
    assert other.get("/login").status_code == 200
    guard(store, ready, workspace_id)
    assert other.get("/login").status_code == 403
    assert at(ELSEWHERE, Host="three.localhost").get("/.well-known/databricks-config").status_code == 404


def test_an_address_that_anybody_can_write_is_not_believed(at, store, ready):
    guard(store, ready, ready.home.workspace_id)
    assert at(f"{HOME}, {ELSEWHERE}").get("/login").status_code == 403
