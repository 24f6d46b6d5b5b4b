"""How containers end, and what the engine's driver tells of it."""

from pathlib import Path

import msgspec
import pytest

from boathouse.dataplane.contract import NodeFailure, NodeSpec, Presence, SeenNode

pytestmark = pytest.mark.engine

GREEDY = "#!/usr/bin/python3 -S\nhoard = [bytearray(1 << 20) for _ in range(4096)]\n"


def with_launcher(plane, text: str | None) -> NodeSpec:
    """A node whose runtime has another launcher, or none."""
    layer = Path(plane.home) / "other"
    (layer / "bin").mkdir(parents=True)
    if text is not None:
        (layer / "bin" / "launcher").write_text(text)
        (layer / "bin" / "launcher").chmod(0o755)
    return msgspec.structs.replace(plane.node(), layers=(layer,))


def ended(plane, node: NodeSpec) -> SeenNode:
    plane.driver.ensure(node)
    plane.until(lambda: plane.driver.inspect(node.cluster_id)[0].container is Presence.EXITED)
    return plane.driver.inspect(node.cluster_id)[0]


def test_an_exit_code(engine_plane) -> None:
    seen = ended(engine_plane, with_launcher(engine_plane, "#!/usr/bin/python3 -S\nraise SystemExit(3)\n"))
    assert (seen.daemon, seen.exit_code, seen.oom_killed) == (Presence.RUNNING, 3, False)


def test_what_the_container_itself_said(engine_plane) -> None:
    node = with_launcher(engine_plane, "#!/usr/bin/python3 -S\nimport sys\nsys.exit('no such thing here')\n")
    ended(engine_plane, node)
    assert engine_plane.driver.container_log(node.node_id, 1000) == b"no such thing here\n"
    engine_plane.until(lambda: engine_plane.driver.delete(node.cluster_id, node.node_id))
    assert engine_plane.driver.container_log(node.node_id, 1000) == b""


def test_what_a_daemon_itself_said(engine_plane) -> None:
    node = msgspec.structs.replace(engine_plane.node(), image=None)
    engine_plane.driver.ensure(node)
    engine_plane.until(lambda: engine_plane.driver.daemon_log(node.node_id, 1000) != b"")
    assert b"no control plane" in engine_plane.driver.daemon_log(node.node_id, 1000)
    engine_plane.until(lambda: engine_plane.driver.delete(node.cluster_id, node.node_id))
    assert engine_plane.driver.daemon_log(node.node_id, 1000) == b""


def test_memory_that_ran_out(engine_plane) -> None:
    if not Path("/dev/kmsg").exists():
        pytest.skip("no kernel log here, and the engine itself may not tell")
    seen = ended(engine_plane, with_launcher(engine_plane, GREEDY))
    assert (seen.exit_code, seen.oom_killed) == (137, True)


def test_a_runtime_without_a_launcher(engine_plane) -> None:
    node = with_launcher(engine_plane, None)
    with pytest.raises(NodeFailure) as failure:
        engine_plane.driver.ensure(node)
    assert failure.value.code == "CONTAINER_LAUNCH_FAILURE"
    assert "launcher" in failure.value.evidence
    engine_plane.until(lambda: engine_plane.driver.delete(node.cluster_id, node.node_id))


def test_a_layer_that_is_not_there(engine_plane) -> None:
    node = msgspec.structs.replace(engine_plane.node(), layers=(Path("/no/such/layer"),))
    with pytest.raises(NodeFailure, match="A layer of the runtime is missing: /no/such/layer"):
        engine_plane.driver.ensure(node)


def test_an_image_that_is_not_there(engine_plane) -> None:
    node = msgspec.structs.replace(engine_plane.node(), image="sha256:" + "0" * 64)
    with pytest.raises(NodeFailure) as failure:
        engine_plane.driver.ensure(node)
    assert failure.value.code == "DOCKER_CONTAINER_CREATION_EXCEPTION"
