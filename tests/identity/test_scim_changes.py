"""What SCIM changes, from a workspace and from the account, and what it refuses: people who come twice, odd addresses, large
groups, cycles, the last admin, and those who leave."""

import threading

import pytest
from sqlalchemy import insert, select

from boathouse.auth import credentials
from boathouse.auth.tables import client_secrets, tokens
from boathouse.identity import departures, principals, registry
from boathouse.identity.tables import memberships
from boathouse.identity.tables import principals as principals_table
from boathouse.identity.tables import workspaces as workspaces_table

ROOT = "/api/2.0/preview/scim/v2"
OTHER = 77


@pytest.fixture
def api(api_of):
    return api_of(
        "boathouse.identity.scim", "boathouse.identity.scim_account", "boathouse.identity.scim_discovery",
        "boathouse.identity.me", "boathouse.auth.tokens", "boathouse.auth.departures",
    )  # fmt: skip


@pytest.fixture
def account(ready):
    return f"/api/2.0/accounts/{ready.home.account_id}/scim/v2"


@pytest.fixture
def other(store, ready):
    """A second workspace with its system groups, and nobody in it."""
    with store.transaction() as tx:
        tx.execute(
            insert(workspaces_table).values(
                workspace_id=OTHER,
                account_id=ready.home.account_id,
                name="b",
                deployment_name="b",
                cloud="aws",
                created_at=1 << 60,
            )
        )
        return {
            name: registry.create(tx, ready.home.account_id, principals.GROUP, name, workspace_id=OTHER).principal_id
            for name in (principals.ADMINS, principals.USERS)
        }


def patch(*operations):
    return {"Operations": [dict(zip(("op", "path", "value"), one, strict=False)) for one in operations]}


def refusal(answer):
    body = answer.json()
    return answer.status_code, body.get("scimType"), body.get("detail", body.get("message"))


def group_of(api, name, root=ROOT):
    return api.get(f'{root}/Groups?filter=displayName eq "{name}"').json()["Resources"][0]


def test_a_user_is_replaced_and_patched(api):
    ann = api.post(f"{ROOT}/Users", json={"userName": "ann@x.org", "externalId": "e1"}).json()
    assert ann["emails"] == [{"value": "ann@x.org", "type": "work", "primary": True}] and ann["externalId"] == "e1"
    path = f"{ROOT}/Users/{ann['id']}"
    put = {
        "userName": "ann@x.org", "displayName": "Ann", "name": {"givenName": "A"}, "id": ann["id"], "meta": ann["meta"],
        "groups": ann["groups"], "entitlements": [{"value": "allow-cluster-create"}], "emails": [{"value": "b@x.org"}],
        "roles": [{"value": "arn:aws:iam::123456789012:instance-profile/x"}],
    }  # fmt: skip
    replaced = api.call("PUT", path, json=put)
    assert replaced.status_code == 200 and replaced.headers["content-type"] == "application/scim+json"
    assert replaced.json() == api.get(path).json() == {
        **put, "schemas": ann["schemas"], "active": True,
    }  # fmt: skip
    done = api.patch(path, json=patch(("remove", "entitlements"), ("Add", "displayName", "Bea"), ("replace", "active", False)))
    assert (done.status_code, done.content) == (204, b"")
    after = api.get(path).json()
    assert (after["displayName"], after["active"], after["entitlements"]) == ("Bea", False, [])
    again = api.patch(path, json=patch(("remove", "entitlements")))
    assert refusal(again) == (400, "invalidPath", "No such attribute with the name : entitlements in the current resource")
    shown = api.patch(f"{path}?attributes=displayName", json=patch(("add", "displayName", "C")))
    assert shown.status_code == 200 and set(shown.json()) == {"id", "schemas", "displayName"}
    bare = api.call("PUT", path, json={"userName": "ann@x.org"}).json()
    assert bare["active"] is False and "displayName" not in bare and bare["entitlements"] == [] and "externalId" not in bare


