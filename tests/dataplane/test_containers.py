"""What is asked of the engine, as a whole: a change here is a change of what a node may do."""

from pathlib import Path

from boathouse.dataplane.contract import Limits, NodeSpec
from boathouse.dataplane.engine import containers, naming
from boathouse.dataplane.engine.stacks import options

NODE = NodeSpec(
    node_id="1123-120000-abcdefgh-0-1",
    cluster_id="1123-120000-abcdefgh",
    index=0,
    directory=Path("/data/nodes/1123-120000-abcdefgh-0-1"),
    limits=Limits(cpus=1.5, memory_bytes=4 * 1024**3, pids=512),
    image="sha256:" + "0" * 64,
    layers=(Path("/patch"), Path("/release")),
    labels={"team": "a", naming.INSTANCE: "somebody else"},
)
LABELS = {
    "team": "a",
    "org.boathouse.instance": "0badcafe",
    "org.boathouse.cluster": "1123-120000-abcdefgh",
    "org.boathouse.node": "1123-120000-abcdefgh-0-1",
    "org.boathouse.address": "10.213.0.2",
}


def test_the_customers_container() -> None:
    assert containers.customer_config("0badcafe", NODE, NODE.image or "", "runtime-volume", "10.213.0.2", podman=True) == {
        "Hostname": "1123-120000-abcdefgh-10-213-0-2",
        "Image": "sha256:" + "0" * 64,
        "Entrypoint": ["/databricks/runtime/bin/launcher"],
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": "/",
        "Labels": {**LABELS, "org.boathouse.role": "container"},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "CapDrop": ["ALL"],
            "CapAdd": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL"],
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": False,
            "Init": False,
            "IpcMode": "private",
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "k8s-file", "Config": {"max-size": "1m"}},
            "Memory": 4 * 1024**3,
            "MemorySwap": 4 * 1024**3,
            "PidsLimit": 512,
            "NanoCpus": 1_500_000_000,
            "NetworkMode": "container:bh-0badcafe-1123-120000-abcdefgh-0-1-daemon",
            "ShmSize": 1024**3,
            "Binds": [
                "runtime-volume:/databricks/runtime:ro,nocopy",
                "bh-0badcafe-1123-120000-abcdefgh-warehouse:/local_disk0/spark-warehouse:rw,nocopy",
                "bh-0badcafe-1123-120000-abcdefgh-0-1-run:/run/boathouse:rw,nocopy",
            ],
        },
    }


def test_the_daemons_container_gets_less() -> None:
    config = containers.daemon_config("0badcafe", NODE, "daemon", "bh-net", "10.213.0.2", "1000:1000", podman=False)
    host = config.pop("HostConfig")
    assert config == {
        "Image": "daemon",
        "Hostname": "1123-120000-abcdefgh-10-213-0-2",
        "Entrypoint": ["python3", "-S", "-E", "/boathouse/daemon.py"],
        "Cmd": [],
        "User": "1000:1000",
        "WorkingDir": "/",
        "Labels": {**LABELS, "org.boathouse.role": "daemon"},
        "NetworkingConfig": {"EndpointsConfig": {"bh-net": {"IPAMConfig": {"IPv4Address": "10.213.0.2"}}}},
    }
    assert host["CapDrop"] == ["ALL"] and "CapAdd" not in host and host["ReadonlyRootfs"] is True
    assert host["LogConfig"]["Type"] == "json-file"
    assert host["NetworkMode"] == "bh-net"
    assert host["Mounts"] == [{"Type": "bind", "Source": str(NODE.directory), "Target": "/node", "ReadOnly": False}]
    assert host["Binds"] == ["bh-0badcafe-1123-120000-abcdefgh-0-1-run:/run/boathouse:rw,nocopy"]


def test_where_the_engine_cannot_limit_nothing_is_asked() -> None:
    host = containers.customer_config("i", NODE, "image", "volume", "10.213.0.2", podman=True, limits=False)["HostConfig"]
    assert not {"Memory", "MemorySwap", "PidsLimit", "NanoCpus"} & set(host)


def test_the_volumes() -> None:
    meeting = containers.meeting_options((1000, 100))["o"].split(",")
    assert {"mode=0700", "uid=1000", "gid=100", "nr_blocks=65536"} <= set(meeting)
    assert options(NODE.layers, Path("/scratch")) == {
        "type": "overlay",
        "device": "overlay",
        "o": "lowerdir=/patch:/release,upperdir=/scratch/upper,workdir=/scratch/work",
    }


def test_names_fit_where_they_go() -> None:
    assert len(naming.bridge("0badcafe", NODE.cluster_id)) == 15
    assert naming.bridge("0badcafe", NODE.cluster_id) != naming.bridge("0badcaff", NODE.cluster_id)
    assert len(naming.hostname(NODE.cluster_id, "255.255.255.255")) <= 63
    for name in (naming.daemon("i", NODE.node_id), naming.container("i", NODE.node_id), naming.network("i", NODE.cluster_id)):
        assert name.startswith(naming.prefix("i"))
