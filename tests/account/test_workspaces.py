"""Workspaces by the unmodified SDK: made, changed, chosen by header and host name, deleted with people and clusters in them."""

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service import provisioning
from sqlalchemy import select

from boathouse.account import closing, deployment_names
from boathouse.compute import workspace_end
from boathouse.compute.tables import clusters, instance_pools
from boathouse.identity import principals, registry, workspaces
from boathouse.identity.tables import principals as principals_table
from boathouse.reconcile import SETTLED
from boathouse.store import metadata


def test_making_one(a, client, ready):
    made = a.workspaces.create(workspace_name="second", deployment_name="Second", aws_region="eu-west-1",
                               custom_tags={"team": "x"}).result()  # fmt: skip
    assert made.workspace_status == provisioning.WorkspaceStatus.RUNNING
    assert (made.deployment_name, made.cloud, made.aws_region, made.custom_tags) == ("second", "aws", "eu-west-1", {"team": "x"})
    assert [each.workspace_id for each in a.workspaces.list()] == [ready.home.workspace_id, made.workspace_id]
    assert a.workspaces.get(made.workspace_id) == made
    w = client(ready.token, made.workspace_id)
    assert w.get_workspace_id() == made.workspace_id
    assert [group.display for group in w.current_user.me().groups] == ["admins", "users"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, "workspace_name"), ({"workspace_name": " x"}, "workspace_name"), ({"workspace_name": "x" * 129}, "workspace_name"),
        ({"deployment_name": "a_b"}, "deployment_name"), ({"deployment_name": "-a"}, "deployment_name"),
        ({"deployment_name": "apps"}, "deployment_name"), ({"network_id": "n"}, "network_id"), ({"cloud": "x"}, "cloud"),
        ({"cloud": "azure", "aws_region": "r"}, "aws_region"), ({"custom_tags": {"": "x"}}, "custom_tags"),
        ({"compute_mode": provisioning.CustomerFacingComputeMode.SERVERLESS}, "compute_mode"),
    ],
)  # fmt: skip
def test_what_a_creation_may_not_say(a, given, names):
    with pytest.raises(InvalidParameterValue, match=f"^{names}"):
        a.workspaces.create(**({"workspace_name": "second"} if given and "workspace_name" not in given else {}), **given)


def test_names_are_unique(a):
    a.workspaces.create(workspace_name="second", deployment_name="second")
    with pytest.raises((AlreadyExists, ResourceConflict), match="workspace_name"):
        a.workspaces.create(workspace_name="second")
    with pytest.raises((AlreadyExists, ResourceConflict), match="deployment_name"):
        a.workspaces.create(workspace_name="third", deployment_name="SECOND")


def test_generated_deployment_names_are_allowed():
    assert deployment_names.violation(deployment_names.generated()) is None


def test_changing_one(a):
    made = a.workspaces.create(workspace_name="second").result()
    made.custom_tags = {"team": "y"}
    made.workspace_name = "renamed"
    changed = a.workspaces.update(made.workspace_id, made, update_mask="custom_tags").result()
    assert (changed.custom_tags, changed.workspace_name) == ({"team": "y"}, "second")
    assert a.workspaces.update(made.workspace_id, made).result().workspace_name == "renamed"
    made.deployment_name = "other"
    with pytest.raises(InvalidParameterValue, match="deployment_name: cannot be changed"):
        a.workspaces.update(made.workspace_id, made)
    with pytest.raises(InvalidParameterValue, match="update_mask: 'nonsense'"):
        a.workspaces.update(made.workspace_id, made, update_mask="nonsense")


def test_only_account_admins(ready, account_of, make_user):
    ann, _ = make_user("ann@x.org", groups=["admins"])
    by_ann = account_of(ann.principal_id)
    home = ready.home.workspace_id
    for call in (
        lambda: by_ann.workspaces.create(workspace_name="x"), lambda: list(by_ann.workspaces.list()),
        lambda: by_ann.workspaces.get(home), lambda: by_ann.workspaces.delete(home),
        lambda: by_ann.workspaces.update(home, provisioning.Workspace(workspace_name="x")),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied, match="Only account admins"):
            call()


def test_hosts_and_headers_choose(api_of, ready, modules):
    api = api_of(*modules)
    made = api.post(f"/api/2.0/accounts/{ready.home.account_id}/workspaces",
                    json={"workspace_name": "second", "deployment_name": "second"}).json()  # fmt: skip
    config = api.get("/.well-known/databricks-config", base_url="http://second.localhost:8470").json()
    assert config["workspace_id"] == str(made["workspace_id"])
    me = "/api/2.0/preview/scim/v2/Me"
    number = str(made["workspace_id"])
    assert api.get(me, base_url="http://second.localhost:8470").headers["X-Databricks-Org-Id"] == number
    for header in ("X-Databricks-Workspace-Id", "X-Databricks-Org-Id"):
        assert api.get(me, headers={header: number}).headers["X-Databricks-Org-Id"] == number
    assert api.get(me).headers["X-Databricks-Org-Id"] == str(ready.home.workspace_id)


