"""Names, nested groups and who is an admin."""

import pytest
from sqlalchemy import insert

from boathouse.identity import principals, registry, revision, workspaces
from boathouse.identity.tables import workspaces as workspaces_table


def group(tx, ready, name, workspace_id=None):
    where = ready.home.workspace_id if workspace_id is None else workspace_id
    return registry.create(tx, ready.home.account_id, principals.GROUP, name, workspace_id=where)


def test_names_compare_without_case_and_users_come_first(store, ready):
    with store.transaction() as tx:
        user = registry.create(tx, ready.home.account_id, principals.USER, "Same@x.org")
        group(tx, ready, "same@x.org")
        every = (principals.USER, principals.SERVICE_PRINCIPAL, principals.GROUP)
        found = principals.by_name(tx, ready.home.account_id, "SAME@X.ORG", every, ready.home.workspace_id)
        assert found == user
        assert principals.by_name(tx, ready.home.account_id, "nobody") is None
        assert principals.by_name(tx, "another account", "same@x.org") is None
        with pytest.raises(registry.NameTaken) as taken:
            registry.create(tx, ready.home.account_id, principals.USER, "same@X.org")
        assert taken.value.existing == user.principal_id


def test_groups_of_nested(store, ready, make_user):
    ann, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        a, b, c = (group(tx, ready, name) for name in "abc")
        registry.add_member(tx, a.principal_id, ann.principal_id)
        registry.add_member(tx, b.principal_id, a.principal_id)
        registry.add_member(tx, c.principal_id, b.principal_id)
        registry.add_member(tx, c.principal_id, ann.principal_id)
        found = principals.groups_of(tx, ann.principal_id, ready.home.workspace_id)
        assert [(g.name, g.direct) for g in found] == [("a", True), ("b", False), ("c", True), ("users", True)]
        with pytest.raises(registry.WouldCycle):
            registry.add_member(tx, a.principal_id, c.principal_id)
        with pytest.raises(registry.WouldCycle):
            registry.add_member(tx, a.principal_id, a.principal_id)
        assert registry.remove_member(tx, a.principal_id, ann.principal_id)
        assert not registry.remove_member(tx, a.principal_id, ann.principal_id)
        assert {g.name for g in principals.groups_of(tx, ann.principal_id, ready.home.workspace_id)} == {"c", "users"}


def test_a_cycle_in_the_table_does_not_hang(store, ready, make_user):
    from boathouse.identity.tables import memberships

    ann, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        a, b = group(tx, ready, "a"), group(tx, ready, "b")
        registry.add_member(tx, a.principal_id, ann.principal_id)
        registry.add_member(tx, b.principal_id, a.principal_id)
        tx.execute(insert(memberships).values(group_id=a.principal_id, member_id=b.principal_id))
        assert {g.name for g in principals.groups_of(tx, ann.principal_id, ready.home.workspace_id)} == {"a", "b", "users"}


def test_groups_of_another_workspace_lead_nowhere(store, ready, make_user):
    ann, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        tx.execute(
            insert(workspaces_table).values(
                workspace_id=77, account_id=ready.home.account_id, name="b", deployment_name="b", cloud="aws", created_at=1
            )
        )
        there = group(tx, ready, "theirs", 77)
        admins = group(tx, ready, "admins", 77)
        registry.add_member(tx, there.principal_id, ann.principal_id)
        registry.add_member(tx, admins.principal_id, there.principal_id)
        assert {g.name for g in principals.groups_of(tx, ann.principal_id, ready.home.workspace_id)} == {"users"}
        assert not principals.is_admin(tx, ann.principal_id, ready.home.workspace_id)
        assert principals.is_admin(tx, ann.principal_id, 77)
        assert principals.in_workspace(tx, 77, "ann@x.org") == ann
        assert principals.in_workspace(tx, 77, ready.home.admin) is None
        assert principals.in_workspace(tx, 78, "ann@x.org") is None


def test_a_group_of_the_account_brings_its_members_in(store, ready):
    with store.transaction() as tx:
        bob = registry.create(tx, ready.home.account_id, principals.USER, "bob@x.org")
        team = group(tx, ready, "team", 0)
        registry.add_member(tx, team.principal_id, bob.principal_id)
        assert not principals.assigned(tx, bob.principal_id, ready.home.workspace_id)
        users = principals.by_name(tx, ready.home.account_id, "users", ["group"], ready.home.workspace_id)
        registry.add_member(tx, users.principal_id, team.principal_id)
        assert principals.assigned(tx, bob.principal_id, ready.home.workspace_id)
        ids = {row.member_id for row in tx.execute(principals.assigned_ids(ready.home.workspace_id).select())}
        assert ids == {bob.principal_id, team.principal_id, ready.home.admin_id}


def test_entitlements_come_through_groups(store, ready, make_user):
    ann, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        registry.grant_entitlements(tx, ready.home.workspace_id, ann.principal_id, ["allow-cluster-create"])
        registry.grant_entitlements(tx, ready.home.workspace_id, ann.principal_id, ["allow-cluster-create"])
        assert principals.entitlements_of(tx, ann.principal_id, ready.home.workspace_id) == {
            "allow-cluster-create", "workspace-access", "databricks-sql-access",
        }  # fmt: skip


def test_every_change_raises_the_revision(store, ready):
    def after(change):
        here = revision.in_process(store)
        with store.transaction() as tx:
            stored = revision.stored(tx)
            change(tx)
            assert revision.stored(tx) > stored
            assert revision.in_process(store) == here
        assert revision.in_process(store) > here

    made = {}
    account, workspace = ready.home.account_id, ready.home.workspace_id
    after(lambda tx: made.update(u=registry.create(tx, account, "user", "u@x"), g=group(tx, ready, "g")))
    user, team = made["u"].principal_id, made["g"].principal_id
    after(lambda tx: registry.add_member(tx, team, user))
    after(lambda tx: registry.set_active(tx, user, False))
    after(lambda tx: registry.grant_entitlements(tx, workspace, user, ["x"]))
    after(lambda tx: registry.grant_account_role(tx, user, "account_admin"))
    after(lambda tx: registry.leave_workspace(tx, workspace, user))
    after(lambda tx: registry.remove(tx, team))
    after(lambda tx: workspaces.set_conf(tx, workspace, "enableDcs", "true"))


def test_workspaces_are_found(store, ready):
    with store.read() as reader:
        first = workspaces.first(reader)
        assert first.workspace_id == ready.home.workspace_id and first.cloud == "aws"
        assert workspaces.by_deployment(reader, "BoatHouse") == first
        assert workspaces.get(reader, 5) is None
        assert workspaces.conf(reader, first.workspace_id, "enableDcs") is None
