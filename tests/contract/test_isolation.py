"""What a customer's container may not do, tried from inside one: other clusters, the machine, cloud metadata, the engine,
other nodes."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from boathouse.dataplane.contract import Presence
from boathouse.dataplane.engine.firewall import Firewall
from boathouse.settings import default_cache

pytestmark = pytest.mark.engine

TRY = """
import json, socket, sys
found = {}
for name, host, port in json.loads(sys.argv[1]):
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    probe.settimeout(1.5)
    try:
        probe.connect((host, port) if ":" not in host else (host, port, 0, 2))
        found[name] = "reached"
    except OSError as error:
        found[name] = type(error).__name__
print(json.dumps(found))
"""
LISTEN = "import socket; s = socket.create_server(('0.0.0.0', 7077)); print('up', flush=True); s.accept(); s.accept()"


def run(plane, node, *arguments: str, half: str = "") -> str:
    """Run something in the customer's container, or the daemon's (`half`: `-daemon`), by the engine's exec (the product itself
    never does)."""
    with plane.engine_driver.client.calls() as api:
        made = api.exec_create(f"bh-{plane.instance}-{node.node_id}{half}", ["/usr/bin/python3", "-S", "-c", *arguments])
        return api.exec_start(made["Id"]).decode()


def up(plane, node):
    plane.driver.ensure(node)
    plane.until(lambda: plane.driver.inspect(node.cluster_id)[0].container is Presence.RUNNING)
    return next(one for one in plane.driver.inspect(node.cluster_id) if one.node_id == node.node_id)


@contextlib.contextmanager
def listening(plane, node) -> Iterator[None]:
    """Something that accepts connections in a node, on port 7077."""
    with plane.engine_driver.client.calls() as api:
        made = api.exec_create(f"bh-{plane.instance}-{node.node_id}", ["/usr/bin/python3", "-S", "-c", LISTEN])
        output = api.exec_start(made["Id"], stream=True)
        next(iter(output))
        yield


@contextlib.contextmanager
def service_on_the_host() -> Iterator[int]:
    """A web server that the host binds to all its addresses, as careless people do."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def host_addresses() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


@pytest.fixture
def fenced(engine_plane):
    if not engine_plane.engine_driver.egress:
        pytest.skip("not root on the engine's machine: networks are internal, and have no firewall of ours")
    return engine_plane