def test_a_patch_is_done_whole_or_not_at_all(api):
    ann = api.post(f"{ROOT}/Users", json={"userName": "ann@x.org", "displayName": "Ann"}).json()
    operations = patch(("add", "displayName", "B"), ("add", "entitlements", [{"value": "x"}]))
    refused = api.patch(f"{ROOT}/Users/{ann['id']}", json=operations)
    assert refusal(refused)[:2] == (400, "invalidValue")
    assert api.get(f"{ROOT}/Users/{ann['id']}").json() == ann


@pytest.mark.parametrize(
    ("method", "body", "status", "scim_type", "detail"),
    [
        ("PUT", {"userName": "bob@x.org"}, 400, "mutability", "userName cannot be changed"),
        ("PUT", {}, 400, "invalidSyntax", "Missing required field 'userName'"),
        ("PUT", {"userName": "ann@x.org", "id": "5"}, 400, "mutability", "id"),
        ("PUT", {"userName": "ann@x.org", "groups": []}, 400, "mutability", "groups is read-only"),
        ("PUT", {"userName": "ann@x.org", "meta": {"version": "2"}}, 400, "mutability", "meta"),
        ("PUT", {"userName": "ann@x.org", "roles": [{"value": "account_admin"}]}, 400, "invalidValue", "given in the account"),
        ("PUT", {"userName": "ann@x.org", "roles": [{"value": "x"}]}, 400, "invalidValue", "instance profile"),
        ("PUT", {"userName": "ann@x.org", "externalId": "x" * 321}, 400, "invalidValue", "externalId"),
        ("PUT", {"userName": "ann@x.org", "emails": [{"value": "a", "primary": True}] * 2}, 400, "invalidValue", "primary"),
        ("PATCH", {}, 400, "invalidSyntax", "Operations"),
        ("PATCH", patch(("add", "active", "maybe")), 400, "invalidValue", "bool"),
        ("PATCH", patch(("add", "emails", [{"value": "a", "nick": 1}])), 400, "invalidValue", "nick"),
        ("PATCH", {"Operations": [{"path": "active"}]}, 400, "invalidSyntax", "Operations"),
    ],
)
def test_what_cannot_be_written_is_said(api, method, body, status, scim_type, detail):
    ann = api.post(f"{ROOT}/Users", json={"userName": "ann@x.org"}).json()
    refused = refusal(api.call(method, f"{ROOT}/Users/{ann['id']}", json=body))
    assert refused[:2] == (status, scim_type) and detail in refused[2]


@pytest.mark.parametrize(
    ("first", "second"),
    [("Ann@X.org", "aNN@x.ORG"), ("ann+a@x.org", "ANN+A@x.org"), ("jos\u00e9@x.org", "jose\u0301@x.org"),
     ("\u00c4nne@x.org", "\u00e4nne@x.org"),
     ("stra\u00dfe@x.org", "STRASSE@x.org"), ("\u0434\u0430@\u0440\u0444", "\u0414\u0410@\u0440\u0444")],
)  # fmt: skip
def test_the_same_person_twice(api, account, first, second):
    made = api.post(f"{ROOT}/Users", json={"userName": first})
    assert made.status_code == 201 and made.json()["userName"] == first
    again = api.post(f"{ROOT}/Users", json={"userName": second})
    assert refusal(again) == (409, "uniqueness", f"User with username {second} already exists.")
    assert refusal(api.post(f"{account}/Users", json={"userName": second}))[:2] == (409, "uniqueness")
    found = api.get(f"{ROOT}/Users", params={"filter": f'userName eq "{second}"'}).json()["Resources"]
    assert [user["id"] for user in found] == [made.json()["id"]]


def test_a_plus_makes_another_person(api):
    one, two = (api.post(f"{ROOT}/Users", json={"userName": name}) for name in ("ann@x.org", "ann+1@x.org"))
    assert one.status_code == two.status_code == 201 and one.json()["id"] != two.json()["id"]


@pytest.mark.parametrize("name", ["a b@x.org", "a@x.org\u200b", "a@\u202ex.org", "a@", "\ufdfa@x.org" * 40, "a\u0000@x.org"])
def test_what_is_no_address(api, name):
    assert refusal(api.post(f"{ROOT}/Users", json={"userName": name}))[:2] == (400, "invalidValue")


