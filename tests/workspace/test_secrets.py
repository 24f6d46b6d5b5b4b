"""`/api/2.0/secrets/*`: texts, limits, and permissions at every look-up (reference api E)."""

import base64

import pytest
from sqlalchemy import select

from boathouse.identity.departures import Departure
from boathouse.identity.tables import ACCOUNT_LEVEL
from boathouse.workspace import secret_store, secrets
from boathouse.workspace.departures import end_acls
from boathouse.workspace.tables import secret_acls

ROOT = "/api/2.0/secrets"


@pytest.fixture
def api(api_of):
    return api_of("boathouse.workspace.secrets", "boathouse.identity.scim", "boathouse.workspace.departures")


@pytest.fixture
def scope(api):
    """A scope `s` of the admin with the secret `k`."""
    api.post(f"{ROOT}/scopes/create", json={"scope": "s"})
    api.post(f"{ROOT}/put", json={"scope": "s", "key": "k", "string_value": "v"})
    return "s"


def refused(answer):
    return answer.status_code, answer.json()["error_code"], answer.json()["message"]


def test_scopes_and_secrets_round_trip(api, clock):
    assert api.get(f"{ROOT}/scopes/list").json() == {}
    for name in ("zeta", "Alpha", "a.b_c-d@e"):
        assert api.post(f"{ROOT}/scopes/create", json={"scope": name}).json() == {}
    assert api.get(f"{ROOT}/scopes/list").json() == {
        "scopes": [{"name": name, "backend_type": "DATABRICKS"} for name in ("a.b_c-d@e", "Alpha", "zeta")]
    }
    at = clock()
    api.post(f"{ROOT}/put", json={"scope": "Alpha", "key": "text", "string_value": "wört"})
    clock.advance(5)
    api.post(f"{ROOT}/put", json={"scope": "Alpha", "key": "bytes", "bytes_value": base64.b64encode(b"\x00\xff").decode()})
    assert api.get(f"{ROOT}/list?scope=Alpha").json() == {
        "secrets": [{"key": "bytes", "last_updated_timestamp": at + 5}, {"key": "text", "last_updated_timestamp": at}]
    }
    got = api.get(f"{ROOT}/get?scope=Alpha&key=text").json()
    assert (got["key"], base64.b64decode(got["value"]).decode()) == ("text", "wört")
    assert base64.b64decode(api.get(f"{ROOT}/get?scope=Alpha&key=bytes").json()["value"]) == b"\x00\xff"
    api.post(f"{ROOT}/put", json={"scope": "Alpha", "key": "text", "string_value": ""})
    assert api.get(f"{ROOT}/get?scope=Alpha&key=text").json()["value"] == ""
    assert api.post(f"{ROOT}/delete", json={"scope": "Alpha", "key": "text"}).json() == {}
    assert api.get(f"{ROOT}/get?scope=Alpha&key=text").status_code == 404
    assert api.post(f"{ROOT}/scopes/delete", json={"scope": "Alpha"}).json() == {}
    assert api.get(f"{ROOT}/list?scope=Alpha").status_code == 404


def test_names_compare_without_case(api, scope):
    assert refused(api.post(f"{ROOT}/scopes/create", json={"scope": "S"}))[1] == "RESOURCE_ALREADY_EXISTS"
    assert api.get(f"{ROOT}/get?scope=S&key=K").json() == {"key": "k", "value": "dg=="}
    api.post(f"{ROOT}/put", json={"scope": "S", "key": "K", "string_value": "w"})
    assert len(api.get(f"{ROOT}/list?scope=s").json()["secrets"]) == 1


