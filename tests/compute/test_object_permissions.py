"""The permissions API on clusters and pools, by the unmodified SDK, and what it lets people do at once."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied
from databricks.sdk.service.compute import ClusterAccessControlRequest, ClusterPermissionLevel
from databricks.sdk.service.compute import InstancePoolAccessControlRequest as PoolRequest
from databricks.sdk.service.compute import InstancePoolPermissionLevel as PoolLevel
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel

from boathouse.identity import principals
from tests.compute.conftest import API, SPEC, let_users_create

ATTACH, RESTART, MANAGE = (
    ClusterPermissionLevel.CAN_ATTACH_TO, ClusterPermissionLevel.CAN_RESTART, ClusterPermissionLevel.CAN_MANAGE,
)  # fmt: skip


@pytest.fixture
def host(served, store, ready, around):
    let_users_create(store, ready)
    return served(*API, "boathouse.auth.discovery", "boathouse.identity.me")


@pytest.fixture
def admin(host, ready):
    return WorkspaceClient(host=host, token=ready.token)


@pytest.fixture
def person(host, make_user):
    return lambda name, *groups: WorkspaceClient(host=host, token=make_user(name, groups=groups)[1])


def made(client, **more):
    return client.api_client.do("POST", "/api/2.1/clusters/create", body={**SPEC, "data_security_mode": "NONE", **more})[
        "cluster_id"
    ]


def to(name, level):
    return ClusterAccessControlRequest(user_name=name, permission_level=level)


def given(answer):
    return {
        one.user_name or one.group_name or one.service_principal_name: (
            one.all_permissions[0].permission_level.value, one.all_permissions[0].inherited,
        )
        for one in answer.access_control_list
    }  # fmt: skip


def test_the_creator_manages_and_admins_inherit(admin, person):
    ann = person("ann@x.org")
    cluster_id = made(ann)
    answer = ann.clusters.get_permissions(cluster_id)
    assert (answer.object_id, answer.object_type) == (f"/clusters/{cluster_id}", "cluster")
    assert given(answer) == {"ann@x.org": ("CAN_MANAGE", False), "admins": ("CAN_MANAGE", True)}
    assert answer.access_control_list[0].display_name == "ann@x.org"
    assert answer.access_control_list[1].all_permissions[0].inherited_from_object == ["/clusters/"]
    levels = ann.clusters.get_permission_levels(cluster_id).permission_levels
    assert [level.permission_level for level in levels] == [ATTACH, RESTART, MANAGE]
    assert all(level.description for level in levels)


def test_the_story_of_the_seed(admin, person):
    """An admin makes a personal cluster for somebody: the name alone opens nothing, CAN_RESTART does."""
    ann = person("ann@x.org")
    cluster_id = made(admin, data_security_mode="SINGLE_USER", single_user_name="ann@x.org")
    with pytest.raises(PermissionDenied, match=f"ann@x.org does not have Attach permissions on {cluster_id}"):
        ann.clusters.get(cluster_id)
    assert list(ann.clusters.list()) == []
    admin.permissions.set(
        "clusters", cluster_id,
        access_control_list=[AccessControlRequest(user_name="ann@x.org", permission_level=PermissionLevel.CAN_RESTART)],
    )  # fmt: skip
    assert [each.cluster_id for each in ann.clusters.list()] == [cluster_id]
    ann.clusters.delete(cluster_id)
    with pytest.raises(PermissionDenied, match="does not have Manage permissions"):
        ann.clusters.resize(cluster_id, num_workers=4)
    with pytest.raises(PermissionDenied, match="does not have Manage permissions"):
        ann.clusters.update_permissions(cluster_id, access_control_list=[to("ann@x.org", MANAGE)])


def test_put_replaces_and_patch_merges(admin, person):
    ann, bob, eve = person("ann@x.org"), person("bob@x.org"), person("eve@x.org")
    cluster_id = made(ann)
    answer = ann.clusters.update_permissions(cluster_id, access_control_list=[to("bob@x.org", ATTACH)])
    assert given(answer)["bob@x.org"] == ("CAN_ATTACH_TO", False)
    assert given(answer)["ann@x.org"] == ("CAN_MANAGE", False)
    assert bob.clusters.get(cluster_id).cluster_id == cluster_id
    answer = ann.clusters.update_permissions(cluster_id, access_control_list=[to("BOB@x.org", RESTART)])
    assert given(answer)["bob@x.org"] == ("CAN_RESTART", False)
    answer = admin.clusters.set_permissions(cluster_id, access_control_list=[to("eve@x.org", MANAGE)])
    assert given(answer) == {"eve@x.org": ("CAN_MANAGE", False), "admins": ("CAN_MANAGE", True)}
    for gone in (ann, bob):
        with pytest.raises(PermissionDenied):
            gone.clusters.get(cluster_id)
        with pytest.raises(PermissionDenied):
            gone.clusters.get_permissions(cluster_id)
    eve.clusters.permanent_delete(cluster_id)


def test_groups_count_and_nested_ones_too(admin, person, store, ready):
    bob = person("bob@x.org", "crew")
    cluster_id = made(admin)
    admin.clusters.set_permissions(
        cluster_id, access_control_list=[ClusterAccessControlRequest(group_name="crew", permission_level=RESTART)]
    )
    assert bob.clusters.get(cluster_id).cluster_id == cluster_id
    assert [each.cluster_id for each in bob.clusters.list()] == [cluster_id]
    from boathouse.identity import registry

    with store.transaction() as tx:
        home = ready.home
        fleet = registry.create(tx, home.account_id, principals.GROUP, "fleet", workspace_id=home.workspace_id)
        crew = principals.by_name(tx, home.account_id, "crew", [principals.GROUP], home.workspace_id)
        registry.add_member(tx, fleet.principal_id, crew.principal_id)
    admin.clusters.set_permissions(
        cluster_id, access_control_list=[ClusterAccessControlRequest(group_name="fleet", permission_level=ATTACH)]
    )
    assert bob.clusters.get(cluster_id).cluster_id == cluster_id
    admin.clusters.set_permissions(cluster_id, access_control_list=[])
    with pytest.raises(PermissionDenied):
        bob.clusters.get(cluster_id)


def test_bad_input_is_named(admin, person, host, ready):
    person("ann@x.org")
    cluster_id = made(admin)
    path = f"/api/2.0/permissions/clusters/{cluster_id}"

    def put(*entries):
        admin.api_client.do("PUT", path, body={"access_control_list": list(entries)})

    with pytest.raises(NotFound, match=r"Principal: UserName\(nobody@x.org\) does not exist"):
        put({"user_name": "nobody@x.org", "permission_level": "CAN_MANAGE"})
    with pytest.raises(NotFound, match=r"Principal: GroupName\(none\) does not exist"):
        put({"group_name": "none", "permission_level": "CAN_MANAGE"})
    with pytest.raises(NotFound, match=r"Principal: ServicePrincipalName\(ann@x.org\) does not exist"):
        put({"service_principal_name": "ann@x.org", "permission_level": "CAN_MANAGE"})
    with pytest.raises(InvalidParameterValue, match=r"permission_level is 'CAN_USE'.*CAN_ATTACH_TO, CAN_RESTART, CAN_MANAGE"):
        put({"user_name": "ann@x.org", "permission_level": "CAN_USE"})
    with pytest.raises(InvalidParameterValue, match="permission_level is missing"):
        put({"user_name": "ann@x.org"})
    with pytest.raises(InvalidParameterValue, match=r"access_control_list\[0\]: exactly one of .*; 0 are"):
        put({"permission_level": "CAN_MANAGE"})
    with pytest.raises(InvalidParameterValue, match="exactly one of .*; 2 are"):
        put({"user_name": "ann@x.org", "group_name": "admins", "permission_level": "CAN_MANAGE"})
    with pytest.raises(InvalidParameterValue, match="Cannot remove admins's CAN_MANAGE permission on"):
        put({"group_name": "admins", "permission_level": "CAN_RESTART"})
    with pytest.raises(BadRequest, match="Unknown field"):
        put({"user_name": "ann@x.org", "level": "CAN_MANAGE"})
    # Nothing of it was written.
    assert given(admin.clusters.get_permissions(cluster_id)) == {
        ready.home.admin: ("CAN_MANAGE", False), "admins": ("CAN_MANAGE", True),
    }  # fmt: skip
    with pytest.raises(InvalidParameterValue, match="does not exist"):
        admin.clusters.get_permissions("0101-000000-none0000")


def test_named_twice_the_higher_holds(admin, person):
    person("ann@x.org")
    cluster_id = made(admin)
    answer = admin.clusters.set_permissions(cluster_id, access_control_list=[to("ann@x.org", MANAGE), to("ann@x.org", ATTACH)])
    assert given(answer)["ann@x.org"] == ("CAN_MANAGE", False)


def test_a_new_owner_manages_and_the_old_one_does_not(admin, person, store):
    ann, bob = person("ann@x.org"), person("bob@x.org")
    cluster_id = made(ann)
    from sqlalchemy import update

    from boathouse.compute.tables import clusters

    with store.transaction() as tx:
        tx.execute(update(clusters).values(state="TERMINATED", terminated_time=store.clock()))
    admin.clusters.change_owner(cluster_id, "bob@x.org")
    assert bob.clusters.get(cluster_id).creator_user_name == "bob@x.org"
    with pytest.raises(PermissionDenied):
        ann.clusters.get(cluster_id)


def test_pools(admin, person):
    ann, bob = person("ann@x.org"), person("bob@x.org")
    pool_id = admin.instance_pools.create("fast", "i3.xlarge").instance_pool_id
    assert list(bob.instance_pools.list()) == []
    with pytest.raises(PermissionDenied, match=f"bob@x.org does not have Attach permissions on {pool_id}"):
        made(bob, node_type_id=None, instance_pool_id=pool_id)
    admin.instance_pools.set_permissions(
        pool_id, access_control_list=[PoolRequest(group_name="users", permission_level=PoolLevel.CAN_ATTACH_TO)]
    )
    assert [pool.instance_pool_id for pool in bob.instance_pools.list()] == [pool_id]
    assert made(bob, node_type_id=None, instance_pool_id=pool_id)
    with pytest.raises(PermissionDenied, match="does not have Manage permissions"):
        bob.instance_pools.delete(pool_id)
    admin.instance_pools.update_permissions(
        pool_id, access_control_list=[PoolRequest(user_name="ann@x.org", permission_level=PoolLevel.CAN_MANAGE)]
    )
    answer = ann.instance_pools.get_permissions(pool_id)
    assert (answer.object_id, answer.object_type) == (f"/instance-pools/{pool_id}", "instance-pool")
    assert given(answer) == {
        "ann@x.org": ("CAN_MANAGE", False), "users": ("CAN_ATTACH_TO", False), "admins": ("CAN_MANAGE", True),
    }  # fmt: skip
    assert len(ann.instance_pools.get_permission_levels(pool_id).permission_levels) == 2
    ann.instance_pools.delete(pool_id)
    with pytest.raises(NotFound):
        ann.instance_pools.get_permissions(pool_id)
