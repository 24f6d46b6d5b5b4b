"""Rule sets under etags, by the unmodified SDK, and what the roles in them open."""

import pytest
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service.iam import GrantRule, RuleSetUpdateRequest

from boathouse.identity import principals, registry

MANAGER, USER = "roles/servicePrincipal.manager", "roles/servicePrincipal.user"


@pytest.fixture
def robot(client, ready):
    return client(ready.token, ready.home.workspace_id).service_principals.create(display_name="robot")


@pytest.fixture
def name(ready, robot):
    return f"accounts/{ready.home.account_id}/servicePrincipals/{robot.application_id}/ruleSets/default"


def put(by, name, etag, *rules):
    grants = [GrantRule(role=role, principals=list(names)) for role, names in rules]
    return by.access_control.update_rule_set(name=name, rule_set=RuleSetUpdateRequest(name=name, etag=etag, grant_rules=grants))


def test_read_change_write(a, name, make_user):
    make_user("Ann@x.org")
    there = a.access_control.get_rule_set(name=name, etag="")
    assert (there.name, there.grant_rules or []) == (name, [])
    written = put(a, name, there.etag, (MANAGER, ["users/ann@x.org"]), (USER, ["users/Ann@x.org"]))
    assert written.etag != there.etag
    assert [(rule.role, rule.principals) for rule in written.grant_rules] == [
        (MANAGER, ["users/Ann@x.org"]), (USER, ["users/Ann@x.org"])
    ]  # fmt: skip
    with pytest.raises(ResourceConflict, match="Conflict with another RuleSet operation"):
        put(a, name, there.etag)
    assert a.access_control.get_rule_set(name=name, etag=there.etag).etag == written.etag
    assert not put(a, name, written.etag).grant_rules


def test_a_manager_keeps_secrets_and_rules(a, account_of, name, make_user, robot):
    ann, _ = make_user("ann@x.org")
    by_ann = account_of(ann.principal_id)
    for call in (lambda: by_ann.service_principal_secrets.create(robot.id),
                 lambda: by_ann.access_control.get_rule_set(name=name, etag="")):  # fmt: skip
        with pytest.raises(PermissionDenied):
            call()
    etag = a.access_control.get_rule_set(name=name, etag="").etag
    put(a, name, etag, (USER, ["users/ann@x.org"]))
    with pytest.raises(PermissionDenied):
        by_ann.service_principal_secrets.create(robot.id)
    put(a, name, a.access_control.get_rule_set(name=name, etag="").etag, (MANAGER, ["users/ann@x.org"]))
    secret = by_ann.service_principal_secrets.create(robot.id)
    by_ann.service_principal_secrets.delete(robot.id, secret.id)
    put(by_ann, name, by_ann.access_control.get_rule_set(name=name, etag="").etag)
    with pytest.raises(PermissionDenied):
        by_ann.service_principal_secrets.create(robot.id)


def test_through_a_group_of_the_account(a, account_of, name, make_user, robot, store, ready):
    ann, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        team = registry.create(tx, ready.home.account_id, principals.GROUP, "team")
        registry.add_member(tx, team.principal_id, ann.principal_id)
    put(a, name, a.access_control.get_rule_set(name=name, etag="").etag, (MANAGER, ["groups/team"]))
    assert account_of(ann.principal_id).service_principal_secrets.create(robot.id).id
    group = f"accounts/{ready.home.account_id}/groups/{team.principal_id}/ruleSets/default"
    put(a, group, a.access_control.get_rule_set(name=group, etag="").etag, ("roles/group.manager", ["users/ann@x.org"]))
    assert account_of(ann.principal_id).access_control.get_rule_set(name=group, etag="").grant_rules


def test_the_proxy_of_a_workspace(client, ready, name, make_user):
    w = client(ready.token, ready.home.workspace_id)
    etag = w.account_access_control_proxy.get_rule_set(name=name, etag="").etag
    grants = [GrantRule(role=USER, principals=["users/admin@boathouse.local"])]
    rules = RuleSetUpdateRequest(name=name, etag=etag, grant_rules=grants)
    assert w.account_access_control_proxy.update_rule_set(name=name, rule_set=rules).grant_rules
    _, token = make_user("ann@x.org")
    with pytest.raises(PermissionDenied, match="neither an account admin nor a manager"):
        client(token, ready.home.workspace_id).account_access_control_proxy.get_rule_set(name=name, etag="")
    resource = name.removesuffix("/ruleSets/default")
    assert [r.name for r in w.account_access_control_proxy.get_assignable_roles_for_resource(resource=resource).roles] == [
        MANAGER, USER
    ]  # fmt: skip


def test_bad_input(a, ready, name):
    account = f"accounts/{ready.home.account_id}"
    assert [r.name for r in a.access_control.get_assignable_roles_for_resource(resource=account).roles] == ["roles/billing.admin"]
    etag = a.access_control.get_rule_set(name=name, etag="").etag
    with pytest.raises(InvalidParameterValue, match="'roles/x' is not allowed"):
        put(a, name, etag, ("roles/x", []))
    for nobody in ("users/nobody@x.org", "x", "roles/admin@boathouse.local"):
        with pytest.raises(InvalidParameterValue, match="is not in the account"):
            put(a, name, etag, (USER, [nobody]))
    for nothing in (f"{account}/servicePrincipals/x", f"{account}/groups/1", "accounts/other"):
        with pytest.raises(NotFound):
            a.access_control.get_rule_set(name=f"{nothing}/ruleSets/default", etag="")
    for wrong in ("x", f"{account}/ruleSets/other", f"{account}/things/1/ruleSets/default"):
        with pytest.raises(InvalidParameterValue, match="^name"):
            a.access_control.get_rule_set(name=wrong, etag="")
