"""Who may enter the account's paths, and as whom (decision 0018)."""

import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.errors import NotFound, NotImplemented, PermissionDenied

from boathouse.auth import credentials
from boathouse.auth.authenticator import Authenticator
from boathouse.edge.errors import ApiError
from boathouse.identity import principals, registry, workspaces

MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.oauth", "boathouse.auth.discovery",
    "boathouse.auth.client_secrets", "boathouse.auth.tokens",
)  # fmt: skip


@pytest.fixture
def authenticate(store, keys, ready):
    return Authenticator(store, keys)


def call(authenticate, ready, token, host="h", account_id=None, **headers):
    return authenticate({"authorization": f"Bearer {token}", **headers}, host, "", account_id or ready.home.account_id)


def refused(*arguments, **named):
    with pytest.raises(ApiError) as caught:
        call(*arguments, **named)
    return caught.value.status, caught.value.message


def oauth(store, keys, principal_id):
    with store.transaction() as tx:
        return credentials.issue(tx, keys, credentials.OAUTH, principal_id, lifetime_ms=1000)[0]


@pytest.mark.parametrize("choice", [{}, {"host": "nowhere.localhost"}, {"x-databricks-workspace-id": "77"}])
def test_the_admin_calls_as_the_account_whatever_chooses_a_workspace(authenticate, ready, choice):
    caller = call(authenticate, ready, ready.token, **choice)
    assert (caller.account_id, caller.workspace_id) == (ready.home.account_id, 0)
    assert (caller.admin, caller.account_admin, caller.groups) == (False, True, frozenset())


def test_the_same_token_is_two_callers(authenticate, ready):
    of_workspace = authenticate({"authorization": f"Bearer {ready.token}"}, "h")
    assert (of_workspace.workspace_id, of_workspace.account_id) == (ready.home.workspace_id, ready.home.account_id)
    assert call(authenticate, ready, ready.token).workspace_id == 0
    assert authenticate({"authorization": f"Bearer {ready.token}"}, "h") == of_workspace


def test_another_account_does_not_exist(authenticate, ready):
    assert refused(authenticate, ready, ready.token, account_id="x" * 99)[0] == 404


def test_a_personal_token_opens_the_account_for_its_admins_only(authenticate, store, ready, make_user):
    ann, token = make_user("ann@x.org", groups=["admins"])
    assert refused(authenticate, ready, token) == (
        403, "A personal access token opens the account's API for account admins only; use OAuth."
    )  # fmt: skip
    with store.transaction() as tx:
        registry.grant_account_role(tx, ann.principal_id, principals.ACCOUNT_ADMIN)
    assert call(authenticate, ready, token).account_admin
    with store.transaction() as tx:
        workspaces.set_conf(tx, ready.home.workspace_id, "enableTokensConfig", "false")
    assert refused(authenticate, ready, token)[0] == 403
    with store.transaction() as tx:
        workspaces.set_conf(tx, ready.home.workspace_id, "enableTokensConfig", "true")
        registry.leave_workspace(tx, ready.home.workspace_id, ann.principal_id)
    assert refused(authenticate, ready, token) == (403, "Invalid access token.")


def test_the_role_comes_through_groups_of_the_account(authenticate, store, ready, make_user):
    ann, token = make_user("ann@x.org")
    with store.transaction() as tx:
        outer = registry.create(tx, ready.home.account_id, principals.GROUP, "outer")
        inner = registry.create(tx, ready.home.account_id, principals.GROUP, "inner")
        registry.add_member(tx, outer.principal_id, inner.principal_id)
        registry.add_member(tx, inner.principal_id, ann.principal_id)
        registry.grant_account_role(tx, outer.principal_id, principals.ACCOUNT_ADMIN)
    caller = call(authenticate, ready, token)
    assert caller.account_admin and caller.groups == {"outer", "inner"}


def test_oauth_lets_every_principal_of_the_account_in_and_gives_it_nothing(authenticate, store, keys, ready):
    with store.transaction() as tx:
        lone = registry.create(tx, ready.home.account_id, principals.USER, "lone@x.org")  # in no workspace
    token = oauth(store, keys, lone.principal_id)
    caller = call(authenticate, ready, token)
    assert (caller.name, caller.workspace_id, caller.account_admin, caller.groups) == ("lone@x.org", 0, False, frozenset())
    with store.transaction() as tx:
        registry.set_active(tx, lone.principal_id, False)
    assert refused(authenticate, ready, token)[0] == 403


def test_the_unmodified_account_client(served, ready, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    host, account_id = served(*MODULES), ready.home.account_id
    a = AccountClient(host=host, account_id=account_id, token=ready.token)
    w = WorkspaceClient(host=host, token=ready.token)
    robot = w.service_principals.create(display_name="robot")
    secret = a.service_principal_secrets.create(robot.id)
    assert [each.id for each in a.service_principal_secrets.list(robot.id)] == [secret.id]
    by_oauth = AccountClient(
        host=host, account_id=account_id, client_id=robot.application_id, client_secret=secret.secret, auth_type="oauth-m2m"
    )  # fmt: skip
    with pytest.raises(PermissionDenied, match="Only account admins"):
        list(by_oauth.service_principal_secrets.list(robot.id))
    mine = AccountClient(host=host, account_id=account_id, token=w.tokens.create(comment="x").token_value)
    assert list(mine.service_principal_secrets.list(robot.id))
    r = WorkspaceClient(host=host, client_id=robot.application_id, client_secret=secret.secret, auth_type="oauth-m2m")
    robots = AccountClient(host=host, account_id=account_id, token=r.tokens.create(comment="y").token_value)
    with pytest.raises(PermissionDenied, match="use OAuth"):
        list(robots.service_principal_secrets.list(robot.id))
    with pytest.raises(NotFound, match=r"Account .* does not exist"):
        list(AccountClient(host=host, account_id="0" * 36, token=ready.token).service_principal_secrets.list(robot.id))
    with pytest.raises(NotImplemented, match=r"account\.network_policies"):
        a.network_policies.get_network_policy_rpc("x")
