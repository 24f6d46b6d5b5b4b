"""GRANT in SQL on a real cluster, through API 1.2: as the one whose context it is."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service import compute, iam

from tests.e2e.conftest import Notebook, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]


def test_who_may_grants_and_who_may_not_is_refused(workspace):
    workspace.schemas.create("boats", "main")
    robot = workspace.service_principals.create(display_name="robot")
    token = workspace.token_management.create_obo_token(application_id=robot.application_id).token_value
    with cluster(workspace, cluster_name="grants") as details:
        here = details.cluster_id
        python = Notebook(workspace, here, compute.Language.PYTHON)
        python.ask(f"spark.sql('GRANT USE SCHEMA, CREATE TABLE ON SCHEMA main.boats TO `{robot.application_id}`')")
        held = workspace.grants.get("schema", "main.boats").privilege_assignments
        assert [(each.principal, [p.value for p in each.privileges]) for each in held] == [
            (robot.application_id, ["CREATE_TABLE", "USE_SCHEMA"])
        ]
        sql = Notebook(workspace, here, compute.Language.SQL)
        shown = sql.ask("SHOW GRANTS ON SCHEMA main.boats").data
        assert [robot.application_id, "USE SCHEMA", "SCHEMA", "main.boats"] in shown
        control = [iam.AccessControlRequest(
            service_principal_name=robot.application_id, permission_level=iam.PermissionLevel.CAN_ATTACH_TO
        )]  # fmt: skip
        workspace.permissions.update("clusters", here, access_control_list=control)
        other = WorkspaceClient(host=workspace.config.host, token=token)
        theirs = Notebook(other, here, compute.Language.PYTHON)
        refused = theirs.ask("spark.sql('GRANT USE SCHEMA ON SCHEMA main.boats TO `account users`')")
        assert refused.result_type == compute.ResultType.ERROR
        assert "is not an owner of Schema 'main.boats' and does not have MANAGE on it" in str(refused.cause)
        sql.ask(f"REVOKE USE SCHEMA, CREATE TABLE ON SCHEMA main.boats FROM `{robot.application_id}`")
        assert not workspace.grants.get("schema", "main.boats").privilege_assignments
