"""The rules of policies, by tables."""

import copy

import pytest
from msgspec.structs import replace

from tests.compute.policies.cases import ELSEWHERE, LIST_OF_A, SCRIPTS, WORLD, A, B, apply


def messages(policy, wish, **more):
    return [each.message.removeprefix("Validation failed for ") for each in apply(policy, wish, **more).refused]


#: (definition, wish, refusals)
ASKED = [
    # fixed
    ({"num_workers": {"type": "fixed", "value": 2}}, {"num_workers": 2}, []),
    ({"num_workers": {"type": "fixed", "value": 2}}, {"num_workers": 3}, ['num_workers, the value must be 2 (is "3")']),
    (
        {"enable_elastic_disk": {"type": "fixed", "value": True}},
        {"enable_elastic_disk": False},
        ['enable_elastic_disk, the value must be true (is "false")'],
    ),
    (
        {"driver_node_type_id": {"type": "fixed", "value": "i3.2xlarge"}},
        {"driver_node_type_id": "i3.xlarge"},
        ['driver_node_type_id, the value must be i3.2xlarge (is "i3.xlarge")'],
    ),
    (
        {"custom_tags.CostCenter": {"type": "fixed", "value": "9999"}},
        {"custom_tags": {"CostCenter": "1"}},
        ['custom_tags, CostCenter must be 9999 (is "1")'],
    ),
    ({"spark_conf.a.b": {"type": "fixed", "value": True}}, {"spark_conf": {"a.b": "true"}}, []),
    (
        {"num_workers": {"type": "fixed", "value": 0}},
        {"autoscale": {"min_workers": 1, "max_workers": 9}},
        ["num_workers, the value must be present"],
    ),
    (
        {"num_workers": {"type": "fixed", "value": 0}},
        {"num_workers": 0, "autoscale": {"min_workers": 1, "max_workers": 9}},
        ["num_workers, the value must be present"],
    ),
    ({"num_workers": {"type": "fixed", "value": 0}}, {"is_single_node": True}, []),
    ({"spark_version": {"type": "fixed", "value": "auto:latest-lts"}}, {"spark_version": "17.3.x-scala2.13"}, []),
    (
        {"spark_version": {"type": "fixed", "value": "auto:latest-lts"}},
        {"spark_version": "18.0.x-scala2.13"},
        ['spark_version, the value must be 17.3.x-scala2.13 (is "18.0.x-scala2.13")'],
    ),
    # forbidden
    ({"instance_pool_id": {"type": "forbidden"}}, {}, []),
    ({"instance_pool_id": {"type": "forbidden"}}, {"instance_pool_id": ""}, []),
    ({"instance_pool_id": {"type": "forbidden"}}, {"instance_pool_id": "p"}, ["instance_pool_id, the value cannot be present"]),
    ({"node_type_id": {"type": "forbidden"}}, {"instance_pool_id": "pool-small"}, []),
    ({"spark_conf.a": {"type": "forbidden"}}, {"spark_conf": {"a": ""}}, ["spark_conf, a cannot be present"]),
    ({"docker_image": {"type": "forbidden"}}, {"docker_image": {"url": "a"}}, ["docker_image, the value cannot be present"]),
    ({"docker_image": {"type": "forbidden"}}, {"docker_image": {}}, []),
    (
        {"enable_elastic_disk": {"type": "forbidden"}},
        {"enable_elastic_disk": False},
        ["enable_elastic_disk, the value cannot be present"],
    ),
    # allowlist, blocklist
    (
        {"node_type_id": {"type": "allowlist", "values": ["a", "b"]}},
        {"node_type_id": "c"},
        ['node_type_id, the value must be one of a, b (is "c")'],
    ),
    ({"node_type_id": {"type": "allowlist", "values": ["a"]}}, {}, ["node_type_id, the value must be present"]),
    ({"node_type_id": {"type": "allowlist", "values": ["a"], "isOptional": True}}, {}, []),
    ({"node_type_id": {"type": "allowlist", "values": ["small"]}}, {"instance_pool_id": "pool-small"}, []),
    (
        {"node_type_id": {"type": "allowlist", "values": ["small"]}},
        {"instance_pool_id": "pool-large"},
        ['node_type_id, the value must be one of small (is "large")'],
    ),
    ({"driver_node_type_id": {"type": "allowlist", "values": ["small"]}}, {"node_type_id": "small"}, []),
    (
        {"driver_node_type_id": {"type": "allowlist", "values": ["small"]}},
        {"node_type_id": "large"},
        ['driver_node_type_id, the value must be one of small (is "large")'],
    ),
    (
        {"node_type_id": {"type": "blocklist", "values": ["a"]}},
        {"node_type_id": "a"},
        ['node_type_id, the value cannot be one of a (is "a")'],
    ),
    ({"node_type_id": {"type": "blocklist", "values": ["a"]}}, {"node_type_id": "b"}, []),
    ({"spark_version": {"type": "allowlist", "values": ["auto:prev-lts"]}}, {"spark_version": "16.4.x-scala2.12"}, []),
    # regex
    ({"cluster_name": {"type": "regex", "pattern": "team-[a-z]+"}}, {"cluster_name": "team-x"}, []),
    (
        {"cluster_name": {"type": "regex", "pattern": "team-[a-z]+"}},
        {"cluster_name": "my team-x"},
        ['cluster_name, the value must match the pattern "team-[a-z]+" (is "my team-x")'],
    ),
    (
        {"cluster_name": {"type": "regex", "pattern": "team-[a-z]+"}},
        {"cluster_name": "team-x\n"},
        ['cluster_name, the value must match the pattern "team-[a-z]+" (is "team-x\n")'],
    ),
    # range
    (
        {"autotermination_minutes": {"type": "range", "minValue": 10, "maxValue": 60}},
        {"autotermination_minutes": 0},
        ['autotermination_minutes, the value must be at least 10 (is "0")'],
    ),
    (
        {"num_workers": {"type": "range", "maxValue": 10}},
        {"num_workers": 20},
        ['num_workers, the value must be at most 10 (is "20")'],
    ),
    (
        {"autoscale.max_workers": {"type": "range", "maxValue": 10}},
        {"num_workers": 5},
        ["autoscale.max_workers, the value must be present"],
    ),
    (
        {"azure_attributes.spot_bid_max_price": {"type": "range", "maxValue": 0.5}},
        {"azure_attributes": {"spot_bid_max_price": 0.75}},
        ['azure_attributes.spot_bid_max_price, the value must be at most 0.5 (is "0.75")'],
    ),
    # unlimited
    ({"custom_tags.Team": {"type": "unlimited"}}, {}, ["custom_tags, Team must be present"]),
    ({"custom_tags.Team": {"type": "unlimited"}}, {"custom_tags": {"Team": "any"}}, []),
    ({"custom_tags.Team": {"type": "unlimited", "isOptional": True}}, {}, []),
    ({"autoscale": {"type": "unlimited"}}, {"num_workers": 1}, ["autoscale, the value must be present"]),
    # every key of a map
    ({"spark_conf.*": {"type": "forbidden"}}, {"spark_conf": {"a": "1"}}, ["spark_conf, a cannot be present"]),
    ({"spark_conf.*": {"type": "forbidden"}, "spark_conf.a": {"type": "unlimited"}}, {"spark_conf": {"a": "1"}}, []),
    (
        {"custom_tags.*": {"type": "regex", "pattern": "[a-z]*"}},
        {"custom_tags": {"x": "ok", "y": "No"}},
        ['custom_tags, y must match the pattern "[a-z]*" (is "No")'],
    ),
    # every entry of a list, and entries by index
    (
        {SCRIPTS.format("*"): {"type": "forbidden"}},
        {"init_scripts": [A]},
        ["init_scripts.0.volumes.destination, the value cannot be present"],
    ),
    ({SCRIPTS.format("*"): {"type": "forbidden"}}, {"init_scripts": [ELSEWHERE]}, []),
    ({SCRIPTS.format("*"): LIST_OF_A}, {}, []),
    (
        {SCRIPTS.format("*"): LIST_OF_A},
        {"init_scripts": [A, B]},
        ['init_scripts.1.volumes.destination, the value must be one of /Volumes/a.sh (is "/Volumes/b.sh")'],
    ),
    (
        {SCRIPTS.format("*"): LIST_OF_A},
        {"init_scripts": [ELSEWHERE]},
        ["init_scripts.0.volumes.destination, the value must be present"],
    ),
    (
        {SCRIPTS.format("*"): LIST_OF_A, "init_scripts.*.workspace.destination": {"type": "unlimited"}},
        {"init_scripts": [A, ELSEWHERE]},
        [],
    ),
    (
        {SCRIPTS.format("0"): {"type": "fixed", "value": "/Volumes/a.sh"}, SCRIPTS.format("*"): {"type": "forbidden"}},
        {"init_scripts": [A]},
        [],
    ),
    (
        {SCRIPTS.format("0"): {"type": "fixed", "value": "/Volumes/a.sh"}, SCRIPTS.format("*"): {"type": "forbidden"}},
        {"init_scripts": [A, B]},
        ["init_scripts.1.volumes.destination, the value cannot be present"],
    ),
    (
        {SCRIPTS.format("0"): {"type": "fixed", "value": "/Volumes/a.sh"}},
        {"init_scripts": [ELSEWHERE]},
        ["init_scripts.0.volumes.destination, the value must be present"],
    ),
    # virtual
    ({"cluster_type": {"type": "fixed", "value": "job"}}, {}, ['cluster_type, the value must be job (is "all-purpose")']),
    ({"cluster_type": {"type": "allowlist", "values": ["job", "all-purpose"]}}, {}, []),
    (
        {"dbus_per_hour": {"type": "range", "maxValue": 5}},
        {"node_type_id": "large", "num_workers": 1},
        ['dbus_per_hour, the value must be at most 5 (is "8")'],
    ),
    ({"dbus_per_hour": {"type": "range", "maxValue": 5}}, {"node_type_id": "small", "num_workers": 4}, []),
    (
        {"dbus_per_hour": {"type": "range", "maxValue": 5}},
        {"node_type_id": "small", "autoscale": {"min_workers": 1, "max_workers": 9}},
        ['dbus_per_hour, the value must be at most 5 (is "10")'],
    ),
    (
        {"dbus_per_hour": {"type": "range", "maxValue": 9}},
        {"instance_pool_id": "pool-large", "driver_instance_pool_id": "pool-small", "num_workers": 2},
        [],
    ),
    (
        {"dbus_per_hour": {"type": "range", "maxValue": 9}},
        {"node_type_id": "unheard", "num_workers": 0},
        ["dbus_per_hour, the value cannot be computed, because its node types are not known"],
    ),
    # places of logs
    (
        {"cluster_log_conf.type": {"type": "fixed", "value": "DBFS"}},
        {"cluster_log_conf": {"s3": {"destination": "s3://a"}}},
        ['cluster_log_conf.type, the value must be DBFS (is "S3")'],
    ),
    (
        {"cluster_log_conf.path": {"type": "regex", "pattern": "dbfs:/logs/.*"}},
        {"cluster_log_conf": {"dbfs": {"destination": "dbfs:/other"}}},
        ['cluster_log_conf.path, the value must match the pattern "dbfs:/logs/.*" (is "dbfs:/other")'],
    ),
]


