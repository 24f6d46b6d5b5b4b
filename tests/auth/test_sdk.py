"""The real databricks-sdk against a real socket: log-in in every way that is served, and every call of these rooms."""

import base64

import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    NotFound,
    NotImplemented,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceConflict,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service.iam import ComplexValue
from databricks.sdk.service.workspace import AclPermission, AzureKeyVaultSecretScopeMetadata, ScopeBackendType

MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.tokens", "boathouse.auth.oauth",
    "boathouse.auth.discovery", "boathouse.auth.client_secrets", "boathouse.workspace.conf", "boathouse.workspace.secrets",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Nothing of the developer's own: no variables, no ~/.databrickscfg."""
    import os

    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "ARM_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def host(served):
    return served(*MODULES)


@pytest.fixture
def w(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


def test_the_first_calls_of_every_tool(w, host, ready):
    assert w.config.workspace_id == str(ready.home.workspace_id)
    assert w.config.account_id == ready.home.account_id
    assert w.get_workspace_id() == ready.home.workspace_id
    me = w.current_user.me()
    assert me.user_name == ready.home.admin and [group.display for group in me.groups] == ["admins", "users"]


def test_without_a_token_and_with_a_wrong_one(host):
    with pytest.raises(PermissionDenied, match=r"Invalid access token\."):
        WorkspaceClient(host=host, token="dapi" + "0" * 32).current_user.me()
    with pytest.raises(Unauthenticated, match="Credential was not sent"):
        WorkspaceClient(config=Config(host=host, credentials_strategy=Nothing())).current_user.me()


class Nothing:
    """A credentials strategy that sends none."""

    def auth_type(self):
        return "nothing"

    def __call__(self, config):
        return dict


def test_user_and_password_basic(host, ready):
    w = WorkspaceClient(host=host, username="token", password=ready.token, auth_type="basic")
    assert w.current_user.me().user_name == ready.home.admin


def test_oauth_for_machines(w, host, ready):
    robot = w.service_principals.create(display_name="robot")
    secret = w.service_principal_secrets_proxy.create(robot.id)
    r = WorkspaceClient(host=host, client_id=robot.application_id, client_secret=secret.secret, auth_type="oauth-m2m")
    assert r.current_user.me().display_name == "robot"
    assert [entry.id for entry in w.service_principal_secrets_proxy.list(robot.id)] == [secret.id]
    w.service_principal_secrets_proxy.delete(robot.id, secret.id)
    with pytest.raises(PermissionDenied):
        r.current_user.me()


def test_the_accounts_client(w, host, ready):
    robot = w.service_principals.create(display_name="robot")
    a = AccountClient(host=host, account_id=ready.home.account_id, token=ready.token)
    secret = a.service_principal_secrets.create(robot.id, lifetime="3600s")
    assert [entry.id for entry in a.service_principal_secrets.list(robot.id)] == [secret.id]
    r = AccountClient(host=host, account_id=ready.home.account_id, client_id=robot.application_id, client_secret=secret.secret)
    with pytest.raises(PermissionDenied):
        r.service_principal_secrets.create(robot.id)
    a.service_principal_secrets.delete(robot.id, secret.id)
    assert list(a.service_principal_secrets.list(robot.id)) == []


def test_tokens(w, host):
    made = w.tokens.create(comment="ci", lifetime_seconds=60)
    assert made.token_info.expiry_time - made.token_info.creation_time == 60_000
    mine = WorkspaceClient(host=host, token=made.token_value)
    assert {token.comment for token in mine.tokens.list()} == {"ci", "bootstrap token"}
    w.tokens.delete(made.token_info.token_id)
    with pytest.raises(PermissionDenied):
        mine.current_user.me()
    with pytest.raises(ResourceDoesNotExist):
        w.tokens.delete(made.token_info.token_id)


def test_switches(w):
    w.workspace_conf.set_status({"enableDcs": "true"})
    assert w.workspace_conf.get_status("enableDcs,enableTokensConfig") == {"enableDcs": "true", "enableTokensConfig": None}


def test_secrets(w, host, make_user):
    w.secrets.create_scope("registry")
    with pytest.raises(ResourceAlreadyExists, match="Scope registry already exists"):
        w.secrets.create_scope("registry")
    w.secrets.put_secret("registry", "password", string_value="hunter2")
    w.secrets.put_secret("registry", "bytes", bytes_value=base64.b64encode(b"\x00").decode())
    assert base64.b64decode(w.secrets.get_secret("registry", "password").value) == b"hunter2"
    assert w.dbutils.secrets.get("registry", "password") == "hunter2"
    assert [secret.key for secret in w.secrets.list_secrets("registry")] == ["bytes", "password"]
    assert [(scope.name, scope.backend_type) for scope in w.secrets.list_scopes()] == [("registry", ScopeBackendType.DATABRICKS)]
    _, token = make_user("ann@x.org")
    ann = WorkspaceClient(host=host, token=token)
    with pytest.raises(PermissionDenied):
        ann.secrets.get_secret("registry", "password")
    w.secrets.put_acl("registry", "ann@x.org", AclPermission.READ)
    assert ann.secrets.get_secret("registry", "password").key == "password"
    assert w.secrets.get_acl("registry", "ann@x.org").permission == AclPermission.READ
    assert len(list(w.secrets.list_acls("registry"))) == 2
    w.secrets.delete_acl("registry", "ann@x.org")
    w.secrets.delete_secret("registry", "bytes")
    w.secrets.delete_scope("registry")
    with pytest.raises(ResourceDoesNotExist, match="Scope registry does not exist"):
        list(w.secrets.list_secrets("registry"))
    with pytest.raises(NotImplemented, match="Azure Key Vault"):
        w.secrets.create_scope(
            "vault",
            scope_backend_type=ScopeBackendType.AZURE_KEYVAULT,
            backend_azure_keyvault=AzureKeyVaultSecretScopeMetadata(resource_id="r", dns_name="d"),
        )


def test_people(w):
    ann = w.users.create(user_name="ann@x.org", display_name="Ann")
    assert w.users.get(ann.id).display_name == "Ann"
    with pytest.raises(ResourceConflict, match=r"User with username ann@x\.org already exists\."):
        w.users.create(user_name="ann@x.org")
    assert [user.user_name for user in w.users.list(filter='userName eq "ann@x.org"')] == ["ann@x.org"]
    assert len(list(w.users.list(count=1))) == 2
    group = w.groups.create(display_name="makers", members=[ComplexValue(value=ann.id)])
    assert [member.display for member in w.groups.get(group.id).members] == ["Ann"]
    assert {found.display_name for found in w.groups.list(attributes="displayName")} == {"admins", "users", "makers"}
    w.groups.delete(group.id)
    w.users.delete(ann.id)
    with pytest.raises(NotFound):
        w.users.get(ann.id)
    with pytest.raises(NotFound):
        w.users.patch(ann.id)


def test_what_is_not_served_says_so(w):
    with pytest.raises(NotImplemented, match=r"workspace\.instance_profiles\.list"):
        list(w.instance_profiles.list())
