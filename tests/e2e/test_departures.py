"""Somebody is removed while their cluster runs, for real: what ran ends, what they had passes to an admin, nothing is left."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service import compute

from boathouse.dataplane.engine.client import EngineClient
from tests.e2e.conftest import Notebook, Server, begun, ours, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

BODY = {"spark_version": "17.3.x-scala2.13", "node_type_id": "m5.large", "num_workers": 0}


def test_who_is_removed_while_their_clusters_run(server: Server, workspace: WorkspaceClient, engine: EngineClient):
    me = workspace.current_user.me().user_name
    robot = workspace.api_client.do(
        "POST", "/api/2.0/preview/scim/v2/ServicePrincipals",
        body={"displayName": "robot", "entitlements": [{"value": "allow-cluster-create"}]},
    )  # fmt: skip
    token = workspace.token_management.create_obo_token(application_id=robot["applicationId"]).token_value
    robots = WorkspaceClient(host=workspace.config.host, token=token)
    own = robots.clusters.create(cluster_name="the robot's", **BODY).result()
    assert own.cluster_id and own.creator_user_name == robot["applicationId"]
    notebook = Notebook(robots, own.cluster_id, compute.Language.PYTHON)
    running = robots.command_execution.execute(
        cluster_id=own.cluster_id, context_id=notebook.id, language=compute.Language.PYTHON,
        command="import time; time.sleep(600)",
    )  # fmt: skip
    begun(robots, cluster_id=own.cluster_id, context_id=notebook.id, command_id=str(running.command_id))
    assert ours(engine, server)

    workspace.service_principals.delete(robot["id"])
    with pytest.raises(DatabricksError):
        robots.clusters.get(own.cluster_id)
    ended = workspace.clusters.wait_get_cluster_terminated(own.cluster_id)
    assert ended.state_message == f"{robot['applicationId']} was removed from the workspace."
    assert ended.creator_user_name == me
    acl = workspace.clusters.get_permissions(own.cluster_id).access_control_list or []
    direct = [each.user_name or each.service_principal_name for each in acl if not each.group_name]
    assert direct == [me]
    types = [event.type.value for event in workspace.clusters.events(own.cluster_id) if event.type]
    assert types[0] == "TERMINATING" and "RUNNING" in types
    until(lambda: not ours(engine, server), 60, "nothing left of the cluster")

    workspace.clusters.start(own.cluster_id).result()  # whose it is now may go on with it
    again = Notebook(workspace, own.cluster_id, compute.Language.PYTHON)
    assert again.text("print(spark.range(7).count())") == "7"
    workspace.clusters.delete(own.cluster_id).result()
