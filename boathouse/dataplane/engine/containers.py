"""What we ask the engine for: the configurations of a node's two containers and of its volumes. Pure.

Called by `driver`. Nothing secret is ever put here: an engine shows its configurations to everybody who may ask it.
Arguments, environment and secrets travel over the meeting volume, from the daemon to the launcher.
"""

from collections.abc import Collection
from typing import Any

from boathouse.dataplane.contract import NodeSpec
from boathouse.dataplane.engine import gpus, naming

LAUNCHER = "/databricks/runtime/bin/launcher"
DAEMON_COMMAND = ("python3", "-S", "-E", "/boathouse/daemon.py")
MEETING_POINT = "/run/boathouse"
RUNTIME = "/databricks/runtime"
WAREHOUSE = "/local_disk0/spark-warehouse"
"""The tables of a cluster: driver and workers write and read the same files (`releases.arguments.WAREHOUSE`)."""
NODE_DIRECTORY = "/node"

CUSTOMER_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL")
"""What root inside an image needs for its package managers; Spark itself needs none."""

DAEMON_MEMORY = 256 * 1024 * 1024
DAEMON_PIDS = 256
MEETING_BLOCKS = 65536
"""Size of the meeting volume in pages (256 MiB): `size=` in options means a disk quota to Podman, which a tmpfs cannot have."""
MEETING_INODES = 16384
LOG_BYTES = "1m"


def daemon_config(
    instance: str, node: NodeSpec, image: str, network: str, address: str, user: str, podman: bool, limits: bool = True
) -> dict[str, Any]:
    """The daemon's half: our own image, the node's directory, the meeting volume, the cluster's network; no capabilities at
    all."""
    host = {
        **_hardened(podman),
        **(_limits(cpus=0.0, memory=DAEMON_MEMORY, pids=DAEMON_PIDS) if limits else {}),
        "NetworkMode": network,
        "ReadonlyRootfs": True,
        "Binds": [f"{naming.meeting_volume(instance, node.node_id)}:{MEETING_POINT}:rw,nocopy"],
        "Mounts": [{"Type": "bind", "Source": str(node.directory), "Target": NODE_DIRECTORY, "ReadOnly": False}],
    }
    return {
        "Image": image,
        "Hostname": naming.hostname(node.cluster_id, address),
        "Entrypoint": list(DAEMON_COMMAND),
        "Cmd": [],
        "User": user,
        "WorkingDir": "/",
        "Labels": naming.labels_of_node(instance, node, naming.DAEMON, address),
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}},
    }


def customer_config(
    instance: str,
    node: NodeSpec,
    image: str,
    runtime: str,
    address: str,
    podman: bool,
    limits: bool = True,
    devices: Collection[str] = (),
) -> dict[str, Any]:
    """The customer's half: their image, our launcher as its first process, in the daemon's network namespace.

    CMD, ENTRYPOINT, USER, WORKDIR and HEALTHCHECK of the image are overridden, its ENV is left to the engine to merge.
    `runtime` is the volume with the runtime's layers, `devices` the UUIDs of the node's GPUs.
    """
    host = {
        **_hardened(podman),
        **(_limits(node.limits.cpus, node.limits.memory_bytes, node.limits.pids) if limits else {}),
        "CapAdd": list(CUSTOMER_CAPABILITIES),
        "NetworkMode": f"container:{naming.daemon(instance, node.node_id)}",
        "ShmSize": max(64 * 1024 * 1024, node.limits.memory_bytes // 4),
        "Binds": [
            f"{runtime}:{RUNTIME}:ro,nocopy",
            f"{naming.warehouse_volume(instance, node.cluster_id)}:{WAREHOUSE}:rw,nocopy",
            f"{naming.meeting_volume(instance, node.node_id)}:{MEETING_POINT}:rw,nocopy",
        ],
    }
    labels = naming.labels_of_node(instance, node, naming.CONTAINER, address)
    if devices:
        host["DeviceRequests"] = gpus.requests(devices)
        labels[naming.GPUS] = ",".join(devices)
    # Docker gives the name of the container whose network is joined, and refuses another; Podman makes one up unless told.
    named = {"Hostname": naming.hostname(node.cluster_id, address)} if podman else {}
    return {
        **named,
        "Image": image,
        "Entrypoint": [LAUNCHER],
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": "/",
        "Labels": labels,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }


def view_config(instance: str, image: str) -> dict[str, Any]:
    """A container that is never started: a handle on an image's files."""
    return {
        "Image": image,
        "Entrypoint": ["/never-started"],
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": "/",
        "Labels": {naming.INSTANCE: instance, naming.ROLE: naming.VIEW},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {"NetworkMode": "none", "CapDrop": ["ALL"]},
    }


def meeting_options(owner: tuple[int, int]) -> dict[str, str]:
    """The tmpfs of a node: bounded, and closed to all but the daemon's user (and root, which the launcher is)."""
    uid, gid = owner
    options = f"nr_blocks={MEETING_BLOCKS},nr_inodes={MEETING_INODES},mode=0700,uid={uid},gid={gid},nosuid,nodev"
    return {"type": "tmpfs", "device": "tmpfs", "o": options}


def _hardened(podman: bool) -> dict[str, Any]:
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "Init": False,
        "IpcMode": "private",
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "k8s-file" if podman else "json-file", "Config": {"max-size": LOG_BYTES}},
    }


def _limits(cpus: float, memory: int, pids: int) -> dict[str, Any]:
    """Limits as the engine takes them; without swap, which would make a limit of memory mean little."""
    limits: dict[str, Any] = {"Memory": memory, "MemorySwap": memory, "PidsLimit": pids}
    return {**limits, "NanoCpus": int(cpus * 1_000_000_000)} if cpus > 0 else limits
