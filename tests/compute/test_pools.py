"""Instance pools by the unmodified SDK, what is refused, and how clusters name pools."""

import dataclasses
import inspect
import typing

import msgspec
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied, ResourceAlreadyExists
from databricks.sdk.service import compute as sdk
from sqlalchemy import select

from boathouse.compute import pool_rules, pool_stock
from boathouse.compute.gpu_rules import GpusThere
from boathouse.compute.plan_pool import Decision, Image, Instance, View, decide, turns
from boathouse.compute.tables import instance_pools
from boathouse.wire import pools as wire
from boathouse.workspace.sealing import Sealer
from tests.compute.conftest import API

RUNTIME = "17.3.x-scala2.13"
NAMES = [
    "InstancePoolAndStats", "InstancePoolAwsAttributes", "InstancePoolAzureAttributes", "InstancePoolGcpAttributes", "DiskSpec",
    "DiskType", "PendingInstanceError", "InstancePoolStats", "InstancePoolStatus", "ListInstancePools",
    "CreateInstancePoolResponse",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_structs_have_the_sdks_fields(name):
    ours = {field.encode_name for field in msgspec.structs.fields(getattr(wire, name))}
    assert ours == {field.name for field in dataclasses.fields(getattr(sdk, name))}


@pytest.mark.parametrize(
    ("method", "name"),
    [("create", "InstancePoolSpec"), ("edit", "EditInstancePool"), ("delete", "InstancePoolId"), ("get", "InstancePoolId")],
)
def test_bodies_have_the_sdks_arguments(method, name):
    ours = {field.encode_name for field in msgspec.structs.fields(getattr(wire, name))}
    assert ours == set(inspect.signature(getattr(sdk.InstancePoolsAPI, method)).parameters) - {"self"}


def test_every_field_of_a_pool_is_served_a_label_or_refused():
    served = {
        "instance_pool_name", "node_type_id", "min_idle_instances", "max_capacity", "idle_instance_autotermination_minutes",
        "preloaded_docker_images", "preloaded_spark_versions",
    }  # fmt: skip
    fields = {field.encode_name for field in msgspec.structs.fields(wire.InstancePoolSpec)}
    assert fields == served | pool_rules.LABELS | {"node_type_flexibility"}


WISH = {"instance_pool_name": "p", "node_type_id": "i3.xlarge"}
REFUSED: list[tuple[dict[str, typing.Any], list[str]]] = [
    ({"instance_pool_name": ""}, ["instance_pool_name", "0 characters", "1 to 100"]),
    ({"instance_pool_name": "x" * 101}, ["instance_pool_name", "101", "1 to 100"]),
    ({"node_type_id": "huge"}, ["node_type_id", "'huge'", "i3.xlarge"]),
    ({"node_type_id": "g4dn.xlarge"}, ["node_type_id", "GPUs"]),
    ({"min_idle_instances": -1}, ["min_idle_instances: -1", "0 or more"]),
    ({"max_capacity": 0}, ["max_capacity: 0", "1 or more"]),
    ({"min_idle_instances": 3, "max_capacity": 2}, ["min_idle_instances: 3", "max_capacity, which is 2"]),
    ({"idle_instance_autotermination_minutes": 10_001}, ["idle_instance_autotermination_minutes: 10001", "0 to 10000"]),
    ({"preloaded_spark_versions": [RUNTIME, RUNTIME]}, ["preloaded_spark_versions", "at most 1"]),
    ({"preloaded_spark_versions": ["1.0"]}, ["preloaded_spark_versions", "'1.0'", RUNTIME]),
    ({"preloaded_docker_images": [{"url": "a b"}]}, ["preloaded_docker_images[0].url"]),
    ({"preloaded_docker_images": [{}]}, ["preloaded_docker_images[0].url"]),
    (
        {"preloaded_docker_images": [{"url": "a"}, {"url": "b", "basic_auth": {"username": "u"}}]},
        ["preloaded_docker_images[1].basic_auth.password"],
    ),
    ({"custom_tags": {"InstancePoolId": "x"}}, ["custom_tags", "InstancePoolId"]),
    ({"disk_spec": {"disk_count": 2**31}}, ["disk_spec.disk_count", str(2**31)]),
    ({"node_type_flexibility": {}}, ["node_type_flexibility", "not served"]),
    ({"instance_pool_name": "a\0"}, ["NUL"]),
]


@pytest.mark.parametrize(("more", "words"), REFUSED)
def test_refusals(more, words):
    spec = msgspec.convert({**WISH, **more}, wire.InstancePoolSpec)
    first = next(pool_rules.violations(spec, "aws", [RUNTIME], dcs_enabled=True))
    assert all(word in first for word in words), first


def test_images_need_container_services():
    spec = msgspec.convert({**WISH, "preloaded_docker_images": [{"url": "a"}]}, wire.InstancePoolSpec)
    assert "Custom containers is turned off" in next(pool_rules.violations(spec, "aws", [RUNTIME], dcs_enabled=False))


@pytest.fixture
def client(served, ready, around, services, store, keys):
    services.add(Sealer(keys))
    host = served(*API, "boathouse.auth.discovery", "boathouse.identity.me", "boathouse.workspace.conf")
    client = WorkspaceClient(host=host, token=ready.token)
    client.workspace_conf.set_status({"enableDcs": "true"})
    return client


def test_a_pool_comes_back_as_it_was_sent(client, store):
    pools = client.instance_pools
    plain = sdk.DockerBasicAuth(username="ann", password="plain-password")
    image = sdk.DockerImage(url="registry.example.com/a:1", basic_auth=plain)
    other = sdk.DockerImage(url="b:2", basic_auth=sdk.DockerBasicAuth(username="bob", password="{{secrets/s/k}}"))
    sent: dict[str, typing.Any] = {
        "min_idle_instances": 1, "max_capacity": 4, "idle_instance_autotermination_minutes": 0, "custom_tags": {"team": "a"},
        "preloaded_spark_versions": [RUNTIME], "preloaded_docker_images": [image, other],
        "disk_spec": sdk.DiskSpec(disk_count=1, disk_size=10),
        "aws_attributes": sdk.InstancePoolAwsAttributes(zone_id="us-west-2a"),
    }  # fmt: skip
    pool_id = pools.create("first", "i3.xlarge", **sent).instance_pool_id
    shown = pools.get(pool_id)
    assert "plain-password" not in str(shown.as_dict())
    image.basic_auth = sdk.DockerBasicAuth(username="ann", password="[REDACTED]")
    for name, value in sent.items():
        assert getattr(shown, name) == value, name
    assert (shown.instance_pool_name, shown.node_type_id, shown.state) == ("first", "i3.xlarge", sdk.InstancePoolState.ACTIVE)
    assert shown.stats == sdk.InstancePoolStats(0, 0, 0, 0)
    assert shown.default_tags is not None and shown.default_tags["InstancePoolId"] == pool_id
    assert [pool.instance_pool_id for pool in pools.list()] == [pool_id]
    with store.read() as reader:
        assert "plain-password" not in str(reader.execute(select(instance_pools.c.spec)).scalar_one())


def test_names_edits_and_ends(client, store):
    pools = client.instance_pools
    pool_id = pools.create("first", "i3.xlarge", max_capacity=3, preloaded_spark_versions=[RUNTIME]).instance_pool_id
    with pytest.raises(ResourceAlreadyExists, match="'first' already exists"):
        pools.create("first", "i3.xlarge")
    other = pools.create("second", "i3.xlarge").instance_pool_id
    with pytest.raises(ResourceAlreadyExists, match="'first' already exists"):
        pools.edit(other, "first", "i3.xlarge")
    with pytest.raises(InvalidParameterValue, match="node_type_id"):
        pools.edit(pool_id, "first", "i3.2xlarge")
    pools.edit(pool_id, "renamed", "i3.xlarge", min_idle_instances=1)
    shown = pools.get(pool_id)
    assert (shown.instance_pool_name, shown.min_idle_instances, shown.max_capacity) == ("renamed", 1, None)
    assert shown.preloaded_spark_versions == [RUNTIME]
    pools.delete(pool_id)
    for call in (lambda: pools.get(pool_id), lambda: pools.delete(pool_id), lambda: pools.edit(pool_id, "x", "i3.xlarge")):
        with pytest.raises(NotFound, match=pool_id):
            call()
    assert pools.create("renamed", "i3.xlarge").instance_pool_id


def test_clusters_name_pools(client, store):
    pools = client.instance_pools
    pool_id = pools.create("workers", "i3.xlarge").instance_pool_id
    driver_id = pools.create("drivers", "i3.2xlarge").instance_pool_id
    made = client.clusters.create(RUNTIME, instance_pool_id=pool_id, driver_instance_pool_id=driver_id, num_workers=2).cluster_id
    shown = client.clusters.get(made)
    assert (shown.instance_pool_id, shown.driver_instance_pool_id) == (pool_id, driver_id)
    assert (shown.node_type_id, shown.driver_node_type_id) == ("i3.xlarge", "i3.2xlarge")
    assert shown.spec.node_type_id is None
    alone = client.clusters.create(RUNTIME, instance_pool_id=pool_id, num_workers=0, node_type_id="i3.xlarge").cluster_id
    assert client.clusters.get(alone).driver_instance_pool_id == pool_id
    assert pools.get(pool_id).stats == sdk.InstancePoolStats(0, 0, 3, 0)
    assert pools.get(driver_id).stats == sdk.InstancePoolStats(0, 0, 1, 0)
    with pytest.raises(InvalidParameterValue, match="'node_type_id' cannot be supplied when an instance pool ID is provided"):
        client.clusters.create(RUNTIME, instance_pool_id=pool_id, num_workers=0, node_type_id="i3.2xlarge")
    with pytest.raises(InvalidParameterValue, match="Can't find an instance pool with id: nowhere"):
        client.clusters.create(RUNTIME, instance_pool_id="nowhere", num_workers=0)
    pools.delete(pool_id)
    with pytest.raises(InvalidParameterValue, match="Can't find an instance pool"):
        client.clusters.create(RUNTIME, instance_pool_id=pool_id, num_workers=0)


def test_clusters_from_pools_get_gpus_that_are_there(client, around):
    """A pool needs the GPUs of one instance; a cluster of it those of all its nodes."""
    around.gpus = lambda: GpusThere(2)
    pool_id = client.instance_pools.create("gpus", "g5.xlarge").instance_pool_id
    with pytest.raises(InvalidParameterValue, match="instance_pool_id: g5.xlarge has GPUs; the nodes need 3, and .* has 2"):
        client.clusters.create(RUNTIME, instance_pool_id=pool_id, num_workers=2)
    assert client.clusters.create(RUNTIME, instance_pool_id=pool_id, num_workers=1).cluster_id


def test_who_may(client, make_user):
    """A pool is its creator's and the admins'; creating one needs the entitlement."""
    pool_id = client.instance_pools.create("admins", "i3.xlarge").instance_pool_id
    stranger = WorkspaceClient(host=client.config.host, token=make_user("stranger@x.org")[1])
    assert list(stranger.instance_pools.list()) == []
    for call in (
        lambda: stranger.instance_pools.create("mine", "i3.xlarge"),
        lambda: stranger.instance_pools.get(pool_id),
        lambda: stranger.instance_pools.delete(pool_id),
        lambda: stranger.clusters.create(RUNTIME, instance_pool_id=pool_id, num_workers=0),
    ):
        with pytest.raises(PermissionDenied):
            call()


def row(source="API", wish="running", spec=None, facts=None, launch=1, pool="p", driver="p"):
    from types import SimpleNamespace

    return SimpleNamespace(
        cluster_id="c", source=source, wish=wish, spec=spec or {"num_workers": 2}, facts=facts or {}, launch=launch,
        wished_launch=1, pool_id=pool, driver_pool_id=driver,
    )  # fmt: skip


COUNTS = [
    (row(), [], pool_stock.Counts(0, 3, 0, 0)),
    (row(), [(0, True), (1, True), (2, False)], pool_stock.Counts(2, 1, 0, 0)),
    (row(driver="q"), [(0, True), (1, True)], pool_stock.Counts(1, 1, 0, 0)),
    (row(pool="q"), [(0, True), (1, True)], pool_stock.Counts(1, 0, 0, 0)),
    (row(wish="terminated"), [(0, True), (1, False)], pool_stock.Counts(1, 1, 0, 0)),
    (row(source="POOL", facts={"ready": 5, "warm": 6}), [(0, True)], pool_stock.Counts(0, 0, 1, 0)),
    (row(source="POOL"), [(0, False)], pool_stock.Counts(0, 0, 0, 1)),
    (row(source="POOL", wish="deleted"), [(0, True)], pool_stock.Counts()),
    (row(spec={"autoscale": {"min_workers": 1, "max_workers": 8}}, facts={"target": 4}), [], pool_stock.Counts(0, 5, 0, 0)),
    (row(spec={"autoscale": {"min_workers": 1, "max_workers": 8}}, launch=0), [], pool_stock.Counts(0, 2, 0, 0)),
]


@pytest.mark.parametrize(("cluster", "there", "expected"), COUNTS)
def test_counts(cluster, there, expected):
    assert pool_stock.count("p", [cluster], {"c": there}) == expected


def one(name, made_at=0, ready_at: int | None = 0, wish="running", state="PENDING"):
    return Instance(name, 0, wish, state, made_at, ready_at)


def view(*instances, **more):
    usual = {"now": 1_000_000, "active": True, "least": 1, "most": None, "minutes": 1, "claimed": 0}
    return View(**{**usual, **more}, instances=instances)


A, B, NEW = one("a", 1, 950_000), one("b", 2, 990_000), one("new", 3, None)
FAILED = one("f", 1, None, "terminated", "TERMINATED")
DECISIONS = [
    (view(), Decision(make=("",))),
    (view(images=[Image("x", there=False)]), Decision()),
    (view(retry_at=1_005_000), Decision(again=5_000)),
    (view(starting=999_000), Decision(again=29_000)),
    (view(starting=900_000), Decision(make=("",))),
    (view(A), Decision()),
    (view(A, B), Decision(again=50_000)),  # b is one too many for 50 seconds more
    (view(A, NEW), Decision(drop=(NEW,))),
    (view(A, B, minutes=0), Decision(drop=(B,))),
    (view(A, B, least=2, most=3, claimed=2), Decision(drop=(B,))),  # idle ones give way
    (view(least=2, most=3, claimed=3), Decision()),
    (view(least=2, most=3, claimed=2), Decision(make=("",))),
    (view(least=3, spare=1), Decision(make=("",), again=15_000, waits=2)),
    (view(A, least=3, spare=0, retry_at=1_005_000), Decision(again=15_000, waits=2)),
    (view(A, B, least=2, spare=0, yields={"b"}), Decision(drop=(B,), again=15_000, waits=1)),
    (view(A, B, least=1, most=1, yields={"b"}), Decision(drop=(B,))),
    (view(FAILED), Decision(failed=(FAILED,), again=0)),
    (view(A, active=False), Decision(drop=(A,))),
    (view(one("x", wish="deleted"), active=False), Decision()),
    (view(active=False), Decision(gone=True)),
]


@pytest.mark.parametrize(("seen", "expected"), DECISIONS)
def test_how_many_are_kept(seen, expected):
    assert decide(seen) == expected


X, Y, Z = Image("x"), Image("y"), Image("z")
COMING, LOST = Image("y", there=False), Image("y", there=False, failed=True)
TURNS = [
    ([X, Y, Z], [], 5, ("x", "y", "z", "x", "y")),
    ([X, Y, Z], ["x", "y"], 1, ("z",)),
    ([X, Y, Z], ["y", "z"], 1, ("x",)),  # one was taken
    ([X, Y], ["x"], 1, ("y",)),
    ([X, Y], ["gone", "gone"], 2, ("x", "y")),
    ([X, COMING], [], 3, ("x", "x")),  # the turn of the second is kept
    ([X, LOST], [], 3, ("x", "x", "x")),
    ([LOST], [], 3, ()),
    ([X, X], [], 2, ("x", "x")),
]


@pytest.mark.parametrize(("images", "held", "count", "expected"), TURNS)
def test_images_have_turns(images, held, count, expected):
    assert turns(images, held, count) == expected
    there = [Instance(f"i{at}", 0, "running", "PENDING", 0, 0, image=image) for at, image in enumerate(held)]
    assert decide(view(*there, least=len(held) + count, images=images)).make == expected
