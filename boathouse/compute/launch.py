"""Carrying out what a plan asks for: the launch's effects on nodes, one function an action, each idempotent.

Called by the reconciler, several at once for several nodes. Nothing is decided here, and nothing is written to the
store: each effect answers with what it came to, and the reconciler writes all of it in one transaction.
"""

import base64
import logging
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boathouse.compute import driver_calls, driver_start, event_log, launch_environment, node_types, standby
from boathouse.compute.driver_start import DriverStart
from boathouse.compute.images_step import ImageSteps
from boathouse.compute.init_scripts import NODE_LOG, log_name
from boathouse.compute.launch_inputs import Inputs
from boathouse.compute.nodes import NodeDirectories, node_id, place_of
from boathouse.compute.plan_scripts import not_fetched, process_name
from boathouse.compute.script_shelf import ScriptPending, ScriptUnavailable
from boathouse.compute.world import (
    CONTAINER_LOG,
    DAEMON_LOG,
    DRIVER,
    EXITED,
    RUNNING,
    Action,
    AddNode,
    Decommission,
    DeleteNode,
    DropStandby,
    Ensure,
    Failure,
    NodeRow,
    ReleaseCluster,
    Seen,
    StandBy,
    StartDriver,
    StartExecutor,
    StartScript,
    TakeStandby,
    WantImage,
    World,
)
from boathouse.dataplane.contract import Driver, Limits, Link, NodeError, NodeFailure, NodeGone, NodeSpec
from boathouse.releases import arguments

log = logging.getLogger("boathouse.compute.launch")

#: Where a launch's files lie in a node: on tmpfs, seen by that node alone.
RUN = "/run/boathouse"

#: How much is kept of what a node's container said itself.
LAST_WORDS_BYTES = 64 << 10

#: Runs one init script ($1) as Databricks does: with its logs ($2, $3) in the container, where it is documented to look for
#: them. They are copied into the node's logs at the end, not piped: what a script leaves running may keep its output open.
RUN_SCRIPT = """logs=/databricks/init_scripts
mkdir -p "$logs" && bash "$1" >"$logs/$2" 2>"$logs/$3" </dev/null
status=$?
cat "$logs/$2"; cat "$logs/$3" >&2
exit "$status"
"""

#: How long a daemon may take to start a process or write a file, in seconds.
CALL_TIMEOUT = 15.0


