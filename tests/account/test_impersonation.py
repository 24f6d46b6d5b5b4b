"""An admin of one workspace cannot become more by a service principal of the account that it brings in."""

import pytest
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.service.iam import ComplexValue, GrantRule, RuleSetUpdateRequest, WorkspacePermission

MANAGER = "roles/servicePrincipal.manager"


@pytest.fixture
def modules(modules):
    return (*modules, "boathouse.auth.token_management", "boathouse.identity.scim_account")


@pytest.fixture
def host(served, services, monkeypatch, tmp_path, modules):
    monkeypatch.setenv("HOME", str(tmp_path))
    return served(*modules)


@pytest.fixture
def second(a):
    """Another workspace of the account."""
    return a.workspaces.create(workspace_name="second", deployment_name="second", aws_region="us-west-2").result()


@pytest.fixture
def mallory(a, second, client, store, keys):
    """The admin of the second workspace, and of nothing else."""
    from boathouse.auth import credentials

    made = a.users.create(user_name="mallory@x.org")
    a.workspace_assignment.update(second.workspace_id, int(made.id), permissions=[WorkspacePermission.ADMIN])
    with store.transaction() as tx:
        token, _ = credentials.issue(tx, keys, credentials.PAT, int(made.id), workspace_id=second.workspace_id)
    return client(token, second.workspace_id)


def ways(by, robot, account_id):
    """All that lets somebody be a service principal."""
    name = f"accounts/{account_id}/servicePrincipals/{robot.application_id}/ruleSets/default"

    def manage():
        rules = [GrantRule(role=MANAGER, principals=["users/mallory@x.org"])]
        etag = by.account_access_control_proxy.get_rule_set(name=name, etag="").etag
        request = RuleSetUpdateRequest(name=name, etag=etag, grant_rules=rules)
        by.account_access_control_proxy.update_rule_set(name=name, rule_set=request)

    return (
        lambda: by.service_principal_secrets_proxy.create(robot.id),
        lambda: by.token_management.create_obo_token(robot.application_id),
        manage,
    )


def bring_in(by, robot):
    by.service_principals.create(application_id=robot.application_id)


def assert_refused(by, robot, account_id, why):
    for way in ways(by, robot, account_id):
        with pytest.raises(PermissionDenied, match=why):
            way()


def test_its_own_it_may_be(mallory, ready):
    robot = mallory.service_principals.create(display_name="robot")
    for way in ways(mallory, robot, ready.home.account_id):
        way()


def test_not_one_of_another_workspace(mallory, client, ready, a):
    robot = client(ready.token, ready.home.workspace_id).service_principals.create(display_name="robot")
    bring_in(mallory, robot)
    assert_refused(mallory, robot, ready.home.account_id, "it is in another workspace too")
    for way in ways(client(ready.token, ready.home.workspace_id), robot, ready.home.account_id):
        way()


def test_not_an_admin_of_the_account(mallory, ready, a):
    robot = a.service_principals.create(display_name="root", roles=[ComplexValue(value="account_admin")])
    bring_in(mallory, robot)
    assert_refused(mallory, robot, ready.home.account_id, "it has the role account_admin in the account")


def test_not_one_that_is_an_admin_by_a_group(mallory, ready, a):
    robot = a.service_principals.create(display_name="root")
    a.groups.create(display_name="roots", roles=[ComplexValue(value="account_admin")], members=[ComplexValue(value=robot.id)])
    bring_in(mallory, robot)
    assert_refused(mallory, robot, ready.home.account_id, "it has the role account_admin in the account")


def test_not_one_that_manages_others(mallory, ready, a):
    robot, other = a.service_principals.create(display_name="robot"), a.service_principals.create(display_name="other")
    name = f"accounts/{ready.home.account_id}/servicePrincipals/{other.application_id}/ruleSets/default"
    rules = [GrantRule(role=MANAGER, principals=[f"servicePrincipals/{robot.application_id}"])]
    etag = a.access_control.get_rule_set(name=name, etag="").etag
    a.access_control.update_rule_set(name=name, rule_set=RuleSetUpdateRequest(name=name, etag=etag, grant_rules=rules))
    bring_in(mallory, robot)
    assert_refused(mallory, robot, ready.home.account_id, f"it has the role {MANAGER} in the account")


def test_a_manager_may(mallory, ready, a):
    robot = a.service_principals.create(display_name="root", roles=[ComplexValue(value="account_admin")])
    bring_in(mallory, robot)
    name = f"accounts/{ready.home.account_id}/servicePrincipals/{robot.application_id}/ruleSets/default"
    rules = [GrantRule(role=MANAGER, principals=["users/mallory@x.org"])]
    etag = a.access_control.get_rule_set(name=name, etag="").etag
    a.access_control.update_rule_set(name=name, rule_set=RuleSetUpdateRequest(name=name, etag=etag, grant_rules=rules))
    for way in ways(mallory, robot, ready.home.account_id):
        way()
