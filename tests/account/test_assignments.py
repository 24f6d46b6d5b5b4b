"""Assignment of people to workspaces, by the account's API with the unmodified SDK, and by the workspace's."""

import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied
from databricks.sdk.service.iam import WorkspacePermission

from boathouse.auth import credentials
from boathouse.identity import principals, registry

USER, ADMIN = WorkspacePermission.USER, WorkspacePermission.ADMIN


@pytest.fixture
def second(a):
    return a.workspaces.create(workspace_name="second").result().workspace_id


@pytest.fixture
def person(store, keys, ready):
    """`person(name, kind)` -> (principal, token that holds everywhere), of the account and in no workspace."""

    def make(name="ann@x.org", kind=principals.USER):
        with store.transaction() as tx:
            made = registry.create(tx, ready.home.account_id, kind, name)
            return made, credentials.issue(tx, keys, credentials.OAUTH, made.principal_id, lifetime_ms=3_600_000)[0]

    return make


def test_a_user_enters_as_user_and_as_admin_and_leaves(a, client, person, second):
    ann, token = person()
    w = client(token, second)
    with pytest.raises(PermissionDenied, match="Unauthorized access to Org"):
        w.current_user.me()
    made = a.workspace_assignment.update(second, ann.principal_id, permissions=[USER])
    assert (made.principal.user_name, made.principal.principal_id, made.permissions) == ("ann@x.org", ann.principal_id, [USER])
    assert [group.display for group in w.current_user.me().groups] == ["users"]
    assert a.workspace_assignment.update(second, ann.principal_id, permissions=[USER, ADMIN]).permissions == [ADMIN]
    assert [group.display for group in w.current_user.me().groups] == ["admins", "users"]
    a.workspace_assignment.update(second, ann.principal_id, permissions=[USER])
    assert [group.display for group in w.current_user.me().groups] == ["users"]
    a.workspace_assignment.delete(second, ann.principal_id)
    with pytest.raises(PermissionDenied, match="Unauthorized access to Org"):
        w.current_user.me()
    with pytest.raises(NotFound, match="is not assigned"):
        a.workspace_assignment.delete(second, ann.principal_id)


def test_members_of_an_assigned_group_come_and_go_with_it(a, client, person, second, store):
    ann, token = person()
    team, _ = person("team", principals.GROUP)
    with store.transaction() as tx:
        registry.add_member(tx, team.principal_id, ann.principal_id)
    a.workspace_assignment.update(second, team.principal_id, permissions=[ADMIN])
    assert {group.display for group in client(token, second).current_user.me().groups} == {"team", "admins", "users"}
    listed = {entry.principal.group_name or entry.principal.user_name: entry.permissions
              for entry in a.workspace_assignment.list(second)}  # fmt: skip
    assert listed == {"admin@boathouse.local": [ADMIN], "team": [ADMIN]}
    a.workspace_assignment.update(second, team.principal_id, permissions=[])
    with pytest.raises(PermissionDenied):
        client(token, second).current_user.me()


def test_service_principals_and_levels(a, person, second):
    robot, _ = person("6f1a0d5e-0000-4000-8000-000000000001", principals.SERVICE_PRINCIPAL)
    made = a.workspace_assignment.update(second, robot.principal_id, permissions=[USER])
    assert made.principal.service_principal_name == robot.name
    assert [each.permission_level for each in a.workspace_assignment.get(second).permissions] == [USER, ADMIN]


def test_the_last_admin_stays(a, ready, person, second):
    for change in (
        lambda: a.workspace_assignment.delete(second, ready.home.admin_id),
        lambda: a.workspace_assignment.update(second, ready.home.admin_id, permissions=[USER]),
    ):
        with pytest.raises(BadRequest, match="the last admin"):
            change()
    ann, _ = person()
    a.workspace_assignment.update(second, ann.principal_id, permissions=[ADMIN])
    a.workspace_assignment.delete(second, ready.home.admin_id)
    assert [entry.principal.user_name for entry in a.workspace_assignment.list(second)] == ["ann@x.org"]


def test_bad_input(a, api_of, modules, ready, second):
    with pytest.raises(NotFound, match="Principal 1 does not exist"):
        a.workspace_assignment.update(second, 1, permissions=[USER])
    with pytest.raises(NotFound, match="Workspace 1 does not exist"):
        list(a.workspace_assignment.list(1))
    path = f"/api/2.0/accounts/{ready.home.account_id}/workspaces/{second}/permissionassignments/principals/{ready.home.admin_id}"
    answer = api_of(*modules).call("PUT", path, json={"permissions": ["user"]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "'user' is not allowed. Allowed: USER, ADMIN" in answer.json()["message"]


def test_who_may(a, account_of, person, second):
    ann, _ = person()
    bob, _ = person("bob@x.org")
    by_ann = account_of(ann.principal_id)
    with pytest.raises(PermissionDenied, match="Only account admins"):
        list(by_ann.workspace_assignment.list(second))
    a.workspace_assignment.update(second, ann.principal_id, permissions=[USER])
    with pytest.raises(PermissionDenied):
        by_ann.workspace_assignment.update(second, bob.principal_id, permissions=[USER])
    a.workspace_assignment.update(second, ann.principal_id, permissions=[ADMIN])
    by_ann.workspace_assignment.update(second, bob.principal_id, permissions=[USER])
    with pytest.raises(PermissionDenied):
        list(by_ann.workspace_assignment.list(1))


def test_the_same_in_the_workspace(api_of, modules, ready, make_user, person):
    api, root = api_of(*modules), "/api/2.0/preview/permissionassignments"
    ann, _ = person()
    made = api.call("PUT", f"{root}/principals/{ann.principal_id}", json={"permissions": ["USER"]})
    assert made.json()["principal"] == {"principal_id": ann.principal_id, "display_name": "ann@x.org", "user_name": "ann@x.org"}
    listed = [entry["principal"]["user_name"] for entry in api.get(root).json()["permission_assignments"]]
    assert listed == [ready.home.admin, "ann@x.org"]
    _, token = make_user("bob@x.org")
    for method, path in (("GET", root), ("PUT", f"{root}/principals/{ann.principal_id}"),
                         ("DELETE", f"{root}/principals/{ann.principal_id}")):  # fmt: skip
        assert api.call(method, path, token=token, **({"json": {}} if method == "PUT" else {})).status_code == 403
    assert api.delete(f"{root}/principals/{ann.principal_id}").status_code == 200
    assert len(api.get(root).json()["permission_assignments"]) == 2


def test_bad_enums_of_old_scripts_fail_at_the_client(a, ready, second):
    with pytest.raises(AttributeError):
        a.workspace_assignment.update(second, ready.home.admin_id, permissions=["USER"])  # pyright: ignore


def test_empty_permissions_of_somebody_outside(a, person, second):
    ann, _ = person()
    with pytest.raises((NotFound, InvalidParameterValue), match="is not assigned"):
        a.workspace_assignment.update(second, ann.principal_id, permissions=[])
