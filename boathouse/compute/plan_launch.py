"""A launch under way: what is missing until the driver is healthy. Pure; asked by `plan` in PENDING and RESTARTING."""

from math import ceil

from boathouse.compute import autoscale, plan_instance, plan_size
from boathouse.compute.plan_nodes import Draft, bring_up, loss, next_incarnation, registered, run_executors, spark_node
from boathouse.compute.plan_scripts import run_scripts
from boathouse.compute.states import RUNNING, waiting_message
from boathouse.compute.world import (
    CONTAINER_LOG,
    DAEMON_LOG,
    DRIVER,
    EXITED,
    AddNode,
    DeleteNode,
    Failure,
    Mark,
    NodeRow,
    Process,
    StartDriver,
    Step,
    WantImage,
    World,
)

#: From the start of the driver's JVM to its readiness, and from there to enough workers.
DRIVER_TIMEOUT_MS, WORKERS_TIMEOUT_MS = 180_000, 120_000

#: The share of workers with which a cluster serves (api.md A), and how long the rest is waited for, in ms.
ENOUGH, GRACE_MS = 0.85, 5_000

#: How often a launch is looked at without news, in seconds; daemons and drivers hint at theirs.
POLL = 1.0

#: How often a worker's node may be replaced, or its executor end, before the launch is given up.
ATTEMPTS = 3


def advance(world: World) -> Step:
    """The next step of a launch."""
    draft = Draft(world)
    draft.poll(POLL)
    if world.refusal is not None:
        draft.fail(world.refusal)
        return draft.step()
    _image(draft)
    nodes = _nodes(draft)
    checked = world.image.local is not None
    up = [node for node in nodes if bring_up(draft, node) and checked and plan_instance.relieved(draft, node)]
    ready = {node.node_id for node in up if run_scripts(draft, node)}
    driver = next((node for node in nodes if node.number == 0), None)
    if driver is None or draft.failure is not None:
        return draft.step()
    process = world.daemon(driver).processes.get(DRIVER)
    if driver.node_id in ready and process is None and world.at(driver).address:
        draft.actions.append(StartDriver(driver.node_id))
        draft.begin("spark.driver", driver.node_id)
    if checked and world.at(driver).address:
        run_executors(draft, nodes, ready)
        if any(node.number and node.node_id in ready for node in nodes):
            draft.begin("spark.executors", workers=world.cluster.workers)
        _executors_that_end(draft, nodes)
    if process is not None:
        _await_driver(draft, driver, process, nodes)
    return draft.step()


def _image(draft: Draft) -> None:
    """The image step's progress into timeline and facts; its failure is the launch's."""
    world = draft.world
    news = waiting_message(world.cluster.state_message, world.image.waiting)
    if news is not None:
        draft.row["state_message"] = news
    for stage in world.image.stages:
        noted = world.timeline.get((stage.name, ""))
        if noted is None or (noted.ended is None and (stage.ended is not None or news)):
            mark = Mark(stage.name, "", stage.started, stage.ended, stage.outcome, stage.details)
            draft.marks.append(mark)
    known = world.cluster.facts.get("image") or {}
    found = {**known, **world.image.found}
    if found != known:
        draft.facts["image"] = found
    if world.image.failure is not None:
        draft.fail(world.image.failure)
    elif world.image.local is None:
        draft.actions.append(WantImage())
        draft.poll(0.5)


def _nodes(draft: Draft) -> list[NodeRow]:
    """The nodes that are to be; those that were lost are sent away, those that are missing are added."""
    world = draft.world
    draft.actions += [DeleteNode(node.node_id) for node in world.nodes if node.leaving]
    kept = []
    for node in world.active():
        if plan_instance.outdated(world, node):
            draft.leaving.append(node.node_id)
            told = {"message": plan_instance.OUTDATED}
            draft.marks.append(Mark("instance", node.node_id, ended=world.now, outcome="skipped", details=told))
            draft.poll(0.0)
            continue
        why = loss(world, node)
        if not why:
            kept.append(node)
            continue
        spent = node.incarnation - int(world.cluster.facts.get("first_incarnation", node.incarnation)) + 1
        if node.number == 0 or spent >= ATTEMPTS:
            draft.fail(
                Failure(
                    "CONTAINER_LAUNCH_FAILURE",
                    f"Failed to launch spark container on instance {node.node_id}: {why}",
                    step="container",
                    node=node.node_id,
                    log=DAEMON_LOG if world.at(node).daemon == EXITED else CONTAINER_LOG,
                )
            )
            return kept
        draft.leaving.append(node.node_id)
        draft.events.append(plan_size.add_nodes_failed("CONTAINER_LAUNCH_FAILURE", 1, why))
        draft.poll(0.0)
    incarnation = next_incarnation(world)
    leaving = set(draft.leaving)
    numbers = {node.number for node in world.active() if node.node_id not in leaving}
    for number in range(world.cluster.workers + 1):
        if number not in numbers:
            draft.actions.append(AddNode(number, incarnation))
            draft.poll(0.0)
    return kept