def test_two_provisioners_at_once(served, ready):
    import httpx

    host = served("boathouse.identity.scim")
    answers = []

    def provision():
        with httpx.Client(base_url=host + ROOT, headers={"Authorization": f"Bearer {ready.token}"}, timeout=60) as client:
            answers.extend(client.post("/Users", json={"userName": f"u{n}@x.org"}).status_code for n in range(20))

    threads = [threading.Thread(target=provision) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] * 20 + [409] * 20


def test_ten_thousand_members(api, store, ready):
    with store.transaction() as tx:
        users = principals.by_name(tx, ready.home.account_id, "users", ["group"], ready.home.workspace_id)
        assert users is not None
        made = list(range(1, 10_001))
        row = {"account_id": ready.home.account_id, "workspace_id": 0, "kind": "user", "created_at": 0, "attributes": {}}
        tx.execute(
            insert(principals_table), [{**row, "principal_id": n, "name": f"u{n}@x.org", "name_key": f"u{n}@x.org"} for n in made]
        )
        registry.add_members(tx, users.principal_id, made)
    members = [{"value": str(one)} for one in made]
    group = api.post(f"{ROOT}/Groups", json={"displayName": "many", "members": members})
    assert group.status_code == 201 and len(group.json()["members"]) == 10_000
    path = f"{ROOT}/Groups/{group.json()['id']}"
    assert api.patch(path, json=patch(("remove", f'members[value eq "{made[0]}"]'))).status_code == 204
    assert len(api.get(path).json()["members"]) == 9_999
    assert api.patch(path, json=patch(("add", "members", [members[0], members[1]]))).status_code == 204
    assert api.call("PUT", path, json={"displayName": "few", "members": members[:3]}).status_code == 200
    assert {entry["value"] for entry in api.get(path).json()["members"]} == {entry["value"] for entry in members[:3]}
    seen, start = 0, 1
    while page := api.get(f"{ROOT}/Users?startIndex={start}&count=4000&attributes=userName").json()["Resources"]:
        seen, start = seen + len(page), start + 4000
    assert seen == 10_001
    with_groups = api.get(f'{ROOT}/Users?filter=groups.display eq "few"&attributes=userName,groups').json()
    assert with_groups["totalResults"] == 3
    assert {entry["display"] for entry in with_groups["Resources"][0]["groups"]} == {"few", "users"}


def test_cycles(api):
    a = api.post(f"{ROOT}/Groups", json={"displayName": "a"}).json()["id"]
    b = api.post(f"{ROOT}/Groups", json={"displayName": "b", "members": [{"value": a}]}).json()["id"]
    c = api.post(f"{ROOT}/Groups", json={"displayName": "c", "members": [{"value": b}]}).json()["id"]
    for inside in (a, b, c):
        refused = refusal(api.patch(f"{ROOT}/Groups/{a}", json=patch(("add", "members", [{"value": inside}]))))
        assert refused == (400, "invalidValue", "The group a would become a member of itself.")
    refused = refusal(api.call("PUT", f"{ROOT}/Groups/{a}", json={"displayName": "a", "members": [{"value": c}]}))
    assert refused[0] == 400
    assert api.get(f"{ROOT}/Groups/{a}").json()["members"] == []


def test_groups_are_renamed_and_names_are_unique(api):
    a, b = (api.post(f"{ROOT}/Groups", json={"displayName": name}).json()["id"] for name in "ab")
    assert api.patch(f"{ROOT}/Groups/{a}", json=patch(("replace", "displayName", "A"))).status_code == 204
    refused = refusal(api.patch(f"{ROOT}/Groups/{b}", json=patch(("replace", "displayName", "a"))))
    assert refused == (409, "uniqueness", "Group with name a already exists.")
    system = group_of(api, "users")["id"]
    assert refusal(api.patch(f"{ROOT}/Groups/{system}", json=patch(("replace", "displayName", "x"))))[1] == "mutability"
    api.delete(f"{ROOT}/Groups/{a}")
    assert api.patch(f"{ROOT}/Groups/{b}", json=patch(("replace", "displayName", "a"))).status_code == 204