@pytest.mark.parametrize(("policy", "wish", "refused"), ASKED)
def test_asked(policy, wish, refused):
    before = copy.deepcopy(wish)
    assert messages(policy, wish) == refused
    assert wish == before


#: Hadoop's settings have two keys; Spark's have one.
END, LONG = "fs.s3a.endpoint", "spark.hadoop.fs.s3a.endpoint"


@pytest.mark.parametrize(("ruled", "sent"), [(END, LONG), (LONG, END), (END, END), (LONG, LONG)])
def test_no_rule_is_passed_by_under_the_other_key_of_the_same_setting(ruled, sent):
    wish = {"spark_conf": {sent: "http://mine", "spark.x": "1"}}
    forbidden, fixed = {"type": "forbidden"}, {"type": "fixed", "value": "http://ours"}
    assert messages({f"spark_conf.{ruled}": forbidden}, wish) == [f"spark_conf, {ruled} cannot be present"]
    assert messages({f"spark_conf.{ruled}": fixed}, wish) == [f'spark_conf, {ruled} must be http://ours (is "http://mine")']
    assert messages({f"spark_conf.{ruled}": fixed, "spark_conf.*": forbidden}, {"spark_conf": {sent: "http://ours"}}) == []
    kept = {"spark_conf": {sent: "http://ours", "spark.x": "1"}}
    assert apply({f"spark_conf.{ruled}": fixed}, kept).document == kept, "what was sent is stored as it was sent"
    assert list(apply({f"spark_conf.{ruled}": fixed}, kept).document["spark_conf"]) == [sent, "spark.x"]