TEXTS = [
    ("scopes/create", {"scope": "s"}, 400, "RESOURCE_ALREADY_EXISTS", "Scope s already exists"),
    ("scopes/delete", {"scope": "x"}, 404, "RESOURCE_DOES_NOT_EXIST", "Scope x does not exist"),
    ("put", {"scope": "x", "key": "k", "string_value": ""}, 404, "RESOURCE_DOES_NOT_EXIST", "Scope x does not exist"),
    ("delete", {"scope": "s", "key": "x"}, 404, "RESOURCE_DOES_NOT_EXIST", "Secret scope/key not found: s/x"),
    ("put", {"scope": "s", "key": "k"}, 400, "MALFORMED_REQUEST", "Give exactly one of string_value and bytes_value."),
    ("put", {"scope": "s", "key": "k", "string_value": "", "bytes_value": ""}, 400, "MALFORMED_REQUEST", "exactly one"),
    ("put", {"scope": "s", "key": "k", "bytes_value": "?"}, 400, "MALFORMED_REQUEST", "bytes_value is not base64."),
    ("put", {"scope": "s", "key": "k/x", "string_value": ""}, 400, "INVALID_PARAMETER_VALUE", "Invalid key 'k/x'"),
    ("put", {"scope": "s", "key": "x" * 129, "string_value": ""}, 400, "INVALID_PARAMETER_VALUE", "1 to 128 characters"),
    ("scopes/create", {"scope": ""}, 400, "INVALID_PARAMETER_VALUE", "Invalid scope ''"),
    ("scopes/create", {"scope": "a b"}, 400, "INVALID_PARAMETER_VALUE", "letters, digits, and any of _ . @ -"),
    ("scopes/create", {"scope": "a\n"}, 400, "INVALID_PARAMETER_VALUE", "Invalid scope"),
    ("scopes/create", {"scope": "ä"}, 400, "INVALID_PARAMETER_VALUE", "Invalid scope"),
    ("scopes/create", {"scope": "n", "initial_manage_principal": "x"}, 400, "INVALID_PARAMETER_VALUE", "Allowed: users."),
    ("scopes/create", {"scope": "n", "scope_backend_type": "AZURE_KEYVAULT"}, 501, "NOT_IMPLEMENTED", "Azure Key Vault"),
    ("scopes/create", {"scope": "n", "backend_azure_keyvault": {"dns_name": "x"}}, 501, "NOT_IMPLEMENTED", "Azure Key Vault"),
    ("scopes/create", {"scope": "n", "scope_backend_type": "X"}, 400, "INVALID_PARAMETER_VALUE", "DATABRICKS, AZURE_KEYVAULT"),
    ("acls/put", {"scope": "s", "principal": "x", "permission": "READ"}, 404, "RESOURCE_DOES_NOT_EXIST",
     "Principal x does not exist"),
    ("acls/put", {"scope": "s", "principal": "users", "permission": "OWN"}, 400, "INVALID_PARAMETER_VALUE",
     "READ, WRITE, MANAGE"),
    ("acls/delete", {"scope": "s", "principal": "users"}, 404, "RESOURCE_DOES_NOT_EXIST",
     "Principal users has no permission on scope s"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "code", "text"), TEXTS)
def test_texts(api, scope, path, body, status, code, text):
    found = refused(api.post(f"{ROOT}/{path}", json=body))
    assert found[:2] == (status, code) and text in found[2]


def test_texts_of_reading(api, scope):
    assert refused(api.get(f"{ROOT}/get?scope=s&key=x")) == (404, "RESOURCE_DOES_NOT_EXIST", "Secret scope/key not found: s/x")
    assert refused(api.get(f"{ROOT}/list?scope=x")) == (404, "RESOURCE_DOES_NOT_EXIST", "Scope x does not exist")
    assert refused(api.get(f"{ROOT}/acls/get?scope=s&principal=x"))[1] == "RESOURCE_DOES_NOT_EXIST"
    assert "Missing required query parameter 'scope'" in refused(api.get(f"{ROOT}/list"))[2]


