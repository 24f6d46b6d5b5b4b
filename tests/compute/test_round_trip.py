"""What was accepted is what is shown, exactly: empties, unusual text and every label included."""

import contextlib
import string
import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boathouse.compute import cluster_changes, cluster_spec, cluster_view, clusters, map_rules, node_types, rules, surroundings
from boathouse.compute.surroundings import Surroundings
from boathouse.edge import Caller, Ctx
from boathouse.edge.context import Services
from boathouse.wire.compute import (
    AwsAttributes,
    AzureAttributes,
    ClusterDetails,
    ClusterId,
    ClusterSpec,
    CreateCluster,
    EditCluster,
    GcpAttributes,
)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
values = text | st.just("{{secrets/scope/key}}")


def some(shape: Any) -> Any:
    """Any JSON that the wire type `shape` takes, each field there or not."""
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        hints = typing.get_type_hints(shape)
        return st.fixed_dictionaries({}, optional={name: some(hint) for name, hint in hints.items()})
    if typing.get_origin(shape) in (types.UnionType, typing.Union):
        return some(next(part for part in typing.get_args(shape) if part is not type(None)))
    if typing.get_origin(shape) is typing.Literal:
        return st.sampled_from(typing.get_args(shape))
    if typing.get_origin(shape) is dict:
        return st.dictionaries(text, text, max_size=3)
    if typing.get_origin(shape) is list:
        return st.lists(some(typing.get_args(shape)[0]), max_size=2)
    return {
        int: st.integers(-(2**63), 2**63 - 1), bool: st.booleans(), str: text,
        float: st.floats(allow_nan=False, allow_infinity=False),
    }[shape]  # fmt: skip


names = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(
    lambda name: not name.startswith("spark.")
)
accepted = st.fixed_dictionaries(
    {
        "spark_version": st.sampled_from([key for key in surroundings.spark_versions() if "-ml-" not in key]),
        "node_type_id": st.sampled_from([size.node_type_id for size in node_types.SIZES["aws"].values() if not size.gpus]),
        "num_workers": st.integers(0, 50),
    },
    optional={
        "driver_node_type_id": st.sampled_from(["i3.xlarge", "m5.large", ""]),
        "cluster_name": text,
        "custom_tags": st.dictionaries(
            printable.filter(lambda key: key not in map_rules.DEFAULT_TAGS), printable | st.just(""), max_size=5
        ),
        "spark_conf": st.dictionaries(names, values, max_size=5),
        "spark_env_vars": st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), values, max_size=5),
        "autotermination_minutes": st.just(0) | st.integers(10, 10_000),
        "data_security_mode": st.sampled_from(["NONE", *sorted(cluster_spec.DEDICATED)]),
        "init_scripts": st.just([]),
        "ssh_public_keys": st.just([]),
        "workload_type": st.sampled_from([{"clients": {}}, {"clients": {"jobs": True}}]),
        "aws_attributes": some(AwsAttributes).filter(lambda value: not value.get("instance_profile_arn")),  # only registered ones
        "azure_attributes": some(AzureAttributes).filter(lambda value: "log_analytics_info" not in value),
        "gcp_attributes": some(GcpAttributes),
        "enable_elastic_disk": st.booleans(),
        "enable_local_disk_encryption": st.booleans(),
        "apply_policy_default_values": st.booleans(),
        "runtime_engine": st.sampled_from(["STANDARD", "NULL"]),
        "kind": st.just("CLASSIC_PREVIEW"),
        "is_single_node": st.just(False),
        "use_ml_runtime": st.just(False),
        "remote_disk_throughput": st.integers(0, 2**40),
        "total_initial_remote_disk_size": st.integers(0, 2**40),
        "policy_id": st.just(""),
        "single_user_name": st.just(""),
        "docker_image": st.fixed_dictionaries(
            {"url": st.sampled_from(["ubuntu", "reg.example.com:5000/a/b:1", "a/b@sha256:" + "a" * 64])},
            optional={"basic_auth": st.just({"username": "u", "password": "{{secrets/s/k}}"})},
        ),
    },
)
WORLD = rules.World("aws", surroundings.spark_versions(), dcs_enabled=True, max_workers=50)


def allowed(sent: dict[str, Any]) -> bool:
    return next(rules.violations(msgspec.convert(sent, ClusterSpec), WORLD), None) is None


#: Where the server may say more than was sent, and nothing else.
FILLED = {"single_user_name": ""}


@pytest.fixture
def ctx(store, ready):
    with store.transaction() as tx:
        from boathouse.identity import workspaces

        workspaces.set_conf(tx, ready.home.workspace_id, "enableDcs", "true")
    caller = Caller(ready.home.admin_id, "ann@x.org", "user", ready.home.workspace_id, admin=True)
    return Ctx(store, caller, Services(Surroundings(max_workers=50)))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=accepted.filter(allowed), edited=accepted.filter(allowed))
def test_sent_is_read(ctx, sent, edited):
    body = msgspec.json.decode(msgspec.json.encode(sent), type=CreateCluster)
    made = clusters.create(ctx, body).cluster_id
    check(msgspec.json.decode(msgspec.json.encode(clusters.get(ctx, ClusterId(made)))), sent)
    with ctx.transaction() as tx:
        from sqlalchemy import update

        from boathouse.compute.tables import clusters as table

        tx.execute(update(table).where(table.c.cluster_id == made).values(state="TERMINATED", terminated_time=ctx.store.clock()))
    cluster_changes.edit(ctx, msgspec.convert({**edited, "cluster_id": made}, EditCluster))
    check(msgspec.json.decode(msgspec.json.encode(clusters.get(ctx, ClusterId(made)))), edited)


def check(shown: dict[str, Any], sent: dict[str, Any]) -> None:
    assert shown["spec"] == sent
    for name, value in sent.items():
        if name in FILLED and value == FILLED[name]:
            continue
        if name == "apply_policy_default_values":
            assert name not in shown
        else:
            assert shown[name] == value, name


@settings(max_examples=200, deadline=None)
@given(some(ClusterSpec))
def test_the_rules_never_break(sent):
    """Whatever the decoder lets through is accepted or refused with one sentence."""
    with contextlib.suppress(msgspec.ValidationError):
        spec = msgspec.convert({"spark_version": "17.3.x-scala2.13", **sent}, ClusterSpec)
        for sentence in rules.violations(spec, WORLD):
            assert isinstance(sentence, str) and sentence


def test_the_view_only_adds(store):
    """Every field of the wish but the spec-only one is a field of the answer."""
    wish = {field.encode_name for field in msgspec.structs.fields(ClusterSpec)}
    answer = {field.encode_name for field in msgspec.structs.fields(ClusterDetails)}
    assert wish - answer == {"apply_policy_default_values"}
    assert cluster_view.JDBC_PORT == 10000