def test_keys_of_spark_have_no_other_spelling():
    wish = {"spark_conf": {"spark.hadoop.spark.x": "1"}}
    assert messages({"spark_conf.spark.x": {"type": "forbidden"}}, wish) == []


#: (definition, wish, wish with fixed values, wish with defaults too)
FILLED = [
    ({"num_workers": {"type": "fixed", "value": 2}}, {}, {"num_workers": 2}, {"num_workers": 2}),
    ({"num_workers": {"type": "range", "maxValue": 9, "defaultValue": 2}}, {}, {}, {"num_workers": 2}),
    (
        {"num_workers": {"type": "range", "maxValue": 9, "defaultValue": 2}},
        {"num_workers": 0},
        {"num_workers": 0},
        {"num_workers": 0},
    ),
    (
        {"custom_tags.A": {"type": "fixed", "value": "1"}},
        {"custom_tags": {"B": "2"}},
        {"custom_tags": {"B": "2", "A": "1"}},
        None,
    ),
    (
        {"autoscale.min_workers": {"type": "fixed", "value": 1}, "autoscale.max_workers": {"type": "fixed", "value": 4}},
        {},
        {"autoscale": {"min_workers": 1, "max_workers": 4}},
        None,
    ),
    (
        {"autoscale.min_workers": {"type": "unlimited", "defaultValue": 1, "isOptional": True}},
        {"num_workers": 2},
        {"num_workers": 2},
        {"num_workers": 2},
    ),
    ({"spark_version": {"type": "fixed", "value": "auto:latest-lts"}}, {}, {"spark_version": "17.3.x-scala2.13"}, None),
    (
        {"spark_version": {"type": "unlimited", "defaultValue": "auto:latest-ml"}},
        {"spark_version": ""},
        {"spark_version": ""},
        {"spark_version": "18.0.x-cpu-ml-scala2.13"},
    ),
    (
        {
            "node_type_id": {"type": "unlimited", "defaultValue": "a"},
            "instance_pool_id": {"type": "fixed", "value": "pool-small"},
        },
        {},
        {"instance_pool_id": "pool-small"},
        {"instance_pool_id": "pool-small"},
    ),
    (
        {
            SCRIPTS.format(0): {"type": "fixed", "value": "/Volumes/a.sh"},
            SCRIPTS.format(1): {"type": "fixed", "value": "/Volumes/b.sh"},
        },
        {},
        {"init_scripts": [A, B]},
        None,
    ),
    (
        {
            "init_scripts.0.s3.destination": {"type": "fixed", "value": "s3://a"},
            "init_scripts.0.s3.region": {"type": "fixed", "value": "r"},
        },
        {},
        {"init_scripts": [{"s3": {"destination": "s3://a", "region": "r"}}]},
        None,
    ),
    ({"ssh_public_keys.0": {"type": "fixed", "value": "k"}}, {}, {"ssh_public_keys": ["k"]}, None),
    (
        {
            "cluster_log_conf.type": {"type": "fixed", "value": "VOLUMES"},
            "cluster_log_conf.path": {"type": "fixed", "value": "/Volumes/l"},
        },
        {},
        {"cluster_log_conf": {"volumes": {"destination": "/Volumes/l"}}},
        None,
    ),
    (
        {"cluster_log_conf.path": {"type": "unlimited"}},
        {"cluster_log_conf": {"s3": {"destination": "s3://a", "region": "r", "kms_key": "k"}}},
        {"cluster_log_conf": {"s3": {"destination": "s3://a", "region": "r", "kms_key": "k"}}},
        None,
    ),
    (
        {"workload_type.clients.jobs": {"type": "fixed", "value": False}},
        {},
        {"workload_type": {"clients": {"jobs": False}}},
        None,
    ),
]


