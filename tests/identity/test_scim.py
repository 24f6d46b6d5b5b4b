"""SCIM of a workspace (reference api F): what is there, its paging and its shape of refusals."""

import pytest

ROOT = "/api/2.0/preview/scim/v2"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


@pytest.fixture
def api(api_of):
    return api_of("boathouse.identity.scim", "boathouse.identity.me", "boathouse.auth.tokens")


def names(answer):
    return [resource.get("userName") or resource.get("displayName") for resource in answer.json()["Resources"]]


def test_a_user_is_made_read_listed_and_removed(api):
    made = api.post(
        f"{ROOT}/Users", json={"userName": "Ann@x.org", "displayName": "Ann", "entitlements": [{"value": "workspace-consume"}]}
    )
    assert made.status_code == 201
    ann = made.json()
    assert ann["userName"] == "Ann@x.org" and ann["displayName"] == "Ann" and ann["active"] is True
    assert ann["emails"] == [{"value": "Ann@x.org", "type": "work", "primary": True}]
    assert [group["display"] for group in ann["groups"]] == ["users"]
    assert ann["entitlements"] == [{"value": "workspace-consume"}]
    assert api.get(f"{ROOT}/Users/{ann['id']}").json() == ann
    assert names(api.get(f"{ROOT}/Users")) == ["admin@boathouse.local", "Ann@x.org"]
    gone = api.delete(f"{ROOT}/Users/{ann['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get(f"{ROOT}/Users/{ann['id']}").status_code == 404
    assert names(api.get(f"{ROOT}/Users")) == ["admin@boathouse.local"]


def test_who_comes_back_is_the_same_but_old_tokens_stay_dead(api, store, keys, clock, ready):
    ann = api.post(f"{ROOT}/Users", json={"userName": "ann@x.org"}).json()
    from boathouse.auth import credentials

    def token():
        with store.transaction() as tx:
            return credentials.issue(tx, keys, "pat", int(ann["id"]), workspace_id=ready.home.workspace_id)[0]

    old = token()
    assert api.get(f"{ROOT}/Me", token=old).json()["userName"] == "ann@x.org"
    api.delete(f"{ROOT}/Users/{ann['id']}")
    assert api.get(f"{ROOT}/Me", token=old).status_code == 403
    clock.advance(1)
    again = api.post(f"{ROOT}/Users", json={"userName": "ANN@x.org"}).json()
    assert again["id"] == ann["id"]
    assert api.get(f"{ROOT}/Me", token=old).json()["message"] == "Invalid access token."
    fresh = token()
    assert len(api.get("/api/2.0/token/list", token=fresh).json()["token_infos"]) == 1


def test_service_principals(api):
    made = api.post(f"{ROOT}/ServicePrincipals", json={"displayName": "robot"}).json()
    assert made["displayName"] == "robot" and len(made["applicationId"]) == 36
    found = api.get(f'{ROOT}/ServicePrincipals?filter=applicationId eq "{made["applicationId"]}"').json()
    assert found["Resources"] == [made]
    assert api.post(f"{ROOT}/ServicePrincipals", json={"applicationId": made["applicationId"]}).status_code == 409
    assert api.post(f"{ROOT}/ServicePrincipals", json={"applicationId": "x"}).json()["scimType"] == "invalidValue"
    assert api.delete(f"{ROOT}/ServicePrincipals/{made['id']}").status_code == 204


def test_groups_nest_and_members_see_all(api, make_user):
    ann, token = make_user("ann@x.org")
    inner = api.post(f"{ROOT}/Groups", json={"displayName": "inner", "members": [{"value": str(ann.principal_id)}]}).json()
    outer = api.post(f"{ROOT}/Groups", json={"displayName": "outer", "members": [{"value": inner["id"]}]}).json()
    assert outer["meta"] == {"resourceType": "WorkspaceGroup", "location": f"{ROOT}/Groups/{outer['id']}"}
    assert outer["members"] == [{"value": inner["id"], "display": "inner", "$ref": f"Groups/{inner['id']}"}]
    me = api.get(f"{ROOT}/Me", token=token).json()
    assert [(group["display"], group["type"]) for group in me["groups"]] == [
        ("inner", "direct"), ("outer", "indirect"), ("users", "direct"),
    ]  # fmt: skip
    assert api.delete(f"{ROOT}/Groups/{inner['id']}").status_code == 204
    me = api.get(f"{ROOT}/Me", token=token).json()
    assert [group["display"] for group in me["groups"]] == ["users"]


def test_paging_ends(api, make_user):
    for number in range(5):
        make_user(f"user{number}@x.org")
    seen, start = [], 1
    for _ in range(10):
        page = api.get(f"{ROOT}/Users?startIndex={start}&count=2").json()
        assert page["totalResults"] == 6 and page["startIndex"] == start and page["itemsPerPage"] == len(page["Resources"])
        if not page["Resources"]:
            break
        seen += [user["userName"] for user in page["Resources"]]
        start += 2
    assert len(seen) == len(set(seen)) == 6 and start == 7


def test_attributes_and_sorting(api, make_user):
    make_user("b@x.org")
    make_user("c@x.org")
    answer = api.get(f"{ROOT}/Users?attributes=userName,emails.value&sortBy=userName&sortOrder=descending").json()
    assert [set(user) for user in answer["Resources"]] == [{"id", "schemas", "userName", "emails"}] * 3
    assert [user["userName"] for user in answer["Resources"]] == ["c@x.org", "b@x.org", "admin@boathouse.local"]
    excluded = api.get(f"{ROOT}/Groups?excludedAttributes=members,Entitlements").json()["Resources"]
    assert all("members" not in group and "entitlements" not in group and "displayName" in group for group in excluded)


def test_members_see_little_of_others_and_change_nothing(api, make_user):
    ann, token = make_user("ann@x.org")
    bob, _ = make_user("bob@x.org")
    assert set(api.get(f"{ROOT}/Users/{bob.principal_id}", token=token).json()) == {
        "schemas", "id", "userName", "displayName", "active", "meta",
    }  # fmt: skip
    assert "groups" in api.get(f"{ROOT}/Users/{ann.principal_id}", token=token).json()
    for method, path, body in [
        ("POST", "Users", {"userName": "x@x.org"}), ("POST", "Groups", {"displayName": "x"}), ("POST", "ServicePrincipals", {}),
        ("DELETE", f"Users/{bob.principal_id}", None), ("DELETE", "Groups/1", None), ("DELETE", "ServicePrincipals/1", None),
    ]:  # fmt: skip
        refused = api.call(method, f"{ROOT}/{path}", json=body, token=token)
        assert (refused.status_code, refused.json()["error_code"]) == (403, "PERMISSION_DENIED")


REFUSALS = [
    ("POST", "Users", {"userName": "admin@Boathouse.local"}, 409, "uniqueness",
     "User with username admin@Boathouse.local already exists."),
    ("POST", "Users", {"userName": "no address"}, 400, "invalidValue", "e-mail address"),
    ("POST", "Users", {"userName": "a@b@c"}, 400, "invalidValue", "e-mail address"),
    ("POST", "Users", {}, 400, "invalidSyntax", "Missing required field 'userName'"),
    ("POST", "Users", {"userName": "a@b", "nick": "x"}, 400, "invalidSyntax", "Unknown field 'nick'"),
    ("POST", "Users", {"userName": "a@b", "id": "5"}, 400, "mutability", "id"),
    ("POST", "Users", {"userName": "a@b", "groups": [{"value": "5"}]}, 400, "mutability", "groups"),
    ("POST", "Users", {"userName": "a@b", "roles": [{"value": "x"}]}, 400, "invalidValue", "roles"),
    ("POST", "Users", {"userName": "a@b", "entitlements": [{"value": "x"}]}, 400, "invalidValue", "allow-cluster-create"),
    ("POST", "Groups", {"displayName": "admins"}, 409, "uniqueness", "Group with name admins already exists."),
    ("POST", "Groups", {"displayName": " x"}, 400, "invalidValue", "displayName"),
    ("POST", "Groups", {"displayName": "x", "meta": {"a": 1}}, 400, "mutability", "meta"),
    ("POST", "Groups", {"displayName": "x", "members": [{"value": "5"}]}, 404, None, "Principal with id 5 not found."),
    ("GET", "Users/5", None, 404, None, "User with id 5 not found."),
    ("GET", "Users/x", None, 404, None, "not found"),
    ("GET", "Users/٣", None, 404, None, "not found"),
    ("GET", "Users?filter=x eq 1", None, 400, "invalidFilter", "no attribute 'x'"),
    ("GET", "Users?sortBy=x", None, 400, "invalidValue", "userName"),
    ("GET", "Users?sortOrder=x", None, 400, "invalidValue", "ascending"),
    ("GET", "Users?count=x", None, 400, "invalidSyntax", "count"),
    ("DELETE", "Groups/5", None, 404, None, "Group with id 5 not found."),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "scim_type", "detail"), REFUSALS)