def test_limits(api, scope, monkeypatch):
    monkeypatch.setattr(secrets, "MAX_SCOPES", 1)
    monkeypatch.setattr(secrets, "MAX_SECRETS", 1)
    assert refused(api.post(f"{ROOT}/scopes/create", json={"scope": "t"}))[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    more = {"scope": "s", "key": "other", "string_value": ""}
    assert refused(api.post(f"{ROOT}/put", json=more))[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert api.post(f"{ROOT}/put", json={**more, "key": "k"}).status_code == 200


def test_the_largest_value(api, scope):
    largest = "x" * (128 << 10)
    assert api.post(f"{ROOT}/put", json={"scope": "s", "key": "k", "string_value": largest}).status_code == 200
    assert base64.b64decode(api.get(f"{ROOT}/get?scope=s&key=k").json()["value"]).decode() == largest
    found = refused(api.post(f"{ROOT}/put", json={"scope": "s", "key": "k", "string_value": largest + "x"}))
    assert found[:2] == (400, "INVALID_PARAMETER_VALUE") and "131073 bytes" in found[2]


CALLS = [
    ("READ", "GET", "list?scope=s", None),
    ("READ", "GET", "get?scope=s&key=k", None),
    ("WRITE", "POST", "put", {"scope": "s", "key": "k2", "string_value": "v"}),
    ("WRITE", "POST", "delete", {"scope": "s", "key": "k"}),
    ("MANAGE", "GET", "acls/list?scope=s", None),
    ("MANAGE", "GET", "acls/get?scope=s&principal=ann@x.org", None),
    ("MANAGE", "POST", "acls/put", {"scope": "s", "principal": "users", "permission": "READ"}),
    ("MANAGE", "POST", "acls/delete", {"scope": "s", "principal": "ann@x.org"}),
    ("MANAGE", "POST", "scopes/delete", {"scope": "s"}),
]


@pytest.mark.parametrize("has", [None, "READ", "WRITE", "MANAGE"])
@pytest.mark.parametrize(("needs", "method", "path", "body"), CALLS)
def test_every_call_asks_for_its_permission(api, scope, make_user, has, needs, method, path, body):
    _, token = make_user("ann@x.org")
    if has:
        api.post(f"{ROOT}/acls/put", json={"scope": "s", "principal": "ann@x.org", "permission": has})
    answer = api.call(method, f"{ROOT}/{path}", json=body, token=token)
    rank = {None: 0, "READ": 1, "WRITE": 2, "MANAGE": 3}
    if rank[has] >= rank[needs]:
        assert answer.status_code == 200, answer.text
    else:
        assert refused(answer) == (403, "PERMISSION_DENIED", f"User ann@x.org does not have {needs} permission on scope s")


def test_permissions_come_through_groups_and_go_with_them(api, scope, make_user):
    _, token = make_user("ann@x.org", groups=["makers"])
    get = f"{ROOT}/get?scope=s&key=k"
    assert api.get(get, token=token).status_code == 403
    assert api.get(f"{ROOT}/scopes/list", token=token).json() == {}
    api.post(f"{ROOT}/acls/put", json={"scope": "s", "principal": "makers", "permission": "READ"})
    assert api.get(get, token=token).status_code == 200
    assert len(api.get(f"{ROOT}/scopes/list", token=token).json()["scopes"]) == 1
    (makers,) = api.get('/api/2.0/preview/scim/v2/Groups?filter=displayName eq "makers"').json()["Resources"]
    api.delete(f"/api/2.0/preview/scim/v2/Groups/{makers['id']}")
    assert api.get(get, token=token).status_code == 403


def test_creator_manages_or_everybody_does(api, make_user):
    _, ann = make_user("ann@x.org")
    _, bob = make_user("bob@x.org")
    api.post(f"{ROOT}/scopes/create", json={"scope": "mine"}, token=ann)
    api.post(f"{ROOT}/scopes/create", json={"scope": "ours", "initial_manage_principal": "users"}, token=ann)
    assert api.get(f"{ROOT}/acls/list?scope=mine", token=ann).json() == {
        "items": [{"principal": "ann@x.org", "permission": "MANAGE"}]
    }
    assert api.get(f"{ROOT}/acls/list?scope=ours", token=bob).json() == {
        "items": [{"principal": "users", "permission": "MANAGE"}]
    }
    assert api.get(f"{ROOT}/acls/list?scope=mine", token=bob).status_code == 403
    assert api.get(f"{ROOT}/acls/list?scope=mine").status_code == 200  # admins manage all


def test_permissions_are_given_shown_and_taken(api, scope, make_user):
    make_user("ann@x.org")
    for permission in ("READ", "WRITE"):
        api.post(f"{ROOT}/acls/put", json={"scope": "s", "principal": "Ann@x.org", "permission": permission})
    assert api.get(f"{ROOT}/acls/get?scope=s&principal=ann@x.org").json() == {"principal": "ann@x.org", "permission": "WRITE"}
    assert api.post(f"{ROOT}/acls/delete", json={"scope": "s", "principal": "ann@x.org"}).json() == {}
    assert "ann" not in api.get(f"{ROOT}/acls/list?scope=s").text


def test_who_leaves_the_workspace_and_comes_back_has_no_permissions(api, store, ready, scope, make_user):
    ann, anns = make_user("ann@x.org")
    _, bobs = make_user("bob@x.org")
    api.post(f"{ROOT}/acls/put", json={"scope": "s", "principal": "ann@x.org", "permission": "READ"})
    api.post(f"{ROOT}/scopes/create", json={"scope": "anns"}, token=anns)
    api.post(f"{ROOT}/put", json={"scope": "anns", "key": "k", "string_value": "v"}, token=anns)
    api.post(f"{ROOT}/acls/put", json={"scope": "anns", "principal": "bob@x.org", "permission": "READ"}, token=anns)
    api.delete(f"/api/2.0/preview/scim/v2/Users/{ann.principal_id}")
    for name in ("s", "anns"):
        assert "ann@x.org" not in api.get(f"{ROOT}/acls/list?scope={name}").text
    assert api.get(f"{ROOT}/get?scope=anns&key=k", token=bobs).status_code == 200  # the others keep theirs
    back = api.post("/api/2.0/preview/scim/v2/Users", json={"userName": "ann@x.org"}).json()
    assert back["id"] == str(ann.principal_id)
    with store.read() as reader:
        who = secret_store.asker(reader, ready.home.workspace_id, ann.principal_id)
        assert secret_store.scopes_of(reader, ready.home.workspace_id, who) == []
    # A scope without a manager is an admin's to give away.
    api.post(f"{ROOT}/acls/put", json={"scope": "anns", "principal": "bob@x.org", "permission": "MANAGE"})
    assert api.get(f"{ROOT}/acls/list?scope=anns", token=bobs).status_code == 200


def test_who_leaves_the_account_loses_permissions_everywhere(store, ready, make_user):
    ann, _ = make_user("ann@x.org")
    home = ready.home.workspace_id
    with store.transaction() as tx:
        for workspace_id in (home, home + 1):
            secret_store.add_scope(tx, workspace_id, "s", ann.principal_id)
        end_acls(tx, Departure(ann, home, None, "admin"))
    with store.read() as reader:
        assert reader.execute(select(secret_acls.c.workspace_id)).scalars().all() == [home + 1]
    with store.transaction() as tx:
        end_acls(tx, Departure(ann, ACCOUNT_LEVEL, None, "admin"))
        assert tx.execute(select(secret_acls)).all() == []


def test_values_are_nowhere_in_the_clear(api, store, scope, tmp_path):
    api.post(f"{ROOT}/put", json={"scope": "s", "key": "k", "string_value": "hunter2-in-clear"})
    api.get(f"{ROOT}/get?scope=s&key=k")
    store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hunter2" not in stored and base64.b64encode(b"hunter2-in-clear") not in stored
    assert b"[REDACTED]" in stored


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda key: key.rename(key.with_name("kek-0002.key")), "'kek-0001' is not in"),
        (lambda key: key.write_bytes(b"short"), "kek-0001.key is damaged"),
        (lambda key: key.write_bytes(bytes(32)), "kek-0001.key is not the key"),
    ],
    ids=["lost", "damaged", "another"],
)
def test_a_value_whose_key_is_lost_or_damaged_is_told_with_the_key(api, scope, keys, harm, words):
    path = keys.directory / "kek-0001.key"
    harm(path)
    keys._loaded.clear()
    status, code, message = refused(api.get(f"{ROOT}/get?scope=s&key=k"))
    assert (status, code) == (400, "INVALID_STATE") and words in message