def _executors_that_end(draft: Draft, nodes: list[NodeRow]) -> None:
    for node in nodes:
        executors = draft.world.daemon(node).executors()
        ended = {number: process for number, process in executors.items() if not process.running}
        if len(ended) >= ATTEMPTS:
            last = max(ended)
            draft.fail(
                Failure(
                    "SPARK_STARTUP_FAILURE",
                    f"The executor of node {node.node_id} ended {len(ended)} times while the cluster started, "
                    f"at last with {ended[last].ending}.",
                    step="spark.executors",
                    node=node.node_id,
                    log=f"executor-{last}.stderr",
                )
            )


def _await_driver(draft: Draft, driver: NodeRow, process: Process, nodes: list[NodeRow]) -> None:
    world = draft.world
    if not process.running:
        draft.fail(
            Failure(
                "SPARK_STARTUP_FAILURE",
                f"Spark could not be started: the driver's process ended with {process.ending}.",
                step="spark.driver",
                node=driver.node_id,
                log="driver.stderr",
            )
        )
        return
    draft.begin("spark.driver", driver.node_id)
    if process.ready is None:
        if draft.since("spark.driver", driver.node_id) > DRIVER_TIMEOUT_MS:
            draft.fail(
                Failure(
                    "DRIVER_LAUNCH_TIMEOUT",
                    f"Spark's driver was not ready {DRIVER_TIMEOUT_MS // 1000} s after its start.",
                    step="spark.driver",
                    node=driver.node_id,
                    log="driver.stderr",
                )
            )
        draft.poll(1.0)
        return
    ready = process.ready
    draft.end("spark.driver", driver.node_id, spark_version=str(ready.get("spark_version", "")))
    draft.begin("healthy")
    spark = {key: value for key, value in ready.items() if key != "gateway_secret"}
    if (world.cluster.facts.get("spark") or {}) != spark:
        draft.facts["spark"] = spark
        draft.facts["driver_node"] = driver.node_id
    _await_workers(draft, driver, nodes)


def _await_workers(draft: Draft, driver: NodeRow, nodes: list[NodeRow]) -> None:
    world = draft.world
    workers = world.cluster.workers
    count = registered(draft, nodes)
    waited = draft.since("healthy")
    # A driver without workers has said that it serves by being ready: nobody else has to register.
    serves = not workers or (world.health is not None and world.health.state == "running")
    patient = workers > count and waited < GRACE_MS
    if serves and count >= ceil(ENOUGH * workers) and not patient:
        _run(draft, driver, nodes, count)
        return
    if waited > WORKERS_TIMEOUT_MS:
        draft.fail(
            Failure(
                "SPARK_STARTUP_FAILURE" if serves else "DRIVER_UNREACHABLE",
                f"{count} of {workers} workers registered with the driver within {WORKERS_TIMEOUT_MS // 1000} s."
                if serves
                else f"The driver said that it was ready, but did not answer for {WORKERS_TIMEOUT_MS // 1000} s.",
                step="healthy",
                node=driver.node_id,
                log="driver.stderr",
            )
        )
    draft.poll(0.1)


def _run(draft: Draft, driver: NodeRow, nodes: list[NodeRow], count: int) -> None:
    """It serves."""
    world = draft.world
    cluster = world.cluster
    if cluster.workers:
        draft.end("spark.executors", registered=count, wanted=cluster.workers)
    draft.end("healthy")
    draft.end("total", workers=count)
    draft.row |= {"state": RUNNING, "state_message": "", "last_activity_time": world.now}
    if cluster.launch > 1:
        draft.row |= {"last_restarted_time": world.now, "last_state_loss_time": world.now}
    draft.facts["driver"] = spark_node(driver, world)
    draft.facts["executors"] = [spark_node(node, world) for node in nodes if node.number]
    draft.events += [
        ("RUNNING", {"current_num_workers": count, "target_num_workers": cluster.workers}),
        ("DRIVER_HEALTHY", {}),
    ]
    draft.again = autoscale.LOOK_S if cluster.scales else world.watch
