"""The account's metastores and their assignment to workspaces, by the unmodified AccountClient."""

import pytest
from databricks.sdk import AccountClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service import catalog

from boathouse.auth import credentials
from boathouse.identity import registry
from boathouse.identity.principals import ADMINS


@pytest.fixture
def a(host, ready, w):
    return AccountClient(host=host, account_id=ready.home.account_id, token=ready.token)


@pytest.fixture
def second(store, ready):
    """Another workspace of the account, with its own admin's group."""
    with store.transaction() as tx:
        workspace_id = registry.new_id()
        groups = registry.create_workspace(tx, ready.home.account_id, "two", "two", "aws", workspace_id, {})
        registry.add_member(tx, groups[ADMINS].principal_id, ready.home.admin_id)
    return workspace_id


def create(a, **fields):
    return a.metastores.create(metastore_info=catalog.CreateAccountsMetastore(**fields)).metastore_info


def test_a_metastore_from_its_making_to_its_end(a, w, ready):
    made = create(a, name="east", region="us-east-1", storage_root="s3://b/east")
    assert (made.name, made.region, made.owner) == ("east", "us-east-1", w.current_user.me().user_name)
    assert a.metastores.get(made.metastore_id).metastore_info == made
    assert w.metastores.get(made.metastore_id).name == "east", "both planes show the same"
    with pytest.raises(ResourceConflict, match="in the region us-east-1"):
        create(a, name="other", region="us-east-1")
    change = catalog.UpdateAccountsMetastore(owner="", delta_sharing_scope=catalog.DeltaSharingScopeEnum.INTERNAL)
    changed = a.metastores.update(made.metastore_id, metastore_info=change).metastore_info
    assert changed.owner == "System user"
    assert [each.metastore_id for each in a.metastores.list() if each.name == "east"] == [made.metastore_id]
    a.metastores.delete(made.metastore_id)
    with pytest.raises(NotFound):
        a.metastores.get(made.metastore_id)


def test_assignment_of_workspaces(a, w, ready, second):
    home = ready.home.workspace_id
    first = a.metastore_assignments.get(home).metastore_assignment
    assert first.metastore_id == w.metastores.current().metastore_id
    assert a.metastore_assignments.get(second).metastore_assignment.metastore_id == first.metastore_id
    assert set(a.metastore_assignments.list(first.metastore_id)) == {home, second}
    east = create(a, name="east", region="us-east-1").metastore_id
    wanted = catalog.CreateMetastoreAssignment(workspace_id=second, metastore_id=east, default_catalog_name="lake")
    a.metastore_assignments.create(second, east, metastore_assignment=wanted)
    now = a.metastore_assignments.get(second).metastore_assignment
    assert (now.metastore_id, now.default_catalog_name, now.workspace_id) == (east, "lake", second)
    assert list(a.metastore_assignments.list(east)) == [second]
    assert list(a.metastore_assignments.list(first.metastore_id)) == [home]
    with pytest.raises(BadRequest, match="is assigned to 1 workspaces"):
        a.metastores.delete(east)
    other = catalog.UpdateMetastoreAssignment(workspace_id=second, default_catalog_name="sea")
    a.metastore_assignments.update(second, east, metastore_assignment=other)
    assert a.metastore_assignments.get(second).metastore_assignment.default_catalog_name == "sea"
    a.metastore_assignments.delete(second, east)
    with pytest.raises(NotFound, match=f"No metastore assigned for the workspace {second}"):
        a.metastore_assignments.get(second)
    with pytest.raises(InvalidParameterValue, match="does not have the metastore"):
        a.metastore_assignments.delete(second, east)
    a.metastores.delete(east, force=True)


def test_what_is_not_there_or_does_not_fit(a, ready):
    home = ready.home.workspace_id
    first = a.metastore_assignments.get(home).metastore_assignment.metastore_id
    for call in (
        lambda: a.metastores.get("no"), lambda: a.metastores.delete("no"), lambda: list(a.metastore_assignments.list("no")),
        lambda: a.metastore_assignments.create(home, "no"), lambda: a.metastore_assignments.create(5, first),
        lambda: a.metastore_assignments.get(5),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            call()
    wrong = catalog.UpdateMetastoreAssignment(workspace_id=home, metastore_id="another")
    with pytest.raises(InvalidParameterValue, match="metastore_assignment.metastore_id: 'another' is not the one of the path"):
        a.metastore_assignments.update(home, first, metastore_assignment=wrong)


def test_only_account_admins(a, host, ready, make_user, store, keys):
    """A workspace's admin is none of the account, and a metastore's owner neither."""
    boss, _ = make_user("boss@x.org", groups=["admins"])
    with store.transaction() as tx:
        token, _ = credentials.issue(tx, keys, credentials.OAUTH, boss.principal_id, lifetime_ms=3_600_000)
    theirs = AccountClient(host=host, account_id=ready.home.account_id, token=token)
    home = ready.home.workspace_id
    first = a.metastore_assignments.get(home).metastore_assignment.metastore_id
    a.metastores.update(first, metastore_info=catalog.UpdateAccountsMetastore(owner="boss@x.org"))
    for call in (
        lambda: list(theirs.metastores.list()), lambda: theirs.metastores.get(first), lambda: theirs.metastores.delete(first),
        lambda: create(theirs, name="x", region="x"), lambda: theirs.metastores.update(
            first, metastore_info=catalog.UpdateAccountsMetastore(owner="boss@x.org")
        ),
        lambda: list(theirs.metastore_assignments.list(first)), lambda: theirs.metastore_assignments.get(home),
        lambda: theirs.metastore_assignments.create(home, first), lambda: theirs.metastore_assignments.update(home, first),
        lambda: theirs.metastore_assignments.delete(home, first),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied):
            call()