def test_the_last_admin_stays(api, account, ready, make_user):
    admins = group_of(api, "admins")["id"]
    me = str(ready.home.admin_id)
    last = "without an active admin"
    for change in (("remove", f'members[value eq "{me}"]'), ("remove", "members"), ("replace", "members", [])):
        assert last in refusal(api.patch(f"{ROOT}/Groups/{admins}", json=patch(change)))[2]
    assert last in refusal(api.call("PUT", f"{ROOT}/Groups/{admins}", json={"displayName": "admins"}))[2]
    assert "cannot be deactivated" in refusal(api.patch(f"{ROOT}/Users/{me}", json=patch(("replace", "active", False))))[2]
    assert last in refusal(api.patch(f"{account}/Users/{me}", json=patch(("remove", "roles"))))[2]
    # A deactivated admin is none; an active one is, through a group too.
    ann, token = make_user("ann@x.org", groups=["inner"])
    inner = group_of(api, "inner")["id"]
    assert api.patch(f"{ROOT}/Groups/{admins}", json=patch(("add", "members", [{"value": inner}]))).status_code == 204
    assert api.patch(f"{ROOT}/Users/{ann.principal_id}", json=patch(("replace", "active", False))).status_code == 204
    assert last in refusal(api.patch(f"{ROOT}/Groups/{admins}", json=patch(("remove", f'members[value eq "{me}"]'))))[2]
    assert api.patch(f"{ROOT}/Users/{ann.principal_id}", json=patch(("replace", "active", True))).status_code == 204
    assert api.patch(f"{ROOT}/Groups/{admins}", json=patch(("remove", f'members[value eq "{me}"]'))).status_code == 204
    # Now ann is the last one, and every way of losing her is refused, by the account too.
    for refused in (
        api.patch(f"{account}/Users/{ann.principal_id}", json=patch(("replace", "active", False))),
        api.delete(f"{account}/Users/{ann.principal_id}"),
        api.delete(f"{ROOT}/Users/{ann.principal_id}", token=token),
        api.patch(f"{ROOT}/Users/{ann.principal_id}", json=patch(("replace", None, {"active": False})), token=token),
        api.patch(f"{ROOT}/Users/{ann.principal_id}", json=patch(("Replace", "ACTIVE", "False")), token=token),
        api.patch(f"{ROOT}/Groups/{inner}", json=patch(("remove", f'members[value eq "{ann.principal_id}"]')), token=token),
        api.patch(
            f"{ROOT}/Groups/{inner}", json=patch(("replace", "members", [{"value": me}]), ("remove", "members")), token=token
        ),
        api.call("PUT", f"{ROOT}/Groups/{inner}", json={"displayName": "inner", "members": []}, token=token),
        api.delete(f"{ROOT}/Groups/{inner}", token=token),
        api.patch(f"{ROOT}/Groups/{admins}", json=patch(("remove", f'members[value eq "{inner}"]')), token=token),
    ):
        assert last in refusal(refused)[2]
    assert api.post(f"{ROOT}/Users", json={"userName": "eve@x.org"}, token=token).status_code == 201


def test_a_workspace_deactivates_for_itself(api, account, make_user):
    ann, token = make_user("ann@x.org")
    there = f"{ROOT}/Users/{ann.principal_id}"
    assert api.get(f"{ROOT}/Me", token=token).status_code == 200
    api.patch(there, json=patch(("replace", "active", False)))
    assert api.get(f"{ROOT}/Me", token=token).json()["message"] == "Invalid access token."
    assert api.get(f"{account}/Users/{ann.principal_id}").json()["active"] is True
    assert api.get(f"{ROOT}/Users?filter=active eq false&attributes=userName").json()["totalResults"] == 1
    api.patch(there, json=patch(("replace", "active", True)))
    assert api.get(f"{ROOT}/Me", token=token).status_code == 200
    api.patch(f"{account}/Users/{ann.principal_id}", json=patch(("replace", "active", False)))
    assert api.get(f"{ROOT}/Me", token=token).status_code == 403
    assert api.get(there).json()["active"] is False
    assert "activate it there" in refusal(api.patch(there, json=patch(("replace", "active", True))))[2]


