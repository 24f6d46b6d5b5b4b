"""Client secrets, the token endpoints and the discovery documents (reference api 0.1, E)."""

import base64

import pytest

ACCOUNT = "11111111-2222-3333-4444-555555555555"
CONFIG = "/.well-known/databricks-config"


@pytest.fixture
def api(api_of):
    return api_of(
        "boathouse.auth.oauth", "boathouse.auth.client_secrets", "boathouse.auth.discovery", "boathouse.identity.me",
        "boathouse.identity.scim",
    )  # fmt: skip


@pytest.fixture
def robot(make_user):
    return make_user("0a0b0c0d-0000-0000-0000-000000000001", kind="service_principal")[0]


def secrets_of(robot):
    return f"/api/2.0/accounts/servicePrincipals/{robot.principal_id}/credentials/secrets"


def ask(api, client, secret, path="/oidc/v1/token", **form):
    sent = base64.b64encode(f"{client}:{secret}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": "all-apis", **form}
    return api.post(path, data=form, headers={"Authorization": f"Basic {sent}"}, token=None)


def test_a_secret_gives_a_token_that_calls(api, robot):
    made = api.post(secrets_of(robot), json={}).json()
    answer = ask(api, robot.name, made["secret"])
    assert answer.json() | {"access_token": ""} == {
        "access_token": "", "token_type": "Bearer", "expires_in": 3600, "scope": "all-apis",
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    me = api.get("/api/2.0/preview/scim/v2/Me", token=answer.json()["access_token"]).json()
    assert (me["userName"], me["applicationId"]) == (robot.name, robot.name)


def test_credentials_in_the_body_and_the_accounts_endpoint(api, robot):
    secret = api.post(secrets_of(robot), json={}).json()["secret"]
    form = {"grant_type": "client_credentials", "client_id": robot.name, "client_secret": secret}
    assert api.post("/oidc/v1/token", data=form, token=None).status_code == 200
    assert ask(api, robot.name, secret, f"/oidc/accounts/{ACCOUNT}/v1/token").status_code == 200
    assert ask(api, robot.name, secret, "/oidc/accounts/other/v1/token").json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [({}, 400, "invalid_request"),
     ({"grant_type": "password"}, 400, "unsupported_grant_type"),
     ({"grant_type": "client_credentials"}, 401, "invalid_client"),
     ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
     ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y", "scope": "sql"}, 400, "invalid_scope")],
)  # fmt: skip
def test_oauth_errors(api, form, status, error):
    refused = api.post("/oidc/v1/token", data=form, token=None)
    assert (refused.status_code, refused.json()["error"]) == (status, error)
    assert set(refused.json()) == {"error", "error_description"}
    assert refused.headers["content-type"] == "application/json"
    assert ("www-authenticate" in refused.headers) == (status == 401)


def test_credentials_in_two_places_or_unreadable(api, robot):
    assert ask(api, robot.name, "x", client_secret="x").json()["error"] == "invalid_request"
    refused = api.post(
        "/oidc/v1/token", data={"grant_type": "client_credentials"}, headers={"Authorization": "Basic ???"}, token=None
    )
    assert refused.json()["error"] == "invalid_client"


def test_a_form_that_is_none(api):
    refused = api.post("/oidc/v1/token", content=b"\xff=\xfe", token=None)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_the_secret_of_another(api, robot, make_user):
    other, _ = make_user("0a0b0c0d-0000-0000-0000-000000000002", kind="service_principal")
    secret = api.post(secrets_of(robot), json={}).json()["secret"]
    assert ask(api, other.name, secret).json()["error"] == "invalid_client"


def test_a_deleted_secret_ends_its_tokens_at_once(api, robot):
    made = api.post(secrets_of(robot), json={}).json()
    token = ask(api, robot.name, made["secret"]).json()["access_token"]
    assert api.get("/api/2.0/preview/scim/v2/Me", token=token).status_code == 200
    assert api.delete(f"{secrets_of(robot)}/{made['id']}").json() == {}
    assert api.get("/api/2.0/preview/scim/v2/Me", token=token).status_code == 403
    assert ask(api, robot.name, made["secret"]).status_code == 401
    assert api.delete(f"{secrets_of(robot)}/{made['id']}").status_code == 404


def test_a_machine_ends_one_of_its_tokens(api, robot):
    secret = api.post(secrets_of(robot), json={}).json()["secret"]
    first, second = (ask(api, robot.name, secret).json()["access_token"] for _ in range(2))
    assert api.post("/oidc/v1/revoke", data={"token": first}, token=None).status_code == 200
    assert api.get("/api/2.0/preview/scim/v2/Me", token=first).status_code == 403
    assert api.get("/api/2.0/preview/scim/v2/Me", token=second).status_code == 200


def test_tokens_and_secrets_expire(api, robot, clock):
    secret = api.post(secrets_of(robot), json={"lifetime": "7200s"}).json()["secret"]
    token = ask(api, robot.name, secret).json()["access_token"]
    clock.advance(3_600_000)
    assert api.get("/api/2.0/preview/scim/v2/Me", token=token).status_code == 403
    assert ask(api, robot.name, secret).status_code == 200
    clock.advance(3_600_000)
    assert ask(api, robot.name, secret).status_code == 401


def test_a_removed_service_principal_is_out(api, robot):
    secret = api.post(secrets_of(robot), json={}).json()["secret"]
    token = ask(api, robot.name, secret).json()["access_token"]
    assert api.delete(f"/api/2.0/preview/scim/v2/ServicePrincipals/{robot.principal_id}").status_code == 204
    assert api.get("/api/2.0/preview/scim/v2/Me", token=token).status_code == 403


def test_at_most_five_and_the_value_is_shown_once(api, robot):
    values = [api.post(secrets_of(robot), json={}).json() for _ in range(5)]
    refused = api.post(secrets_of(robot), json={})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "QUOTA_EXCEEDED")
    listed = api.get(secrets_of(robot))
    assert {entry["id"] for entry in listed.json()["secrets"]} == {value["id"] for value in values}
    assert all(value["secret"] not in listed.text for value in values)
    first = listed.json()["secrets"][0]
    assert first["status"] == "ACTIVE" and first["create_time"] == "2023-11-14T22:13:20.000Z"
    assert first["expire_time"] == "2025-11-13T22:13:20.000Z"


