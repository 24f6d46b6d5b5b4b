"""Tokens of an Azure tenant, by the SDK's `azure-client-secret` against a tenant that runs beside it."""

import http.server
import json
import threading
import time
from dataclasses import replace
from urllib.parse import parse_qs

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.environments import ENVIRONMENTS, Cloud, DatabricksEnvironment
from databricks.sdk.errors import PermissionDenied
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from boathouse.auth.authenticator import Authenticator
from boathouse.auth.azure import DATABRICKS, AzureTenant
from boathouse.auth.issuers import Issuers
from boathouse.edge.app import Edge
from boathouse.edge.routing import Routes
from boathouse.identity import registry
from boathouse.outbound.documents import Documents
from tests.conftest import serving

TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
ROBOT = "0a0b0c0d-0000-0000-0000-000000000001"


class Tenant:
    """Microsoft's log-in as the SDK sees it: a token endpoint, metadata, keys."""

    def __init__(self):
        self.key = RSAKey.generate_key(2048, parameters={"kid": "k"})
        self.given = []
        tenant = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                document = {"issuer": tenant.issuer, "jwks_uri": f"{tenant.url}/keys"}
                self.reply(document if "well-known" in self.path else KeySet([tenant.key]).as_dict(private=False))

            def do_POST(self):
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                assert self.path == f"/{TENANT}/oauth2/token" and form["client_secret"] == ["s"]
                tenant.given.append(form["resource"][0])
                token = tenant.sign(aud=form["resource"][0], appid=form["client_id"][0])
                self.reply({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

            def reply(self, document):
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.issuer = f"{self.url}/{TENANT}/"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def sign(self, key=None, **claims):
        now = int(time.time())
        document = {"iss": self.issuer, "aud": DATABRICKS, "tid": TENANT, "iat": now, "exp": now + 3600} | claims
        return jwt.encode({"alg": "RS256", "kid": "k"}, document, key or self.key)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def tenant():
    made = Tenant()
    yield made
    made.close()


@pytest.fixture
def host(store, keys, ready, services, tenant, clock, no_environment):
    import importlib

    clock.now = int(time.time() * 1000)
    modules = ("boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.discovery", "boathouse.auth.azure")
    azure = AzureTenant(Issuers(Documents([tenant.url.removeprefix("http://")])), TENANT, tenant.url, tenant.issuer)
    services.add(azure)
    routes = Routes([importlib.import_module(name) for name in modules])
    edge = Edge(routes, store, Authenticator(store, keys, azure=azure), services, threads=4)
    with serving(edge) as url:
        yield url
    edge.close()


@pytest.fixture
def no_environment(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "ARM_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def me(host, token):
    return WorkspaceClient(host=host, token=token).current_user.me()


def test_azure_client_secret_of_the_sdk(host, tenant, make_user):
    make_user(ROBOT, kind="service_principal")
    azure = replace(ENVIRONMENTS["PUBLIC"], active_directory_endpoint=f"{tenant.url}/")
    config = Config(
        host=host, azure_client_id=ROBOT, azure_client_secret="s", auth_type="azure-client-secret",
        azure_workspace_resource_id="/subscriptions/1/resourceGroups/g/providers/Microsoft.Databricks/workspaces/w",
        databricks_environment=DatabricksEnvironment(
            Cloud.AZURE, ".localhost", azure_application_id=DATABRICKS, azure_environment=azure
        ),
    )  # fmt: skip
    w = WorkspaceClient(config=config)
    assert w.config.azure_tenant_id == TENANT  # read from /aad/auth
    assert w.current_user.me().user_name == ROBOT
    assert DATABRICKS in tenant.given and len(tenant.given) == 2


def test_where_the_tenant_is(host, tenant, served):
    answer = httpx.get(f"{host}/aad/auth", follow_redirects=False)
    assert answer.status_code == 302 and answer.headers["location"].startswith(f"{tenant.url}/{TENANT}/oauth2/authorize?")


def test_users_by_name(host, tenant, make_user):
    make_user("ann@x.org")
    assert me(host, tenant.sign(scp="user_impersonation", upn="Ann@x.org")).user_name == "ann@x.org"
    with pytest.raises(PermissionDenied):  # an application that claims a user's name is no user
        me(host, tenant.sign(appid="ann@x.org"))


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://management.core.windows.net/"}, {"tid": "another"}, {"iss": "https://sts.windows.net/another/"},
     {"exp": 1_000_000_000}, {"appid": "0a0b0c0d-0000-0000-0000-000000000002"}, {"appid": None}, {"appid": ""}],
)  # fmt: skip
def test_what_is_not_believed(host, tenant, make_user, claims):
    make_user(ROBOT, kind="service_principal")
    assert me(host, tenant.sign(appid=ROBOT)).user_name == ROBOT
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        me(host, tenant.sign(**({"appid": ROBOT} | claims)))
    with pytest.raises(PermissionDenied):
        me(host, tenant.sign(RSAKey.generate_key(2048, parameters={"kid": "k"}), appid=ROBOT))


def test_it_ends_with_its_time_and_with_its_principal(host, tenant, make_user, clock, store):
    robot, _ = make_user(ROBOT, kind="service_principal")
    token = tenant.sign(appid=ROBOT)
    me(host, token)
    with store.transaction() as tx:
        registry.set_active(tx, robot.principal_id, False)
    with pytest.raises(PermissionDenied):
        me(host, token)
    with store.transaction() as tx:
        registry.set_active(tx, robot.principal_id, True)
    me(host, token)
    clock.advance(3_700_000)
    with pytest.raises(PermissionDenied):
        me(host, token)


def test_it_writes(host, tenant, make_user):
    make_user(ROBOT, kind="service_principal", groups=["admins"])
    w = WorkspaceClient(host=host, token=tenant.sign(appid=ROBOT))
    assert w.groups.create(display_name="made").display_name == "made"


def test_microsofts_own_issuers():
    azure = AzureTenant(Issuers(Documents()), TENANT, "https://login.microsoftonline.com/")
    assert azure._known() == (f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0")


def test_without_a_tenant_there_is_no_address(api_of):
    refused = api_of("boathouse.auth.azure").get("/aad/auth", token=None)
    assert (refused.status_code, refused.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