class Result(msgspec.Struct, frozen=True):
    """What an effect came to. `done` False: not yet, ask again. `token_hash`: of a node that was added. `node_facts`: what is
    to be remembered of the action's node."""

    action: Action
    done: bool = True
    failure: Failure | None = None
    token_hash: str = ""
    node_facts: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Effects:
    """The hands of the launch."""

    def __init__(
        self,
        driver: Driver,
        link: Link,
        directories: NodeDirectories,
        images: ImageSteps,
        handed_over: Callable[[World], bool] = lambda world: True,
    ) -> None:
        """`handed_over`: whether a cluster without nodes may end, as far as its logs are concerned."""
        self._driver, self._link, self._directories, self._images = driver, link, directories, images
        self._handed_over = handed_over

    def carry_out(self, action: Action, world: World, inputs: Inputs | None, hint: Any) -> Result:
        """Do one thing. A node that is not reachable yet is no failure: the next round sees what is there."""
        try:
            return self._do(action, world, inputs, hint)
        except NodeFailure as failure:
            node = getattr(action, "node_id", "")
            image = getattr(action, "image", None)
            told = Failure(failure.code, failure.message, failure.evidence, "container" if image else "nodes", node)
            return Result(action, done=False, failure=told)
        except NodeGone:
            return Result(action, done=False)
        except NodeError as error:
            if getattr(error, "code", "") == "launcher_not_up" or "launcher_not_up" in str(error):
                return Result(action, done=False)
            return Result(action, done=False, failure=_refused(action, str(error)))

    def _do(self, action: Action, world: World, inputs: Inputs | None, hint: Any) -> Result:
        cluster_id = world.cluster.cluster_id
        match action:
            case AddNode():
                node = node_id(world.cluster.place, action.number, action.incarnation)
                return Result(action, token_hash=self._directories.prepare(node))
            case DeleteNode():
                return Result(action, self._delete(cluster_id, action.node_id, world.seen.get(action.node_id, Seen())))
            case ReleaseCluster():
                released = all(self._driver.release(place) for place in sorted({world.cluster.place, cluster_id}))
                return Result(action, released and (not action.ends or self._handed_over(world)))
        assert inputs is not None, "a launch without inputs asks for nothing else"
        match action:
            case WantImage():
                launched = world.cluster.launch == world.cluster.wished_launch
                known = world.cluster.facts.get("image") or {} if launched else {}
                self._images.want(inputs, known, hint)
            case Ensure():
                node = _row(world, action.node_id)
                self._driver.ensure(self._spec(node, action.image, inputs))
            case StartScript():
                return self._start_script(action, world, inputs)
            case StartDriver():
                self._start_driver(_row(world, action.node_id), world, inputs)
            case StandBy():
                return self._stand_by(_row(world, action.node_id), world, inputs)
            case TakeStandby():
                return self._take_standby(_row(world, action.node_id), world, inputs)
            case DropStandby():
                return self._drop_standby(_row(world, action.node_id))
            case StartExecutor():
                self._start_executor(_row(world, action.node_id), action.executor_id, world, inputs)
            case Decommission():
                port = int((world.cluster.facts.get("spark") or {}).get("http_port", 0))
                token = inputs.keys.token
                heard = driver_calls.decommission(self._link, action.driver, port, token, action.executor_id)
                return Result(action, done=heard)
        return Result(action)

    def _spec(self, node: NodeRow, image: str | None, inputs: Inputs) -> NodeSpec:
        limits = inputs.limits.driver if node.number == 0 else inputs.limits.worker
        return NodeSpec(
            node_id=node.node_id,
            cluster_id=inputs.place,
            index=node.number,
            directory=self._directories.path(node.node_id),
            limits=Limits(limits.cpus, limits.memory_bytes),
            image=image,
            layers=inputs.release.layers,
            gpus=node_types.gpus(limits.node_type),
        )

    def keep_last_words(self, node: str, seen: Seen, undialled: bool = False) -> None:
        """Keep what a node's containers said themselves beside its logs, before they are removed: of each that has ended, and of
        a daemon that was given up because it did not dial in (`undialled`). Once."""
        if seen.container == EXITED:
            self._keep(node, CONTAINER_LOG, self._driver.container_log)
        if seen.daemon == EXITED or (seen.daemon == RUNNING and undialled):
            self._keep(node, DAEMON_LOG, self._driver.daemon_log)

    def _keep(self, node: str, name: str, read: Callable[[str, int], bytes]) -> None:
        target = self._directories.path(node) / "logs" / name
        if target.exists() or not target.parent.is_dir():
            return
        words = read(node, LAST_WORDS_BYTES)
        if words:
            self._directories.keep(node, name, words)

    def _delete(self, cluster_id: str, node: str, seen: Seen) -> bool:
        """The customer's container, then the daemon's; then the logs are kept, and the directory goes."""
        self.keep_last_words(node, seen)
        if not self._driver.delete(place_of(node), node):
            return False
        self._link.forget(node)
        self._directories.archive(cluster_id, node)
        self._directories.remove(node)
        return True

    def _start_script(self, action: StartScript, world: World, inputs: Inputs) -> Result:
        node, number = _row(world, action.node_id), action.number
        script = inputs.scripts.listed[number]
        path = script.inside or f"{RUN}/init/{number}.sh"
        if not script.inside:
            try:
                content = inputs.scripts.content(number)
            except ScriptUnavailable as error:
                return Result(action, done=False, failure=not_fetched(world, node, number, str(error)))
            except ScriptPending:
                return Result(action, done=False)
            self._put_bytes(node, {f"init/{number}.sh": content})
        address = world.at(node).address or ""
        environment = launch_environment.of_node(inputs, world.image.found, node, address, world.driver_address())
        inside = {stream: log_name(node, number, script, stream) for stream in ("stdout", "stderr")}
        argv = ["/bin/bash", "-c", RUN_SCRIPT, "init-script", path, inside["stdout"], inside["stderr"]]
        logs = {stream: f"{NODE_LOG}{name}" for stream, name in inside.items()}
        self._start(node, process_name(number), argv, environment, ready=False, logs=logs)
        return Result(action)

    def _start_driver(self, node: NodeRow, world: World, inputs: Inputs) -> None:
        start = self._driver_start(node, world, inputs)
        self._put(node, {**_driver_files(start, start.properties), **(event_log.files() if start.logged else {})})
        if start.logged:  # before the driver: what a crash leaves out here is made up for with it
            kept = {"stdout": f"{event_log.NAME}.stdout"}
            self._start(node, event_log.NAME, event_log.argv(), start.environment, ready=False, logs=kept)
        self._start(node, DRIVER, start.argv, {**start.environment, **arguments.jvm_env()}, ready=True)
        self._start_spare(node, world, start, arguments.SPARE_PYTHON)

    def _driver_start(self, node: NodeRow, world: World, inputs: Inputs) -> DriverStart:
        workers = world.cluster.most or world.cluster.workers
        return driver_start.of_driver(inputs, world.image.found, node, world.at(node).address or "", workers)

    def _stand_by(self, node: NodeRow, world: World, inputs: Inputs) -> Result:
        """A driver that nobody has asked for yet, under another name, and a Python process beside it. What they say goes where
        the driver's words go. A node that cannot have them is of use without."""
        start = self._driver_start(node, world, inputs)
        environment = {**start.environment, **arguments.jvm_env()}
        logs = {stream: f"{DRIVER}.{stream}" for stream in ("stdout", "stderr")}
        try:
            self._put(node, _driver_files(start, {**start.properties, standby.PROPERTY: "true"}))
            self._start(node, standby.STANDBY, start.argv, environment, ready=True, logs=logs)
        except NodeError as error:
            log.info("%s: no driver stands by: %s", node.node_id, error)
            return Result(StandBy(node.node_id), done=False)
        self._start_spare(node, world, start, standby.STANDBY_PYTHON)
        return Result(StandBy(node.node_id))

    def _take_standby(self, node: NodeRow, world: World, inputs: Inputs) -> Result:
        """The driver that stood by is the cluster's from now on. What it refuses is told, and it is not asked again."""
        action = TakeStandby(node.node_id)
        ready = world.daemon(node).processes[standby.STANDBY].ready or {}
        told = standby.late(node.facts["standby"], world.start)
        refused = driver_calls.take(self._link, node.node_id, int(ready.get("http_port", 0)), inputs.keys.token, told)
        if refused:
            return Result(action, done=False, node_facts={"standby_refused": refused})
        # The driver last: once it has its name, nobody comes back here.
        for name, to in ((standby.STANDBY_PYTHON, arguments.SPARE_PYTHON), (standby.STANDBY, DRIVER)):
            self._link.call(node.node_id, "rename", {"name": name, "to": to}, timeout=CALL_TIMEOUT)
        return Result(action)

    def _drop_standby(self, node: NodeRow) -> Result:
        """Both processes are killed; what they left that those of the cluster would take for theirs goes."""
        for name in (standby.STANDBY_PYTHON, standby.STANDBY):
            self._link.call(node.node_id, "signal", {"name": name, "signal": "KILL"}, timeout=CALL_TIMEOUT)
        self._link.call(node.node_id, "remove_files", {"paths": [arguments.GATEWAY_FILE]}, timeout=CALL_TIMEOUT)
        return Result(DropStandby(node.node_id))

    def _start_spare(self, node: NodeRow, world: World, start: DriverStart, name: str) -> None:
        """A Python process that imports PySpark while the JVM starts; the first Python context takes it. Without it that context
        starts its own, so that nothing depends on it."""
        python = driver_start.python_of(world.image.found)
        if python is None:
            return
        try:
            env = {**start.environment, "BOATHOUSE_GATEWAY_FILE": arguments.GATEWAY_FILE}
            both = {"stdout": f"{arguments.SPARE_PYTHON}.log", "stderr": f"{arguments.SPARE_PYTHON}.log"}
            self._start(node, name, arguments.repl_argv(python), env, ready=False, logs=both, channel=True)
        except (NodeGone, NodeError) as error:
            log.info("%s: no spare Python process: %s", node.node_id, error)

    def _start_executor(self, node: NodeRow, executor_id: int, world: World, inputs: Inputs) -> None:
        driver = next(each for each in world.active() if each.number == 0)
        driver_address = world.at(driver).address or driver.facts.get("address") or ""
        address = world.at(node).address or ""
        values = inputs.values
        self._put(node, {"spark.secret": inputs.keys.spark_secret})
        argv = arguments.executor_argv(
            inputs.release,
            driver_host=driver_address,
            executor_id=executor_id,
            hostname=address,
            cores=inputs.limits.worker.cores,
            app_id=inputs.app_id,
            heap_mb=inputs.limits.worker.heap_mb,
            extra_class_path=driver_start.paths(values.spark_conf.get("spark.executor.extraClassPath")),
            java_options=shlex.split(values.spark_conf.get("spark.executor.extraJavaOptions", "")),
            image_java=driver_start.java_of(world.image.found),
        )
        environment = launch_environment.of_node(inputs, world.image.found, node, address, driver_address)
        self._start(node, f"executor-{executor_id}", argv, {**environment, **arguments.jvm_env()}, ready=False)

    def _put(self, node: NodeRow, files: Mapping[str, str]) -> None:
        self._put_bytes(node, {name: text.encode() for name, text in files.items()})

    def _put_bytes(self, node: NodeRow, files: Mapping[str, bytes]) -> None:
        encoded = [
            {"path": f"{RUN}/{name}", "mode": 0o600, "data": base64.b64encode(content).decode()}
            for name, content in files.items()
        ]
        self._link.call(node.node_id, "put_files", {"files": encoded}, timeout=CALL_TIMEOUT)

    def _start(
        self,
        node: NodeRow,
        name: str,
        argv: list[str],
        env: Mapping[str, str],
        ready: bool,
        logs: Mapping[str, str] | None = None,
        channel: bool = False,
    ) -> None:
        """`ready`: it says when it is. `logs`: the node's log files by stream; what is named nowhere is not kept.
        `channel`: it talks with us."""
        self._link.call(
            node.node_id,
            "start",
            {
                "name": name,
                "argv": argv,
                "env": dict(env),
                "cwd": launch_environment.WORKING_DIRECTORY,
                **({"stdout": f"{name}.stdout", "stderr": f"{name}.stderr"} if logs is None else logs),
                "ready": ready,
                "channel": channel,
            },
            timeout=CALL_TIMEOUT,
        )


def _row(world: World, node: str) -> NodeRow:
    return next(each for each in world.nodes if each.node_id == node)


def _refused(action: Action, words: str) -> Failure:
    node = getattr(action, "node_id", "")
    if isinstance(action, StartDriver | StartExecutor):
        code, step = "SPARK_STARTUP_FAILURE", "spark.driver" if isinstance(action, StartDriver) else "spark.executors"
        return Failure(code, f"The node {node} could not start Spark's process: {words[:600]}", step=step, node=node)
    return Failure("UNEXPECTED_LAUNCH_FAILURE", f"The daemon of node {node} refused: {words[:600]}", node=node)


def _driver_files(start: DriverStart, properties: Mapping[str, str]) -> dict[str, str]:
    return {"driver.properties": arguments.render_properties(properties), "spark.secret": start.secret}