@pytest.mark.parametrize(("policy", "wish", "fixed", "defaults"), FILLED)
def test_filled(policy, wish, fixed, defaults):
    assert apply(policy, wish).document == fixed
    assert apply(policy, wish, defaults=True).document == (fixed if defaults is None else defaults)
    assert apply(policy, wish, fill=False).document == wish


def test_the_message_is_the_platforms():
    policy = {
        "spark_conf.x": {"type": "unlimited"},
        "data_security_mode": {"type": "allowlist", "values": ["SINGLE_USER"]},
        "num_workers": {"type": "range", "maxValue": 10},
    }
    assert apply(policy, {"num_workers": 11}).error == (
        "Cluster validation error: Validation failed for spark_conf, x must be present; "
        "Validation failed for data_security_mode, the value must be present; "
        'Validation failed for num_workers, the value must be at most 10 (is "11")'
    )


def test_the_trace_says_what_each_rule_came_to():
    policy = {
        "node_type_id": {"type": "allowlist", "values": ["a", "b"], "defaultValue": "a"},
        "num_workers": {"type": "fixed", "value": 1},
        "cluster_name": {"type": "unlimited", "isOptional": True},
        "autotermination_minutes": {"type": "range", "maxValue": 5},
        "spark_conf.*": {"type": "forbidden"},
    }
    outcome = apply(policy, {"autotermination_minutes": 9, "spark_conf": {"k": "v"}}, defaults=True)
    assert [(each.path, each.verdict) for each in outcome.decisions] == [
        ("node_type_id", "default"),
        ("num_workers", "fixed"),
        ("cluster_name", "absent"),
        ("autotermination_minutes", "refused"),
        ("spark_conf.k", "refused"),
    ]


@pytest.mark.parametrize(
    "built, meant", [({"16.4.x-scala2.12", "15.4.x-scala2.12"}, "16.4.x-scala2.12"), (set(), "18.0.x-scala2.13")]
)
def test_auto_means_the_newest_that_is_built_else_the_newest(built: set[str], meant: str):
    here = replace(WORLD, built=built.__contains__)
    assert apply({"spark_version": {"type": "fixed", "value": "auto:latest"}}, {}, here).document["spark_version"] == meant