def test_who_leaves_takes_the_tokens_and_gives_the_rest_to_an_admin(api, store, keys, ready, make_user, monkeypatch):
    seen = []
    monkeypatch.setattr(departures, "_consequences", [*departures._consequences, lambda tx, departure: seen.append(departure)])
    ann, token = make_user("ann@x.org")
    made = api.post(f"{ROOT}/Groups", json={"displayName": "g", "members": [{"value": str(ann.principal_id)}]}).json()
    users = group_of(api, "users")["id"]
    leave = patch(("remove", f'members[value eq "{ann.principal_id}"]'))
    assert api.patch(f"{ROOT}/Groups/{users}", json=leave).status_code == 204
    ((left),) = seen
    assert (left.principal, left.workspace_id, left.by) == (ann, ready.home.workspace_id, ready.home.admin)
    assert left.heir is not None and left.heir.principal_id == ready.home.admin_id
    assert api.get(f"{ROOT}/Me", token=token).status_code == 403
    assert api.get(f"{ROOT}/Groups/{made['id']}").json()["members"] == []
    with store.read() as reader:
        assert reader.execute(select(tokens.c.token_id).where(tokens.c.principal_id == ann.principal_id)).first() is None


def test_the_bootstrap_admin_does_not_leave(api, ready, make_user):
    make_user("ann@x.org", groups=["admins"])
    users = group_of(api, "users")["id"]
    refused = refusal(api.patch(f"{ROOT}/Groups/{users}", json=patch(("remove", "members"))))
    assert refused[1] == "mutability" and "every start needs" in refused[2]