def test_two_workspaces_see_nothing_of_each_other(a, client, ready):
    second = a.workspaces.create(workspace_name="second").result().workspace_id
    w1, w2 = client(ready.token, ready.home.workspace_id), client(ready.token, second)
    ann = w1.users.create(user_name="ann@x.org")
    w1.groups.create(display_name="makers")
    w1.service_principals.create(display_name="robot")
    w1.secrets.create_scope("s")
    w1.instance_pools.create("p", "i3.xlarge")
    w1.tokens.create(comment="c")
    w1.workspace.mkdirs("/Shared/mine")
    w1.dbfs.put("/f", contents="eA==")
    assert [u.user_name for u in w2.users.list()] == [ready.home.admin]
    assert [g.display_name for g in w2.groups.list()] == ["admins", "users"]
    assert list(w2.service_principals.list()) == list(w2.secrets.list_scopes()) == list(w2.instance_pools.list()) == []
    assert [t.comment for t in w2.tokens.list()] == ["bootstrap token"]
    assert "/Shared/mine" not in [o.path for o in w2.workspace.list("/Shared")]
    assert [f.path for f in w2.dbfs.list("/") if f.path == "/f"] == []
    with pytest.raises(NotFound):
        w2.users.get(ann.id)
    anns = w1.tokens.create(comment="d").token_value
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        client(anns, second).current_user.me()


def test_a_second_workspace_is_not_entered_by_members_of_the_first(a, client, make_user):
    second = a.workspaces.create(workspace_name="second").result().workspace_id
    _, token = make_user("ann@x.org", groups=["admins"])
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        client(token, second).current_user.me()


def test_deleting_one_with_people_in_it(a, client, ready, store):
    second = a.workspaces.create(workspace_name="second", deployment_name="second").result().workspace_id
    w = client(ready.token, second)
    ann = w.users.create(user_name="ann@x.org")
    makers = w.groups.create(display_name="makers")
    w.secrets.create_scope("s")
    w.secrets.put_secret("s", "k", string_value="v")
    w.instance_pools.create("p", "i3.xlarge", min_idle_instances=0)
    w.dbfs.put("/f", contents="eA==")
    w.workspace.mkdirs("/Shared/x")
    token = w.tokens.create(comment="c").token_value
    gone = a.workspaces.delete(second)
    assert gone.workspace_status == provisioning.WorkspaceStatus.CANCELLING
    for each in (ready.token, token):
        with pytest.raises((NotFound, PermissionDenied)):
            client(each, second).current_user.me()
    assert a.workspaces.delete(second).workspace_status == provisioning.WorkspaceStatus.CANCELLING
    with pytest.raises(BadRequest, match="cannot be changed"):
        a.workspaces.update(second, provisioning.Workspace(workspace_name="x"))
    reconcile = closing.Closing(store, [workspace_end.end])
    assert reconcile(str(second)).again_in is not None  # its pool is told to end first
    while reconcile(str(second)) != SETTLED:
        pass
    assert reconcile(str(second)) == SETTLED
    with pytest.raises(NotFound):
        a.workspaces.get(second)
    with store.read() as reader:
        for table in metadata.sorted_tables:
            if "workspace_id" in table.c and table.name != "audit":
                left = select(table.c.workspace_id).where(table.c.workspace_id == second)
                assert reader.execute(left).first() is None, table.name
        assert reader.execute(select(principals_table).where(principals_table.c.principal_id == int(makers.id))).first() is None
        assert principals.by_id(reader, int(ann.id)) is not None  # people are the account's
    a.workspaces.create(workspace_name="second", deployment_name="second")  # the names are free again


def test_the_last_one_stays(a, ready, store):
    with pytest.raises(BadRequest, match="the only one"):
        a.workspaces.delete(ready.home.workspace_id)
    second = a.workspaces.create(workspace_name="second").result().workspace_id
    a.workspaces.delete(ready.home.workspace_id)
    with pytest.raises(BadRequest, match="the only one"):
        a.workspaces.delete(second)
    with store.read() as reader:
        assert workspaces.first(reader).workspace_id == second


def test_clusters_end_before_rows_go(store, ready):
    """By the rows: a running cluster is wished away once, and the workspace waits for it."""
    from boathouse.identity.tables import workspaces as table

    with store.transaction() as tx:
        registry.create_workspace(tx, ready.home.account_id, "w2", "w2", "aws", 77)
        tx.execute(table.update().where(table.c.workspace_id == 77).values(status="CANCELLING"))
        tx.execute(
            clusters.insert().values(
                cluster_id="c", workspace_id=77, name="", creator_id=1, creator="x", editor="x", created_at=0, spec={},
                wish="running", wished_launch=1, state="RUNNING", state_message="", start_time=0, version=0, facts={},
            )
        )  # fmt: skip
    reconcile = closing.Closing(store, [workspace_end.end])
    for _ in range(2):
        assert reconcile("77").again_in == closing.EVERY
    with store.transaction() as tx:
        row = tx.execute(select(clusters)).one()
        assert (row.wish, row.state, row.version) == ("deleted", "TERMINATING", 1)
        assert row.wish_reason["code"] == "WORKSPACE_CANCELLED_ERROR"
        tx.execute(clusters.delete())  # as the cluster's reconciler does when nothing is left
    assert reconcile("77") == SETTLED
    with store.read() as reader:
        assert workspaces.get(reader, 77) is None
        assert reader.execute(select(instance_pools)).first() is None
