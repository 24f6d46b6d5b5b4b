"""Permissions on folders, notebooks and files, by the unmodified SDK: inheritance, homes, `/Shared`, what each level may do."""

import base64

import pytest
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.workspace import (
    ImportFormat,
    Language,
    WorkspaceObjectAccessControlRequest,
    WorkspaceObjectPermissionLevel,
)

CONTENT = base64.b64encode(b"print(1)").decode()
LEVELS = ["CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"]


@pytest.fixture
def people(client, make_user):
    found = {}
    for name, groups in (("ann@x.org", ()), ("bob@x.org", ("crew",))):
        found[name.split("@")[0]] = client(make_user(name, groups=groups)[1])
    return found


def put(w, path, overwrite=False):
    w.workspace.import_(
        path=path, content=CONTENT, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=overwrite
    )  # fmt: skip


def grant(w, kind, path, level, **who):
    object_id = str(w.workspace.get_status(path).object_id)
    entry = AccessControlRequest(permission_level=PermissionLevel(level), **who)
    return w.permissions.update(kind, object_id, access_control_list=[entry])


def given(answer):
    return {
        one.user_name or one.group_name: (
            one.all_permissions[0].permission_level.value, one.all_permissions[0].inherited_from_object,
        )
        for one in answer.access_control_list
    }  # fmt: skip


def test_a_home_is_its_users_and_what_is_in_it_inherits(w, people):
    put(people["ann"], "/Users/ann@x.org/nb")
    users, home = (str(w.workspace.get_status(path).object_id) for path in ("/Users", "/Users/ann@x.org"))
    notebook = str(w.workspace.get_status("/Users/ann@x.org/nb").object_id)
    answer = people["ann"].permissions.get("notebooks", notebook)
    assert (answer.object_id, answer.object_type) == (f"/notebooks/{notebook}", "notebook")
    assert given(answer) == {
        "ann@x.org": ("CAN_MANAGE", [f"/directories/{home}"]), "admins": ("CAN_MANAGE", ["/notebooks/"]),
    }  # fmt: skip
    assert given(w.permissions.get("directories", home))["ann@x.org"] == ("CAN_MANAGE", [f"/directories/{users}"])
    for kind, object_id in (("notebooks", notebook), ("directories", home)):
        with pytest.raises(PermissionDenied):
            people["bob"].permissions.get(kind, object_id)
    levels = w.workspace.get_permission_levels("notebooks", notebook).permission_levels
    assert [level.permission_level.value for level in levels] == LEVELS


def test_shared_is_everybodys(w, people):
    put(people["ann"], "/Shared/nb")
    put(people["bob"], "/Shared/nb", overwrite=True)
    notebook = str(w.workspace.get_status("/Shared/nb").object_id)
    shared = w.workspace.get_status("/Shared").object_id
    assert given(people["bob"].permissions.get("notebooks", notebook)) == {
        "users": ("CAN_MANAGE", [f"/directories/{shared}"]), "admins": ("CAN_MANAGE", ["/notebooks/"]),
    }  # fmt: skip


MAY = {
    None: set(),
    "CAN_READ": {"read", "list"},
    "CAN_RUN": {"read", "list"},
    "CAN_EDIT": {"read", "list", "edit"},
    "CAN_MANAGE": {"read", "list", "edit", "create", "delete", "share"},
}


@pytest.mark.parametrize("who", [{"user_name": "bob@x.org"}, {"group_name": "crew"}], ids=["user", "group"])
@pytest.mark.parametrize("level", MAY)
def test_what_each_level_of_a_folder_may_do_below_it(w, people, level, who):
    ann, bob = people["ann"], people["bob"]
    ann.workspace.mkdirs("/Users/ann@x.org/team/deep")
    put(ann, "/Users/ann@x.org/team/deep/nb")
    if level:
        grant(ann, "directories", "/Users/ann@x.org/team", level, **who)
    notebook = str(ann.workspace.get_status("/Users/ann@x.org/team/deep/nb").object_id)
    entry = AccessControlRequest(user_name="bob@x.org", permission_level=PermissionLevel.CAN_READ)
    tries = {
        "read": lambda: bob.workspace.export("/Users/ann@x.org/team/deep/nb"),
        "list": lambda: list(bob.workspace.list("/Users/ann@x.org/team/deep")),
        "edit": lambda: put(bob, "/Users/ann@x.org/team/deep/nb", overwrite=True),
        "create": lambda: put(bob, "/Users/ann@x.org/team/deep/more"),
        "share": lambda: bob.permissions.update("notebooks", notebook, access_control_list=[entry]),
        "delete": lambda: bob.workspace.delete("/Users/ann@x.org/team/deep/nb"),
    }
    done = set()
    for name, attempt in tries.items():
        try:
            attempt()
            done.add(name)
        except PermissionDenied:
            continue
    assert done == MAY[level]