def test_a_node_reaches_its_own_cluster_and_nothing_else_on_the_machine(fenced) -> None:
    mine, sister = fenced.node(0), fenced.node(1)
    other = fenced.node(0, cluster_id="1123-120000-neighbor")
    up(fenced, mine)
    here = [up(fenced, node).address for node in (sister, other)]
    gateway = str(here[0]).rsplit(".", 1)[0] + "." + str(int(str(here[0]).rsplit(".", 1)[1]) // 32 * 32 + 1)
    with service_on_the_host() as port, listening(fenced, sister), listening(fenced, other):
        targets = [
            ("sister", here[0], 7077),
            ("another cluster", here[1], 7077),
            ("the host by its bridge", gateway, port),
            ("metadata", "169.254.169.254", 80),
            *((f"the host by {address}", address, port) for address in host_addresses()),
        ]
        found = json.loads(run(fenced, mine, TRY, json.dumps(targets)))
    assert found.pop("sister") == "reached"
    assert "reached" not in found.values(), found


def test_a_sweep_puts_back_a_firewall_that_was_flushed(fenced) -> None:
    node = fenced.node()
    up(fenced, node)
    firewall = Firewall(default_cache() / "engine" / "network.lock")
    owner = f"{fenced.instance} {node.cluster_id}"
    with firewall.held():
        before = {name for name, whose in firewall.elements().items() if whose == owner}
        firewall.remove(owner)
    assert len(before) == 2
    fenced.driver.sweep(lambda: frozenset({node.cluster_id}))
    assert {name for name, whose in firewall.elements().items() if whose == owner} == before


def test_the_way_out_is_open(fenced) -> None:
    node = fenced.node()
    up(fenced, node)
    default = [line.split() for line in run(fenced, node, "print(open('/proc/net/route').read())").splitlines()[1:] if line]
    assert any(fields[1] == "00000000" for fields in default), "there is no default route"


def test_a_node_has_no_engine_socket_and_no_other_node(engine_plane) -> None:
    node = engine_plane.node()
    up(engine_plane, node)
    look = (
        "import os, json; places = ('/var/run/docker.sock', '/run/podman/podman.sock', '/node', '/var/lib/boathouse');"
        " print(json.dumps([p for p in places if os.path.exists(p)]))"
    )
    assert json.loads(run(engine_plane, node, look)) == []
    mounts = run(engine_plane, node, "print(open('/proc/self/mountinfo').read())")
    assert str(engine_plane.home / "nodes") not in mounts


LOOK_AROUND = """
import json, os
names, texts = [], {}
for at, folders, files in os.walk('/'):
    if not at.startswith(('/proc', '/sys')):
        names += [os.path.join(at, name) for name in folders + files]
processes = ['/proc/' + number + '/cmdline' for number in os.listdir('/proc') if number.isdigit()]
for place in ['/proc/self/mountinfo', '/proc/1/environ', '/etc/hosts', *processes]:
    try:
        texts[place] = open(place, errors='replace').read()
    except OSError:
        pass
print(json.dumps([names, texts]))
"""


def test_a_daemon_sees_no_other_node_and_no_engine(engine_plane) -> None:
    """It holds the tunnel of its node, and has that node's folder: nothing else of what the control plane keeps."""
    mine, sister = engine_plane.node(0), engine_plane.node(1)
    other = engine_plane.node(0, cluster_id="1123-120000-neighbor")
    for node in (mine, sister, other):
        up(engine_plane, node)
    names, texts = json.loads(run(engine_plane, mine, LOOK_AROUND, half="-daemon"))
    assert "/node" in names and mine.node_id in texts["/proc/self/mountinfo"], "the look itself sees something"
    seen = "\n".join([*names, *texts.values()])
    for stranger in (sister.node_id, other.node_id, other.cluster_id):
        assert stranger not in seen
    assert not [
        name for name in names if name.endswith((".sock", "boathouse.db")) and not name.startswith(("/node/", "/run/boathouse/"))
    ]


def test_a_customers_container_has_few_rights_and_its_limits(engine_plane) -> None:
    node = engine_plane.node()
    up(engine_plane, node)
    status = dict(
        line.split(":\t", 1)
        for line in run(engine_plane, node, "print(open('/proc/self/status').read())").splitlines()
        if ":\t" in line
    )
    # CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7
    assert int(status["CapBnd"], 16) == 0b11111011
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert status["Uid"].split()[0] == "0"
    with engine_plane.engine_driver.client.calls() as api:
        host = api.inspect_container(f"bh-{engine_plane.instance}-{node.node_id}")["HostConfig"]
        daemon = api.inspect_container(f"bh-{engine_plane.instance}-{node.node_id}-daemon")["HostConfig"]
    assert host["Memory"] == node.limits.memory_bytes and host["PidsLimit"] == node.limits.pids
    assert host["NanoCpus"] == int(node.limits.cpus * 1e9) or host["CpuQuota"] == int(node.limits.cpus * 100_000)
    assert daemon["ReadonlyRootfs"] is True and not daemon["CapAdd"]


def test_the_runtime_is_read_only_and_the_meeting_point_is_closed_and_bounded(engine_plane) -> None:
    node = engine_plane.node()
    up(engine_plane, node)
    look = """
import json, os
try:
    open('/databricks/runtime/x', 'w'); wrote = True
except OSError as error:
    wrote = error.strerror
at = os.stat('/run/boathouse'); space = os.statvfs('/run/boathouse')
print(json.dumps([wrote, oct(at.st_mode & 0o777), at.st_uid, space.f_blocks * space.f_frsize]))
"""
    wrote, mode, owner, size = json.loads(run(engine_plane, node, look))
    assert (wrote, mode, owner) == ("Read-only file system", "0o700", 0)
    assert 0 < size <= 256 * 1024 * 1024


def test_the_daemon_sees_its_own_directory_and_meets_the_customer(engine_plane) -> None:
    node = engine_plane.node()
    up(engine_plane, node)
    look = "import os; print(sorted(os.listdir('/run/boathouse')))"
    engine_plane.until(lambda: "launcher.sock" in run(engine_plane, node, look))
    hosts = run(engine_plane, node, "import socket; print(socket.gethostname() + '\\n' + open('/etc/hosts').read())")
    address = engine_plane.driver.inspect(node.cluster_id)[0].address
    name = f"{node.cluster_id}-{str(address).replace('.', '-')}"
    assert hosts.splitlines()[0] == name
    assert any(line.split()[0] == address and name in line.split() for line in hosts.splitlines()[1:] if line.strip())
    assert any("localhost" in line for line in hosts.splitlines())
