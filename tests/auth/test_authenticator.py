"""Who is calling: credentials, choice of the workspace, and that nobody stays in whose right ended. Texts: reference
api 0.2."""

import base64
import threading

import pytest
from sqlalchemy import insert

from boathouse.auth import credentials
from boathouse.auth.authenticator import Authenticator, basic, bearer, deployment
from boathouse.edge.errors import ApiError
from boathouse.identity import principals, registry, revision, workspaces
from boathouse.identity.tables import workspaces as workspaces_table


@pytest.fixture
def authenticate(store, keys, ready):
    return Authenticator(store, keys)


def call(authenticate, token, host="127.0.0.1:8470", **headers):
    return authenticate({"authorization": f"Bearer {token}", **headers}, host)


def refusal(authenticate, headers, host="localhost"):
    with pytest.raises(ApiError) as caught:
        authenticate(headers, host)
    return caught.value.status, caught.value.body()


NO_CREDENTIAL = {"error_code": 401, "message": "Credential was not sent or was of an unsupported type for this API."}


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Digest x", "Basic !!!", "Basic " + base64.b64encode(b"ann:secret").decode(), "Basic dG9rZW4="],
)
def test_no_usable_credential(authenticate, authorization):
    assert refusal(authenticate, {"authorization": authorization}) == (401, NO_CREDENTIAL)


def test_no_header_at_all(authenticate):
    assert refusal(authenticate, {}) == (401, NO_CREDENTIAL)


def test_an_unknown_token(authenticate):
    status, body = refusal(authenticate, {"authorization": "Bearer dapi" + "0" * 32})
    assert (status, body["message"]) == (403, "Invalid access token.")


def test_the_bootstrap_admin(authenticate, ready):
    caller = call(authenticate, ready.token)
    assert (caller.name, caller.kind, caller.workspace_id) == ("admin@boathouse.local", "user", ready.home.workspace_id)
    assert caller.admin and caller.account_admin and caller.groups == {"admins", "users"}


def test_basic_with_the_user_token(authenticate, ready):
    sent = base64.b64encode(f"token:{ready.token}".encode()).decode()
    assert authenticate({"authorization": f"Basic {sent}"}, "h").name == ready.home.admin


def test_a_user_is_no_admin(authenticate, make_user):
    ann, token = make_user("Ann@x.org", groups=["makers"])
    caller = call(authenticate, token)
    assert (caller.principal_id, caller.name, caller.admin, caller.account_admin) == (ann.principal_id, "Ann@x.org", False, False)
    assert caller.groups == {"makers", "users"}


def test_expiry_is_exact(authenticate, store, keys, ready, clock):
    with store.transaction() as tx:
        token, _ = credentials.issue(
            tx, keys, credentials.PAT, ready.home.admin_id, workspace_id=ready.home.workspace_id, lifetime_ms=1000
        )
    clock.advance(999)
    assert call(authenticate, token).name == ready.home.admin
    clock.advance(1)
    status, body = refusal(authenticate, {"authorization": f"Bearer {token}"})
    assert (status, body["message"]) == (403, "Invalid access token.")
    assert refusal(Authenticator(store, keys), {"authorization": f"Bearer {token}"})[0] == 403


def test_what_ends_is_refused_at_the_next_call(authenticate, store, ready, make_user):
    ann, token = make_user("ann@x.org")
    made = call(authenticate, token)
    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
    assert refusal(authenticate, {"authorization": f"Bearer {token}"})[0] == 403
    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, True)
    assert call(authenticate, token) == made
    with store.transaction() as tx:
        credentials.end(tx, made.token_id or "")
    assert refusal(authenticate, {"authorization": f"Bearer {token}"})[0] == 403


def test_new_rights_hold_at_the_next_call(authenticate, store, ready, make_user):
    ann, token = make_user("ann@x.org")
    assert not call(authenticate, token).admin
    with store.transaction() as tx:
        admins = principals.by_name(tx, ready.home.account_id, "admins", ["group"], ready.home.workspace_id)
        registry.add_member(tx, admins.principal_id, ann.principal_id)
    assert call(authenticate, token).admin


def test_a_transaction_that_rolls_back_ends_nothing(authenticate, store, make_user):
    ann, token = make_user("ann@x.org")
    call(authenticate, token)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
        raise ZeroDivisionError
    assert call(authenticate, token).name == "ann@x.org"


def test_changes_of_another_process_are_seen_when_the_store_is_looked_at(store, keys, make_user, monkeypatch):
    ann, token = make_user("ann@x.org")
    other = Authenticator(store, keys, look_every=0)
    assert call(other, token).name == "ann@x.org"
    monkeypatch.setattr(revision, "_raise", lambda store: None)  # as if this process had not made the change
    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
    assert refusal(other, {"authorization": f"Bearer {token}"})[0] == 403