def test_by_the_accounts_path(api, robot):
    path = f"/api/2.0/accounts/{ACCOUNT}/servicePrincipals/{robot.principal_id}/credentials/secrets"
    made = api.post(path, json={}).json()
    assert [entry["id"] for entry in api.get(path).json()["secrets"]] == [made["id"]]
    assert api.delete(f"{path}/{made['id']}").json() == {}
    assert api.get(path.replace(ACCOUNT, "other")).status_code == 404


def test_admins_only(api, robot, make_user):
    _, token = make_user("ann@x.org")
    account = f"/api/2.0/accounts/{ACCOUNT}/servicePrincipals/{robot.principal_id}/credentials/secrets"
    for path in (secrets_of(robot), account):
        assert api.post(path, json={}, token=token).status_code == 403
        assert api.get(path, token=token).status_code == 403
        assert api.delete(f"{path}/x", token=token).status_code == 403


@pytest.mark.parametrize("lifetime", ["60", "0s", "63072001s", "1.5s", "-1s", "s", "²s"])
def test_lifetimes_that_may_not_be(api, robot, lifetime):
    refused = api.post(secrets_of(robot), json={"lifetime": lifetime})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "'lifetime'" in refused.json()["message"]


@pytest.mark.parametrize("id", ["0", "x", "99999999999999999999", "-1"])
def test_no_such_service_principal(api, id):
    assert api.get(f"/api/2.0/accounts/servicePrincipals/{id}/credentials/secrets").status_code == 404


def test_a_user_is_no_service_principal(api, make_user):
    ann, _ = make_user("ann@x.org")
    assert api.get(secrets_of(ann)).status_code == 404


def test_the_first_call_of_every_client(api, ready):
    assert api.get(CONFIG, token=None).json() == {
        "oidc_endpoint": "http://127.0.0.1:8470/oidc", "account_id": ACCOUNT, "workspace_id": str(ready.home.workspace_id),
        "cloud": "AWS", "token_federation_default_oidc_audiences": [],
    }  # fmt: skip


def test_a_deployments_host_names_its_workspace(api, ready):
    there = api.get(CONFIG, token=None, base_url="http://boathouse.localhost:8470").json()
    assert there["workspace_id"] == str(ready.home.workspace_id)
    assert there["oidc_endpoint"] == "http://boathouse.localhost:8470/oidc"
    assert api.get(CONFIG, token=None, base_url="http://nobody.localhost").status_code == 404


def test_addresses_keep_the_scheme_of_the_front(api):
    answer = api.get(CONFIG, token=None, headers={"Host": "lake.example.org", "X-Forwarded-Proto": "https"})
    assert answer.json()["oidc_endpoint"] == "https://lake.example.org/oidc"
    assert api.get(CONFIG, token=None, headers={"Host": 'x"><script>'}).status_code == 400


@pytest.mark.parametrize("document", ["oauth-authorization-server", "openid-configuration"])
def test_discovery(api, document):
    workspace = api.get(f"/oidc/.well-known/{document}", token=None).json()
    assert workspace["token_endpoint"] == "http://127.0.0.1:8470/oidc/v1/token"
    assert workspace["authorization_endpoint"] and workspace["issuer"] == "http://127.0.0.1:8470/oidc"
    account = api.get(f"/oidc/accounts/{ACCOUNT}/.well-known/{document}", token=None).json()
    assert account["token_endpoint"] == f"http://127.0.0.1:8470/oidc/accounts/{ACCOUNT}/v1/token"
    assert api.get(f"/oidc/accounts/other/.well-known/{document}", token=None).status_code == 404


def test_telemetry_is_accepted_and_counted(api):
    assert api.post("/telemetry-ext", json={"protoLogs": ["a", "b"]}).json() == {"errors": [], "numProtoSuccess": 2}
    assert api.post("/telemetry-ext", json={}).json() == {"errors": [], "numProtoSuccess": 1}
    assert api.post("/telemetry-ext", content=b"{").status_code == 400