def test_one_notebook_can_be_shared_alone(w, people):
    ann, bob = people["ann"], people["bob"]
    for name in ("a", "b"):
        put(ann, f"/Users/ann@x.org/{name}")
    grant(ann, "notebooks", "/Users/ann@x.org/a", "CAN_READ", user_name="bob@x.org")
    assert bob.workspace.export("/Users/ann@x.org/a").content
    for path in ("/Users/ann@x.org/b", "/Users/ann@x.org"):
        with pytest.raises(PermissionDenied):
            bob.workspace.get_status(path)
    assert [each.path for each in bob.workspace.list("/Users")] == []
    grant(w, "directories", "/Users/ann@x.org", "CAN_READ", user_name="bob@x.org")
    assert [each.path for each in bob.workspace.list("/Users")] == ["/Users/ann@x.org"]
    assert len(list(bob.workspace.list("/Users/ann@x.org"))) == 2


def test_the_root_is_for_all_to_see_and_no_more(w, people):
    put(people["ann"], "/Users/ann@x.org/a")
    grant(w, "directories", "/", "CAN_READ", group_name="crew")
    assert people["bob"].workspace.export("/Users/ann@x.org/a").content
    with pytest.raises(InvalidParameterValue, match="Cannot remove admins's CAN_MANAGE permission on 0"):
        grant(w, "directories", "/", "CAN_READ", group_name="admins")


def test_a_moved_object_keeps_its_own_and_inherits_anew_and_a_removed_one_leaves_nothing(w, people, store, ready):
    from boathouse.auth.tables import permissions
    from boathouse.workspace.files.nodes import Place, move

    ann, bob = people["ann"], people["bob"]
    for folder in ("open", "shut"):
        ann.workspace.mkdirs(f"/Users/ann@x.org/{folder}")
    grant(ann, "directories", "/Users/ann@x.org/open", "CAN_MANAGE", user_name="bob@x.org")
    put(ann, "/Users/ann@x.org/open/nb")
    put(ann, "/Users/ann@x.org/open/own")
    grant(ann, "notebooks", "/Users/ann@x.org/open/own", "CAN_READ", user_name="bob@x.org")
    with store.transaction() as tx:
        for name in ("nb", "own"):
            place = Place(ready.home.workspace_id, "workspace")
            move(tx, place, f"/Users/ann@x.org/open/{name}", f"/Users/ann@x.org/shut/{name}", 1)
    with pytest.raises(PermissionDenied):
        bob.workspace.export("/Users/ann@x.org/shut/nb")
    assert bob.workspace.export("/Users/ann@x.org/shut/own").content
    ann.workspace.delete("/Users/ann@x.org/open", recursive=True)
    ann.workspace.delete("/Users/ann@x.org/shut", recursive=True)
    with store.read() as reader:
        assert reader.execute(permissions.select()).all() == []
    put(ann, "/Users/ann@x.org/again")
    with pytest.raises(PermissionDenied):
        bob.workspace.export("/Users/ann@x.org/again")


def test_the_list_of_another_kind_or_of_nothing_is_not_found(w, people):
    put(w, "/Shared/nb")
    notebook = str(w.workspace.get_status("/Shared/nb").object_id)
    for kind, object_id in (("directories", notebook), ("files", notebook), ("notebooks", "0"), ("notebooks", "x")):
        with pytest.raises(NotFound, match="does not exist"):
            w.permissions.get(kind, object_id)
    entry = WorkspaceObjectAccessControlRequest(user_name="bob@x.org", permission_level=WorkspaceObjectPermissionLevel.CAN_READ)
    answer = w.workspace.set_permissions("notebooks", notebook, access_control_list=[entry])
    assert {one.user_name or one.group_name for one in answer.access_control_list} == {"bob@x.org", "admins", "users"}
