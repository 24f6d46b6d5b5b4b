"""Who may have personal access tokens, and log in with a password: `/api/2.0/permissions/authorization/*` by the SDK."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.service.iam import PasswordAccessControlRequest, PasswordPermissionLevel
from databricks.sdk.service.settings import TokenAccessControlRequest, TokenPermissionLevel

MODULES = (
    "boathouse.auth.discovery", "boathouse.auth.tokens", "boathouse.identity.me", "boathouse.auth.permissions.authorization",
)  # fmt: skip
CAN_USE = TokenPermissionLevel.CAN_USE


@pytest.fixture
def client(served, ready):
    host = served(*MODULES)
    return lambda token="": WorkspaceClient(host=host, token=token or ready.token)


def who(answer):
    return {one.user_name or one.group_name: one.all_permissions[0].inherited for one in answer.access_control_list}


def test_at_first_every_member_may(client, make_user):
    w, ann = client(), client(make_user("ann@x.org")[1])
    answer = w.token_management.get_permissions()
    assert (answer.object_id, answer.object_type) == ("/authorization/tokens", "tokens")
    assert who(answer) == {"users": False, "admins": True}
    assert ann.tokens.create(comment="c").token_value
    assert [level.permission_level for level in w.token_management.get_permission_levels().permission_levels][0] == CAN_USE
    with pytest.raises(PermissionDenied, match="does not have Manage permissions"):
        ann.token_management.get_permissions()


def test_what_is_taken_is_gone_at_once_and_comes_back(client, make_user):
    w, ann, bob = client(), client(make_user("ann@x.org")[1]), client(make_user("bob@x.org")[1])
    only_ann = TokenAccessControlRequest(user_name="ann@x.org", permission_level=CAN_USE)
    assert who(w.token_management.set_permissions(access_control_list=[only_ann])) == {"ann@x.org": False, "admins": True}
    assert ann.current_user.me().user_name == "ann@x.org"
    with pytest.raises(PermissionDenied, match=r"bob@x.org does not have permission to use tokens"):
        bob.current_user.me()
    assert who(w.token_management.set_permissions(access_control_list=[])) == {"admins": True}
    with pytest.raises(PermissionDenied):
        ann.current_user.me()
    assert w.current_user.me()
    everybody = TokenAccessControlRequest(group_name="users", permission_level=CAN_USE)
    w.token_management.update_permissions(access_control_list=[everybody])
    assert bob.current_user.me().user_name == "bob@x.org"


def test_a_patch_begins_with_what_holds_at_first(client, make_user):
    make_user("ann@x.org")
    entry = TokenAccessControlRequest(user_name="ann@x.org", permission_level=CAN_USE)
    assert set(who(client().token_management.update_permissions(access_control_list=[entry]))) == {"ann@x.org", "users", "admins"}


def test_passwords_have_a_list_of_their_own(client):
    w = client()
    entry = PasswordAccessControlRequest(group_name="admins", permission_level=PasswordPermissionLevel.CAN_USE)
    assert who(w.users.get_permissions()) == {"users": False, "admins": True}
    assert who(w.users.set_permissions(access_control_list=[])) == {"admins": True}
    assert set(who(w.token_management.get_permissions())) == {"users", "admins"}
    # The SDK has no other word for it: admins alone.
    assert who(w.users.set_permissions(access_control_list=[entry])) == {"admins": True}