def test_refusals_have_scims_shape(api, method, path, body, status, scim_type, detail):
    refused = api.call(method, f"{ROOT}/{path}", json=body)
    answer = refused.json()
    assert (refused.status_code, answer["status"], answer["schemas"]) == (status, str(status), [ERROR])
    assert answer.get("scimType") == scim_type and detail in answer["detail"]


def test_what_every_start_needs_cannot_be_removed(api, ready):
    refused = api.delete(f"{ROOT}/Users/{ready.home.admin_id}")
    assert refused.json()["scimType"] == "mutability" and "boathouse token rotate" in refused.json()["detail"]
    for group in api.get(f"{ROOT}/Groups").json()["Resources"]:
        assert api.delete(f"{ROOT}/Groups/{group['id']}").json()["scimType"] == "mutability"


def test_refusals_before_the_endpoint_keep_the_platforms_shape(api):
    assert api.get(f"{ROOT}/Me", token=None).json() == {
        "error_code": 401, "message": "Credential was not sent or was of an unsupported type for this API.",
    }  # fmt: skip
    assert api.get(f"{ROOT}/Users", headers={"X-Databricks-Workspace-Id": "5"}).json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_me_tells_the_workspace(api, ready):
    answer = api.get(f"{ROOT}/Me")
    assert answer.headers["x-databricks-org-id"] == str(ready.home.workspace_id)
    assert answer.json()["userName"] == ready.home.admin and answer.json()["roles"] == [{"value": "account_admin"}]