def test_what_was_read_before_a_change_is_not_kept(store, keys, make_user, monkeypatch):
    ann, token = make_user("ann@x.org")
    authenticate = Authenticator(store, keys)
    find = authenticate._find

    def overtaken(reader, *key):
        found = find(reader, *key)
        writer = threading.Thread(target=deactivate)
        writer.start()
        writer.join()
        return found

    def deactivate():
        with store.transaction() as tx:
            registry.set_active(tx, ann.principal_id, False)

    monkeypatch.setattr(authenticate, "_find", overtaken)
    call(authenticate, token)
    monkeypatch.setattr(authenticate, "_find", find)
    assert refusal(authenticate, {"authorization": f"Bearer {token}"})[0] == 403


@pytest.fixture
def second(store, ready):
    """Another workspace of the account, with system groups of its own."""
    with store.transaction() as tx:
        tx.execute(
            insert(workspaces_table).values(
                workspace_id=77, account_id=ready.home.account_id, name="second", deployment_name="second", cloud="aws",
                created_at=store.clock() + 1,
            )
        )  # fmt: skip
        return {
            name: registry.create(tx, ready.home.account_id, principals.GROUP, name, workspace_id=77)
            for name in ("admins", "users")
        }


CHOICES = [
    ({"x-databricks-workspace-id": "77"}, "h"),
    ({"x-databricks-org-id": "77"}, "h"),
    ({}, "second.localhost"),
    ({}, "Second.localhost:8470"),
    ({"x-databricks-workspace-id": "77"}, "boathouse.localhost"),
    ({"x-databricks-workspace-id": "77", "x-databricks-org-id": "1"}, "h"),
]


@pytest.mark.parametrize(("headers", "host"), CHOICES)
def test_choosing_a_workspace(authenticate, store, ready, second, headers, host):
    with store.transaction() as tx:
        registry.add_member(tx, second["users"].principal_id, ready.home.admin_id)
    caller = call(authenticate, ready.token, host, **headers)
    assert (caller.workspace_id, caller.admin) == (77, False)
    assert call(authenticate, ready.token).workspace_id == ready.home.workspace_id


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ({"x-databricks-workspace-id": "78"}, "h"),
        ({"x-databricks-workspace-id": "nonsense"}, "h"),
        ({"x-databricks-workspace-id": "9" * 30}, "h"),
        ({"x-databricks-workspace-id": "²"}, "h"),
        ({}, "third.localhost"),
    ],
)
def test_an_unknown_workspace_is_404(authenticate, ready, headers, host):
    status, body = refusal(authenticate, {"authorization": f"Bearer {ready.token}", **headers}, host)
    assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_not_in_the_workspace(authenticate, ready, second):
    status, body = refusal(authenticate, {"authorization": f"Bearer {ready.token}", "x-databricks-workspace-id": "77"})
    assert (status, body["message"]) == (403, "Unauthorized access to Org: 77")


def test_a_personal_token_holds_in_its_workspace_only(authenticate, store, make_user, second):
    ann, token = make_user("ann@x.org")
    with store.transaction() as tx:
        registry.add_member(tx, second["users"].principal_id, ann.principal_id)
    assert refusal(authenticate, {"authorization": f"Bearer {token}", "x-databricks-workspace-id": "77"})[0] == 403


def test_admins_of_one_workspace_are_none_of_another(authenticate, store, ready, second):
    with store.transaction() as tx:
        registry.add_member(tx, second["admins"].principal_id, ready.home.admin_id)
    caller = call(authenticate, ready.token, **{"x-databricks-workspace-id": "77"})
    assert caller.admin and caller.groups == {"admins"}


def test_personal_tokens_can_be_switched_off(authenticate, store, ready, make_user):
    _, token = make_user("ann@x.org")
    with store.transaction() as tx:
        workspaces.set_conf(tx, ready.home.workspace_id, "enableTokensConfig", "false")
    status, body = refusal(authenticate, {"authorization": f"Bearer {token}"})
    assert (status, body["error_code"]) == (403, "FEATURE_DISABLED")
    assert call(authenticate, ready.token).admin  # the bootstrap token stays: somebody must switch them on again


def test_memory_is_bounded(authenticate, ready, monkeypatch):
    monkeypatch.setattr("boathouse.auth.authenticator.KEPT", 2)
    for host in ("boathouse.localhost", "a", "boathouse.localhost:1", "b"):
        call(authenticate, ready.token, host)
    for number in range(5):
        call(authenticate, ready.token, **{"x-databricks-workspace-id": "0" * number + str(ready.home.workspace_id)})
        assert len(authenticate._callers) <= 2


def test_headers_to_tokens():
    assert bearer("bearer  dapi1 ") == "dapi1"
    assert bearer("BASIC " + base64.b64encode(b"token:a:b").decode()) == "a:b"
    assert basic("/w==") is None
    assert basic(base64.b64encode(b"no colon").decode()) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.localhost", "a.localhost"), ("A.localhost:8470", "a.localhost"), ("localhost", ""), ("127.0.0.1:80", ""), ("", ""),
     ("x.apps.localhost", ""), ("[::1]:80", ""), ("[::1]", ""), ("evil.org", "")],
)  # fmt: skip
def test_hosts_to_deployments(host, name):
    assert deployment(host) == name
