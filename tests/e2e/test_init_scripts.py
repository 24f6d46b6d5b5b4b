"""Init scripts in real containers: on every node, in order, before Spark; and what a failing one leaves behind."""

import base64

import pytest
from databricks.sdk.errors import OperationFailed
from databricks.sdk.service import compute

from tests.e2e.conftest import Notebook, boathouse, cluster

pytestmark = [pytest.mark.engine, pytest.mark.spark]

FIRST = """#!/bin/bash
echo "first on $DB_IS_DRIVER" >> /root/ran
"""
SECOND = """#!/bin/bash
echo "second for $DB_CLUSTER_NAME at $DB_CONTAINER_IP of $DB_DRIVER_IP with $DEPTH" >> /root/ran
mkdir -p /databricks/river && echo 41 > /databricks/river/level
echo "said by the script"
sleep 300 &
"""
FAILING = "#!/bin/bash\necho 'the lock gate is stuck' >&2\nexit 3\n"

ON_WORKERS = """
def look(_):
    import os, socket
    yield (socket.gethostbyname(socket.gethostname()), open("/root/ran").read(), open("/databricks/river/level").read().strip(),
           sorted(name[19:] for name in os.listdir("/databricks/init_scripts")))
host, ran, level, logs = sc.parallelize([0], 1).mapPartitions(look).collect()[0]
print(level, logs, ran.replace(host, "HERE"), sep="|")
"""


@pytest.fixture(scope="module")
def scripts(workspace):
    """A global script, and the destinations of two others."""
    made = workspace.global_init_scripts.create("first", base64.b64encode(FIRST.encode()).decode(), enabled=True)
    for name, text in (("second", SECOND), ("failing", FAILING)):
        workspace.dbfs.put(f"/init/{name}.sh", contents=base64.b64encode(text.encode()).decode(), overwrite=True)
    places = {name: compute.DbfsStorageInfo(f"dbfs:/init/{name}.sh") for name in ("second", "failing")}
    yield {name: [compute.InitScriptInfo(dbfs=place)] for name, place in places.items()}
    workspace.global_init_scripts.delete(made.script_id)


def test_scripts_run_on_every_node_before_spark(workspace, scripts):
    fields = {"num_workers": 1, "init_scripts": scripts["second"], "spark_env_vars": {"DEPTH": "7"}, "cluster_name": "weir"}
    with cluster(workspace, **fields) as details:
        python = Notebook(workspace, details.cluster_id, compute.Language.PYTHON)
        level, logs, ran = python.text(ON_WORKERS).split("|")
        assert level == "41"
        assert logs == str(["first.stderr.log", "first.stdout.log", "second.sh.stderr.log", "second.sh.stdout.log"])
        driver = details.driver.private_ip
        assert ran.splitlines() == ["first on FALSE", f"second for weir at HERE of {driver} with 7"]
        assert python.text("open('/root/ran').read().splitlines()[0]") == "'first on TRUE'"
        kinds = [event.type.value for event in workspace.clusters.events(details.cluster_id, order=compute.GetEventsOrder.ASC)]
        assert kinds[:3] == ["CREATING", "INIT_SCRIPTS_STARTED", "INIT_SCRIPTS_FINISHED"]


def test_a_failing_script_ends_the_launch_with_its_name_status_and_last_lines(workspace, scripts, server):
    said = "failing.sh failed: Script exit status is non-zero .exit code 3"
    stuck = {"num_workers": 0, "init_scripts": scripts["failing"], "cluster_name": "stuck"}
    with pytest.raises(OperationFailed, match=said), cluster(workspace, **stuck):
        pass
    (found,) = [each for each in workspace.clusters.list() if each.cluster_name == "stuck"]
    assert found.termination_reason.code == compute.TerminationReasonCode.INIT_SCRIPT_FAILURE
    assert "the lock gate is stuck" in found.termination_reason.parameters["databricks_error_message"]
    finished = [compute.EventType.INIT_SCRIPTS_FINISHED]
    (told,) = [event.details.init_scripts for event in workspace.clusters.events(found.cluster_id, event_types=finished)]
    assert told.cluster[-1].status == compute.InitScriptExecutionDetailsInitScriptExecutionStatus.FAILED_EXECUTION
    why = boathouse("why", found.cluster_id, "--data", str(server.data)).stdout
    assert "failing.sh" in why and "the lock gate is stuck" in why