def test_removed_from_the_account(api, account, store, keys, ready, other, make_user, clock):
    ann, token = make_user("ann@x.org", groups=["g"])
    robot = api.post(f"{account}/ServicePrincipals", json={"displayName": "robot"}).json()
    with store.transaction() as tx:
        registry.add_member(tx, other["users"], ann.principal_id)
        tx.execute(
            insert(client_secrets).values(
                secret_id="s", principal_id=int(robot["id"]), hash="h", created_at=0, expires_at=1 << 60
            )
        )
        credentials.issue(tx, keys, credentials.OAUTH, ann.principal_id)
    gone = api.delete(f"{account}/Users/{ann.principal_id}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.delete(f"{account}/ServicePrincipals/{robot['id']}").status_code == 204
    assert api.get(f"{ROOT}/Me", token=token).status_code == 403
    for root in (ROOT, account):
        assert api.get(f"{root}/Users/{ann.principal_id}").status_code == 404
        assert api.get(f"{root}/Users?attributes=userName").json()["totalResults"] == 1
    with store.read() as reader:
        assert principals.by_id(reader, ann.principal_id) is None
        assert principals.by_name(reader, ready.home.account_id, "ann@x.org") is None
        assert reader.execute(select(memberships).where(memberships.c.member_id == ann.principal_id)).first() is None
        assert reader.execute(select(client_secrets)).first() is None
        assert reader.execute(select(tokens).where(tokens.c.principal_id == ann.principal_id)).first() is None
    again = api.post(f"{account}/Users", json={"userName": "ann@x.org"}).json()
    assert again["id"] != str(ann.principal_id)  # somebody else, with nothing of hers


def test_the_account(api, account, ready, make_user, other):
    made = api.post(f"{account}/Users", json={"userName": "ann@x.org", "roles": [{"value": "account_admin"}]})
    assert made.status_code == 201 and made.headers["location"] == f"{account}/Users/{made.json()['id']}"
    ann = made.json()
    assert ann["roles"] == [{"value": "account_admin"}] and "entitlements" not in ann and ann["groups"] == []
    assert api.get(f"{ROOT}/Users/{ann['id']}").status_code == 404  # in no workspace
    for body in ({"entitlements": [{"value": "workspace-access"}]}, {"roles": [{"value": "king"}]}):
        refused = refusal(api.post(f"{account}/Users", json={"userName": "b@x.org", **body}))
        assert refused[:2] == (400, "invalidValue")
    team = api.post(f"{account}/Groups", json={"displayName": "team", "members": [{"value": ann["id"]}]}).json()
    assert team["meta"]["resourceType"] == "Group"
    assert [group["displayName"] for group in api.get(f"{account}/Groups").json()["Resources"]] == ["team"]
    local = group_of(api, "users")["id"]
    assert refusal(api.patch(f"{account}/Groups/{team['id']}", json=patch(("add", "members", [{"value": local}]))))[0] == 404
    assert api.get(f"{account}/Groups/{local}").status_code == 404
    # A role given to a group counts for its members.
    bob, token = make_user("bob@x.org")
    assert refusal(api.get(f"{account}/Users", token=token))[0] == 403
    add = patch(("add", "members", [{"value": str(bob.principal_id)}]), ("add", "roles", [{"value": "account_admin"}]))
    assert api.patch(f"{account}/Groups/{team['id']}", json=add).status_code == 204
    assert api.get(f"{account}/Users", token=token).json()["totalResults"] == 3
    assert api.get(account.replace(ready.home.account_id[:8], "0" * 8) + "/Users").status_code == 404


def test_a_group_of_the_account_in_a_workspace(api, account, store, ready, make_user):
    bob = api.post(f"{account}/Users", json={"userName": "bob@x.org"}).json()
    team = api.post(f"{account}/Groups", json={"displayName": "team", "members": [{"value": bob["id"]}]}).json()
    users = group_of(api, "users")["id"]
    with store.transaction() as tx:
        registry.add_member(tx, int(users), int(team["id"]))
    path = f"{ROOT}/Groups/{team['id']}"
    assert api.patch(path, json=patch(("add", "entitlements", [{"value": "allow-cluster-create"}]))).status_code == 204
    for change in (("replace", "displayName", "x"), ("remove", "members"), ("add", "externalId", "x")):
        assert "change it there" in refusal(api.patch(path, json=patch(change)))[2]
    assert "through a group of the account" in refusal(api.delete(f"{ROOT}/Users/{bob['id']}"))[2]
    seen = []
    kept = departures._consequences[:]
    departures._consequences.append(lambda tx, departure: seen.append((departure.principal.name, departure.workspace_id)))
    try:
        assert api.delete(f"{account}/Groups/{team['id']}").status_code == 204
    finally:
        departures._consequences[:] = kept
    assert ("bob@x.org", ready.home.workspace_id) in seen
    # Removed from the account, somebody leaves the workspaces that a group brought in.
    again = api.post(f"{account}/Groups", json={"displayName": "again", "members": [{"value": bob["id"]}]}).json()
    with store.transaction() as tx:
        registry.add_member(tx, int(users), int(again["id"]))
    departures._consequences.append(lambda tx, departure: seen.append(("again", departure.workspace_id)))
    try:
        assert api.delete(f"{account}/Users/{bob['id']}").status_code == 204
    finally:
        departures._consequences[:] = kept
    assert [("again", ready.home.workspace_id), ("again", 0)] == seen[-2:]
    assert api.get(f"{ROOT}/Users/{bob['id']}").status_code == 404


def test_members_of_a_workspace_filter_by_what_they_see(api, make_user):
    _, token = make_user("ann@x.org")
    entitled = [{"value": "workspace-consume"}]
    api.post(f"{ROOT}/Users", json={"userName": "bob@x.org", "externalId": "secret", "entitlements": entitled})
    for text, seen in (('userName sw "bob"', 1), ('externalId sw "s"', 0), ("entitlements pr", 0), ('externalId eq "secret"', 0)):
        answer = api.get(f"{ROOT}/Users", params={"filter": text}, token=token).json()
        assert answer["totalResults"] == seen, text
    assert api.get(f"{ROOT}/Users", params={"filter": "entitlements pr", "sortBy": "emails.value"}).json()["totalResults"] == 1
    assert api.get(f"{ROOT}/Users?sortBy=externalId", token=token).status_code == 400


@pytest.mark.parametrize("account_root", [False, True])
def test_what_is_not_there_below_the_roots(api, account, account_root):
    root = account if account_root else ROOT
    wrong = api.get(f"{root}/Nothing")
    assert (wrong.status_code, wrong.json()["status"]) == (404, "404")
    assert wrong.headers["content-type"] == "application/scim+json"
    refused = api.call("DELETE", f"{root}/Schemas")
    assert refused.status_code == 405 and refused.headers["allow"] == "GET" and refused.json()["status"] == "405"
    everything = api.post(f"{root}/.search", json={"filter": 'displayName eq "admins" or userName pr'}).json()
    assert everything["totalResults"] == (1 if account_root else 2)
