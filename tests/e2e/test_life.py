"""One cluster's life with real Spark: it grows, shrinks without losing what its workers hold, scales by itself, loses a worker in
the middle of a job, and at last its driver."""

import pytest
from databricks.sdk.service import compute

from tests.e2e.conftest import Notebook, begun, cluster, ours, until

pytestmark = [pytest.mark.engine, pytest.mark.spark]

PYTHON = compute.Language.PYTHON

HOSTS = "print(len({h for h in sc.parallelize(range(16), 16).map(lambda _: __import__('socket').gethostname()).collect()}))"

#: Counts how often a row is mapped: a shuffle block that is lost has it mapped again.
SHUFFLE = """
mapped = sc.accumulator(0)
def part(i):
    mapped.add(1)
    return (i % 4, i)
groups = sc.parallelize(range(40), 8).map(part).groupByKey(4)
print(groups.count(), mapped.value)
"""

SLOW = "import time; print(sc.parallelize(range({tasks}), {tasks}).map(lambda i: (time.sleep({seconds}), i)[1]).sum())"


@pytest.fixture(scope="module")
def living(workspace):
    """A cluster with one worker; its executors are idle after three seconds."""
    conf = {"spark.databricks.aggressiveWindowDownS": "3"}
    with cluster(workspace, cluster_name="living", num_workers=1, spark_conf=conf) as details:
        yield details


@pytest.fixture(scope="module")
def python(workspace, living):
    return Notebook(workspace, living.cluster_id, PYTHON)


def kinds(workspace, living):
    return [event.type.value for event in workspace.clusters.events(living.cluster_id, order=compute.GetEventsOrder.ASC)]


def kill(engine, server, node):
    """The customer's half of a node."""
    (found,) = [each["Id"] for each in ours(engine, server) if each["Name"].endswith(node)]
    engine.api.kill(found)


def run_beside(workspace, living, python, text):
    """Start a command and let it begin; what waits for it. It may be done already: a short job beside a slow look."""
    wait = workspace.command_execution.execute(cluster_id=living.cluster_id, context_id=python.id, language=PYTHON, command=text)
    command = {"cluster_id": living.cluster_id, "context_id": python.id, "command_id": wait.command_id}
    begun(workspace, **command)
    return wait


def test_it_grows_under_a_running_job(workspace, living, python):
    python.ask("x = 41")
    job = run_beside(workspace, living, python, SLOW.format(tasks=16, seconds=0.5))
    grown = workspace.clusters.resize(living.cluster_id, num_workers=2).result()
    assert (grown.num_workers, len(grown.executors)) == (2, 2)
    assert str(job.result().results.data).strip() == "120"
    until(lambda: python.text(HOSTS) == "2", 60, "tasks on both workers")
    assert kinds(workspace, living)[-2:] == ["RESIZING", "UPSIZE_COMPLETED"]


def test_it_shrinks_and_its_shuffle_blocks_stay(workspace, living, python):
    assert python.text(SHUFFLE) == "4 40"
    job = run_beside(workspace, living, python, SLOW.format(tasks=12, seconds=0.5))
    smaller = workspace.clusters.resize(living.cluster_id, num_workers=1).result()
    assert (smaller.num_workers, len(smaller.executors)) == (1, 1)
    assert str(job.result().results.data).strip() == "66"
    assert python.text("print(groups.count(), mapped.value, x)") == "4 40 41"
    assert python.text(HOSTS) == "1"
    assert smaller.spark_context_id == living.spark_context_id


def test_it_scales_up_with_its_backlog_and_down_again(workspace, living, python):
    workspace.clusters.resize(living.cluster_id, autoscale=compute.AutoScale(min_workers=1, max_workers=2)).result()
    job = run_beside(workspace, living, python, SLOW.format(tasks=40, seconds=0.5))
    until(lambda: len(workspace.clusters.get(living.cluster_id).executors) == 2, 60, "a second worker")
    assert str(job.result().results.data).strip() == "780"
    until(lambda: len(workspace.clusters.get(living.cluster_id).executors) == 1, 90, "one worker again")
    causes = [
        event.details.cause.value
        for event in workspace.clusters.events(living.cluster_id, event_types=[compute.EventType.RESIZING])
    ]
    assert causes[:2] == ["AUTOSCALE", "AUTOSCALE"]


def test_a_worker_is_killed_and_the_job_goes_on(workspace, living, python, engine, server):
    workspace.clusters.resize(living.cluster_id, num_workers=2).result()
    victim = workspace.clusters.get(living.cluster_id).executors[-1].node_id
    job = run_beside(workspace, living, python, SLOW.format(tasks=16, seconds=1))
    kill(engine, server, victim)
    assert str(job.result().results.data).strip() == "120"
    until(lambda: kinds(workspace, living)[-1] == "UPSIZE_COMPLETED", 90, "a replacement")
    happened = kinds(workspace, living)
    assert happened[happened.index("NODES_LOST") :] == ["NODES_LOST", "RESIZING", "UPSIZE_COMPLETED"]
    nodes = {node.node_id for node in workspace.clusters.get(living.cluster_id).executors}
    assert len(nodes) == 2 and victim not in nodes
    assert python.text("print(x)") == "41"


def test_without_its_driver_it_ends_and_starts_again_with_a_new_context(workspace, living, engine, server):
    driver = workspace.clusters.get(living.cluster_id).driver.node_id
    kill(engine, server, driver)
    ended = until(
        lambda: (found := workspace.clusters.get(living.cluster_id)).state == compute.State.TERMINATED and found, 60, "its end"
    )
    assert ended.termination_reason.code == compute.TerminationReasonCode.DRIVER_UNREACHABLE
    assert ended.termination_reason.type == compute.TerminationReasonType.SERVICE_FAULT
    assert [each for each in ours(engine, server) if living.cluster_id in each["Name"]] == []
    again = workspace.clusters.start(living.cluster_id).result()
    assert again.spark_context_id != living.spark_context_id
    assert Notebook(workspace, living.cluster_id, PYTHON).text("print(spark.range(5).count())") == "5"
