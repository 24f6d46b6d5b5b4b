"""People who leave while their clusters run, removed by the unmodified SDK."""

import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.service.iam import Patch, PatchOp
from sqlalchemy import insert, select

from boathouse.commands.tables import contexts
from boathouse.compute import states
from boathouse.compute.tables import clusters
from boathouse.identity import principals, registry
from boathouse.reconcile.leases import due
from boathouse.server.control import DEPARTURE_MODULES
from tests.compute.conftest import API, SPEC, let_users_create

MODULES = (
    *API, "boathouse.auth.discovery", "boathouse.identity.me", "boathouse.identity.scim", "boathouse.identity.scim_account",
    "boathouse.workspace.secrets", *DEPARTURE_MODULES,
)  # fmt: skip


@pytest.fixture
def host(served, store, ready, around):
    let_users_create(store, ready)
    return served(*MODULES)


@pytest.fixture
def admin(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


def made(client, **more):
    return client.api_client.do("POST", "/api/2.1/clusters/create", body={**SPEC, **more})["cluster_id"]


def row_of(store, cluster_id):
    with store.read() as reader:
        return reader.execute(select(clusters).where(clusters.c.cluster_id == cluster_id)).one()


@pytest.mark.parametrize("way", ["workspace", "group", "account"])
def test_a_user_removed_while_the_cluster_runs(host, admin, store, ready, make_user, way):
    ann, token = make_user("ann@x.org")
    bob, bobs_token = make_user("bob@x.org", groups=["admins"])
    anns = WorkspaceClient(host=host, token=token)
    with store.transaction() as tx:
        registry.grant_entitlements(tx, ready.home.workspace_id, ann.principal_id, ["allow-instance-pool-create"])
    running, ended = made(anns), made(anns)
    dedicated = made(admin, data_security_mode="SINGLE_USER", single_user_name="ann@x.org")
    others = made(admin)
    pool = anns.instance_pools.create(instance_pool_name="anns", node_type_id="i3.xlarge").instance_pool_id
    with store.transaction() as tx:
        tx.execute(clusters.update().values(state=states.RUNNING))
        tx.execute(clusters.update().where(clusters.c.cluster_id == ended).values(state=states.TERMINATED))
        tx.execute(due.delete())
        tx.execute(
            insert(contexts).values(
                context_id="1", workspace_id=ready.home.workspace_id, cluster_id=others, launch=1, node_id="n", language="python",
                principal_id=ann.principal_id, principal="ann@x.org", status="Running", created_at=0,
            )
        )  # fmt: skip
    if way == "workspace":
        WorkspaceClient(host=host, token=bobs_token).users.delete(str(ann.principal_id))
        heir = bob
    elif way == "group":
        users = next(group for group in admin.groups.list(filter='displayName eq "users"'))
        leave = Patch(op=PatchOp.REMOVE, path=f'members[value eq "{ann.principal_id}"]')
        admin.groups.patch(users.id, operations=[leave])
        with store.read() as reader:
            heir = principals.by_id(reader, ready.home.admin_id)
    else:
        AccountClient(host=host, token=ready.token, account_id=ready.home.account_id).users.delete(str(ann.principal_id))
        with store.read() as reader:
            heir = principals.by_id(reader, ready.home.admin_id)
    assert heir is not None
    for cluster_id in (running, ended):
        row = row_of(store, cluster_id)
        assert (row.creator_id, row.creator, row.editor) == (heir.principal_id, heir.name, heir.name)
        assert admin.clusters.get_permissions(cluster_id).access_control_list[0].user_name == heir.name
    for cluster_id in (running, dedicated):
        row = row_of(store, cluster_id)
        assert (row.state, row.wish) == (states.TERMINATING, states.WISH_TERMINATED)
        assert row.state_message == "ann@x.org was removed from the workspace."
        assert admin.clusters.events(cluster_id).__next__().type.value == "TERMINATING"
    assert row_of(store, ended).state == states.TERMINATED
    assert row_of(store, others).state == states.RUNNING
    with store.read() as reader:
        woken = set(reader.execute(select(due.c.key).where(due.c.kind == states.KIND)).scalars())
        assert {running, dedicated} <= woken
        assert reader.execute(select(contexts.c.ending)).scalar_one() is True
    assert admin.instance_pools.get_permissions(pool).access_control_list[0].user_name == heir.name


def test_one_who_comes_back_has_nothing_of_before(host, admin, store, ready, make_user):
    ann, token = make_user("ann@x.org")
    anns = WorkspaceClient(host=host, token=token)
    cluster_id = made(anns)
    anns.secrets.create_scope("anns")
    admin.users.delete(str(ann.principal_id))
    assert admin.users.create(user_name="ann@x.org").id == str(ann.principal_id)
    assert list(admin.secrets.list_acls("anns")) == []
    assert "ann@x.org" not in [entry.user_name for entry in admin.clusters.get_permissions(cluster_id).access_control_list]


def test_without_another_admin_nobody_inherits(store, ready, make_user):
    """A workspace whose only admin is the one that is being removed, seen from below the rule that refuses it."""
    from boathouse.identity import departures

    ann, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        registry.set_active(tx, ready.home.admin_id, False)
        by = principals.by_id(tx, ready.home.admin_id)
        assert by is not None
        assert departures._heir(tx, ready.home.workspace_id, ann, by) is None
