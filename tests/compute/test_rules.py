"""Every refusal of a wish: one 400 that names the field, and usually the value and what is allowed."""

import pytest

from boathouse.compute import rules
from boathouse.wire.compute import ClusterSpec

ALLOWED: list[dict] = [
    {},
    {"num_workers": 0},
    {"num_workers": 0, "spark_conf": {"spark.master": "local[*, 4]", "spark.databricks.cluster.profile": "singleNode"}},
    {"num_workers": None, "is_single_node": True, "kind": "CLASSIC_PREVIEW"},
    {"num_workers": None, "autoscale": {"min_workers": 0, "max_workers": 1}},
    {"num_workers": 0, "autoscale": {"min_workers": 1, "max_workers": 100}},
    {"autotermination_minutes": 0},
    {"autotermination_minutes": 10_000},
    {"custom_tags": {f"k{n}": "v" for n in range(45)}},
    {"custom_tags": {}, "init_scripts": [], "ssh_public_keys": [], "single_user_name": "", "policy_id": "", "cluster_name": ""},
    {"runtime_engine": "STANDARD"},
    {"runtime_engine": "NULL", "dependency_mode": "DEPENDENCY_MODE_CLUSTER_LIBRARIES", "use_ml_runtime": False},
    {"workload_type": {"clients": {"jobs": True, "notebooks": True}}},
    {"workload_type": {"clients": {}}},
    {"data_security_mode": "NONE"},
    {"data_security_mode": "SINGLE_USER", "single_user_name": "ann@x.org"},
    {"data_security_mode": "DATA_SECURITY_MODE_DEDICATED"},
    {"spark_conf": {"spark.x": "{{secrets/scope/key}}"}, "spark_env_vars": {"A_1": "{{secrets/scope/key}}", "PATH": ""}},
    {"driver_node_type_id": "m6g.large"},
    {"spark_version": "17.3.x-cpu-ml-scala2.13"},
    {"docker_image": {"url": "registry.example.com:5000/team/image:1.2"}},
    {"docker_image": {"url": "ubuntu"}, "data_security_mode": "SINGLE_USER"},
    {"docker_image": {"url": "a/b@sha256:" + "0" * 64, "basic_auth": {"username": "u", "password": "{{secrets/s/k}}"}}},
    {"aws_attributes": {"availability": "SPOT", "instance_profile_arn": "arn:aws:iam::1:instance-profile/x"}},
    {"gcp_attributes": {}, "azure_attributes": {}, "enable_local_disk_encryption": True, "remote_disk_throughput": 5},
]

ALLOWED += [
    {"spark_conf": {"spark.dynamicAllocation.enabled": "false", "spark.driver.memory": "2g"}},
    {"spark_conf": {"spark.executor.memory": "{{secrets/s/k}}", "spark.databricks.aggressiveWindowDownS": "600"}},
    {"spark_conf": {"spark.a": "x" * (64 * 1024 - 7)}},
]

REFUSED: list[tuple[dict, list[str]]] = [
    ({"spark_version": "9.9.x-scala2.12"}, ["spark_version", "9.9.x-scala2.12", "17.3.x-scala2.13"]),
    ({"node_type_id": None}, ["node_type_id", "list-node-types"]),
    ({"node_type_id": "i3.huge"}, ["node_type_id", "i3.huge", "i3.xlarge"]),
    ({"node_type_id": "Standard_DS3_v2"}, ["node_type_id", "azure", "aws"]),
    ({"driver_node_type_id": "nope"}, ["driver_node_type_id", "nope", "i3.xlarge"]),
    ({"node_type_id": "g5.xlarge"}, ["node_type_id", "g5.xlarge has GPUs", "need 3", "boathouse doctor"]),
    ({"num_workers": None}, ["num_workers", "0 to 100"]),
    ({"num_workers": -1}, ["num_workers", "-1", "0 to 100"]),
    ({"num_workers": 101}, ["num_workers", "101", "0 to 100"]),
    ({"num_workers": 2**70}, ["num_workers"]),
    ({"aws_attributes": {"ebs_volume_count": 2**65}}, ["aws_attributes.ebs_volume_count", str(2**65), str(2**31 - 1)]),
    ({"gcp_attributes": {"boot_disk_size": -(2**40)}}, ["gcp_attributes.boot_disk_size"]),
    ({"total_initial_remote_disk_size": 2**64}, ["total_initial_remote_disk_size"]),
    ({"is_single_node": True}, ["is_single_node", "CLASSIC_PREVIEW"]),
    ({"is_single_node": True, "kind": "CLASSIC_PREVIEW", "num_workers": 3}, ["num_workers", "3", "is_single_node"]),
    ({"autotermination_minutes": 9}, ["autotermination_minutes", "9", "10 to 10000"]),
    ({"autotermination_minutes": -1}, ["autotermination_minutes", "-1"]),
    ({"autotermination_minutes": 10_001}, ["autotermination_minutes", "10001"]),
    ({"cluster_name": "x" * 5000}, ["cluster_name", "5000", "4096"]),
    ({"cluster_name": "a\0b"}, ["cluster_name", "NUL"]),
    ({"aws_attributes": {"zone_id": "a\0"}}, ["aws_attributes.zone_id", "NUL"]),
    ({"custom_tags": {f"k{n}": "v" for n in range(46)}}, ["custom_tags", "46", "45"]),
    ({"custom_tags": {"": "v"}}, ["custom_tags", "''"]),
    ({"custom_tags": {"k": "v" * 256}}, ["custom_tags", "'k'", "255"]),
    ({"custom_tags": {"Vendor": "me"}}, ["custom_tags", "Vendor"]),
    ({"spark_conf": {"a b": "c"}}, ["spark_conf", "a b"]),
    ({"spark_conf": {"": "c"}}, ["spark_conf", "''"]),
    ({"spark_conf": {"fs.a": "1", "spark.hadoop.fs.a": "2"}}, ["spark_conf.spark.hadoop.fs.a", "the same setting as fs.a"]),
    ({"spark_conf": {"spark.x": "before {{secrets/a/b}}"}}, ["spark_conf.spark.x", "whole value"]),
    ({"spark_conf": {"spark.authenticate.secret": "x"}}, ["spark_conf.spark.authenticate.secret", "set by the platform"]),
    ({"spark_conf": {"spark.master": "local[*]"}}, ["spark_conf.spark.master", "local[*]", "2 workers"]),
    ({"num_workers": 0, "spark_conf": {"spark.master": "yarn"}}, ["spark_conf.spark.master", "yarn"]),
    ({"spark_conf": {"spark.databricks.cluster.profile": "singleNode"}}, ["cluster.profile", "2 workers", "num_workers 0"]),
    ({"spark_conf": {"spark.databricks.cluster.profile": "serverless"}}, ["cluster.profile", "'serverless'", "not served"]),
    (
        {
            "num_workers": None,
            "autoscale": {"min_workers": 0, "max_workers": 3},
            "spark_conf": {"spark.databricks.cluster.profile": "singleNode"},
        },
        ["cluster.profile", "3 workers"],
    ),
    ({"spark_conf": {"spark.dynamicAllocation.enabled": "true"}}, ["spark.dynamicAllocation.enabled", "give autoscale"]),
    ({"spark_conf": {"spark.dynamicAllocation.maxExecutors": "4"}}, ["dynamicAllocation.maxExecutors", "give autoscale"]),
    ({"spark_conf": {"spark.executor.instances": "4"}}, ["spark.executor.instances", "give num_workers"]),
    ({"spark_conf": {"spark.executor.cores": "4"}}, ["spark.executor.cores", "node_type_id"]),
    ({"spark_conf": {"spark.driver.memory": "much"}}, ["spark.driver.memory", "'much'", "4g"]),
    ({"spark_conf": {"spark.databricks.aggressiveWindowDownS": "601"}}, ["aggressiveWindowDownS", "'601'", "1 to 600"]),
    ({"spark_conf": {"spark.boathouse.app.id": "x"}}, ["spark.boathouse.app.id", "set by the platform"]),
    ({"spark_conf": {"spark.local.dir": "/tmp"}}, ["spark.local.dir", "set by the platform"]),
    ({"spark_conf": {"spark.a": "x" * (64 * 1024 - 6)}}, ["spark_conf", "65537 bytes", "65536"]),
    ({"spark_env_vars": {"A": "\u00e9" * 40_000}}, ["spark_env_vars", "80001 bytes", "65536"]),
    ({"spark_env_vars": {"1A": "x"}}, ["spark_env_vars", "1A"]),
    ({"spark_env_vars": {"A-B": "x"}}, ["spark_env_vars", "A-B"]),
    ({"spark_env_vars": {"A": "x\0"}}, ["spark_env_vars", "NUL"]),
    ({"spark_env_vars": {"DB_IS_DRIVER": "x"}}, ["spark_env_vars.DB_IS_DRIVER"]),
    ({"spark_env_vars": {"A": "{{secrets/a}}"}}, ["spark_env_vars", "whole value"]),
    ({"data_security_mode": "USER_ISOLATION"}, ["data_security_mode", "USER_ISOLATION", "not served by Boathouse yet"]),
    ({"data_security_mode": "LEGACY_TABLE_ACL"}, ["data_security_mode", "LEGACY_TABLE_ACL"]),
    ({"single_user_name": "ann@x.org"}, ["single_user_name", "ann@x.org", "SINGLE_USER"]),
    ({"autoscale": {"min_workers": 1, "max_workers": 2}, "num_workers": 2}, ["num_workers: 2", "autoscale"]),
    ({"autoscale": {"min_workers": 2, "max_workers": 2}, "num_workers": None}, ["autoscale.max_workers: 2", "more than"]),
    ({"autoscale": {"max_workers": 2}, "num_workers": None}, ["autoscale.min_workers", "0 to 100"]),
    ({"autoscale": {"min_workers": -1, "max_workers": 2}, "num_workers": None}, ["autoscale.min_workers: -1", "0 to 100"]),
    ({"autoscale": {"min_workers": 1, "max_workers": 101}, "num_workers": None}, ["autoscale.max_workers: 101", "1 to 100"]),
    (
        {
            "autoscale": {"min_workers": 1, "max_workers": 2},
            "num_workers": None,
            "is_single_node": True,
            "kind": "CLASSIC_PREVIEW",
        },
        ["autoscale", "is_single_node"],
    ),
    ({"instance_pool_id": "p"}, ["instance_pool_id", "Can't find an instance pool with id: p"]),
    ({"driver_instance_pool_id": "p"}, ["driver_instance_pool_id", "goes with instance_pool_id only"]),
    ({"cluster_log_conf": {}}, ["cluster_log_conf", "none is given", "dbfs, s3, volumes"]),
    ({"cluster_log_conf": {"dbfs": {"destination": "dbfs:/a"}, "volumes": {"destination": "/Volumes/a/b/c"}}}, ["exactly one"]),
    ({"cluster_log_conf": {"dbfs": {"destination": "/a"}}}, ["cluster_log_conf.dbfs.destination", "'/a'", "dbfs:/cluster-logs"]),
    ({"cluster_log_conf": {"dbfs": {"destination": "dbfs:/a/../b"}}}, ["cluster_log_conf.dbfs.destination", "'..'"]),
    ({"cluster_log_conf": {"volumes": {"destination": "/Volumes/a"}}}, ["cluster_log_conf.volumes.destination", "/Volumes/a"]),
    ({"cluster_log_conf": {"s3": {"destination": "s3://bkt"}}}, ["cluster_log_conf.s3", "region", "endpoint"]),
    ({"cluster_log_conf": {"s3": {"destination": "b", "region": "r"}}}, ["cluster_log_conf.s3.destination", "s3://bucket"]),
    ({"cluster_log_conf": {"s3": {"destination": "s3://bkt", "region": "r", "kms_key": "k"}}}, ["cluster_log_conf.s3.kms_key"]),
    ({"cluster_log_conf": {"s3": {"destination": "s3://bkt", "region": "x.y"}}}, ["cluster_log_conf.s3.region", "eu-west-1"]),
    ({"cluster_log_conf": {"s3": {"destination": "s3://bkt", "endpoint": "https://a b"}}}, ["s3.endpoint", "of the form"]),
    (
        {
            "cluster_log_conf": {
                "s3": {"destination": "s3://bkt", "region": "r", "encryption_type": "sse-kms", "kms_key": "k\r\nx-a: b"}
            }
        },
        ["kms_key", "ARN"],
    ),
    ({"cluster_log_conf": {"s3": {"destination": "s3://bkt", "region": "r", "canned_acl": "k"}}}, ["canned_acl", "private"]),
    # Of buckets, not of objects: an object with it is refused by S3 at every delivery.
    (
        {"cluster_log_conf": {"s3": {"destination": "s3://bkt", "region": "r", "canned_acl": "log-delivery-write"}}},
        ["cluster_log_conf.s3.canned_acl", "log-delivery-write"],
    ),
    ({"cluster_log_conf": {"s3": {"destination": "s3://bkt", "region": "r", "encryption_type": "k"}}}, ["sse-s3"]),
    ({"ssh_public_keys": ["ssh-rsa A"]}, ["ssh_public_keys", "not served by Boathouse yet", "tunnel"]),
    ({"driver_node_type_flexibility": {}}, ["driver_node_type_flexibility", "not served"]),
    ({"worker_node_type_flexibility": {}}, ["worker_node_type_flexibility", "not served"]),
    ({"runtime_engine": "PHOTON"}, ["runtime_engine", "PHOTON", "not served by Boathouse yet"]),
    ({"use_ml_runtime": True}, ["use_ml_runtime", "not served"]),
    ({"dependency_mode": "DEPENDENCY_MODE_ENVIRONMENTS"}, ["dependency_mode", "not served"]),
    ({"workload_type": {"clients": {"notebooks": False}}}, ["workload_type.clients.notebooks", "not served"]),
    ({"azure_attributes": {"log_analytics_info": {}}}, ["azure_attributes.log_analytics_info", "not served"]),
    ({"docker_image": {}}, ["docker_image.url"]),
    ({"docker_image": {"url": "Not An Image"}}, ["docker_image.url", "Not An Image"]),
    ({"docker_image": {"url": "a", "basic_auth": {"username": "u"}}}, ["docker_image.basic_auth.password", "both"]),
    ({"docker_image": {"url": "a", "basic_auth": {"password": "p"}}}, ["docker_image.basic_auth.username", "both"]),
    ({"docker_image": {"url": "a", "basic_auth": {"username": "u", "password": "x{{secrets/a/b}}"}}}, ["password", "whole"]),
    ({"docker_image": {"url": "a", "basic_auth": {"username": "u", "password": "[REDACTED]"}}}, ["password", "[REDACTED]"]),
    ({"docker_image": {"url": "a"}, "data_security_mode": "USER_ISOLATION"}, ["data_security_mode", "custom containers"]),
    ({"docker_image": {"url": "a"}, "data_security_mode": "DATA_SECURITY_MODE_STANDARD"}, ["data_security_mode", "custom cont"]),
    ({"docker_image": {"url": "a"}, "spark_version": "17.3.x-cpu-ml-scala2.13"}, ["spark_version", "Machine Learning"]),
    ({"docker_image": {"url": "a"}, "node_type_id": "m6g.xlarge"}, ["node_type_id", "m6g.xlarge", "arm64"]),
    ({"docker_image": {"url": "a"}, "driver_node_type_id": "m6g.xlarge"}, ["driver_node_type_id", "arm64"]),
]


def first(more, *, dcs=True, known=True):
    import msgspec

    document = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "num_workers": 2, **more}
    spec = msgspec.convert({key: value for key, value in document.items() if value is not None}, ClusterSpec)
    from boathouse.compute import surroundings

    world = rules.World("aws", surroundings.spark_versions(), dcs_enabled=dcs, max_workers=100, single_user_known=known)
    return next(rules.violations(spec, world), None)


@pytest.mark.parametrize("more", ALLOWED, ids=lambda more: ",".join(more) or "plain")
def test_allowed(more):
    assert first(more) is None


@pytest.mark.parametrize(("more", "words"), REFUSED, ids=lambda value: ",".join(value) if isinstance(value, dict) else "")
def test_refused_by_name(more, words):
    message = first(more)
    assert message is not None
    for word in words:
        assert word in message, message


def test_a_password_is_never_repeated():
    more = {"docker_image": {"url": "a", "basic_auth": {"username": "u", "password": "hunter2{{secrets/a/b}}"}}}
    assert "hunter2" not in (first(more) or "")


def test_container_services_switched_off_have_the_platforms_text():
    assert first({"docker_image": {"url": "a"}}, dcs=False) == (
        "Custom containers is turned off for your deployment. Please contact your workspace administrator to use this feature."
    )


def test_an_unknown_single_user():
    message = first({"data_security_mode": "SINGLE_USER", "single_user_name": "bob@x.org"}, known=False)
    assert message is not None and "single_user_name" in message and "bob@x.org" in message


def test_every_field_is_served_a_label_or_refused():
    """A field that is added to the wire must be put in one of the three classes."""
    import msgspec

    served = {
        "spark_version", "node_type_id", "driver_node_type_id", "num_workers", "autotermination_minutes", "spark_conf",
        "spark_env_vars", "docker_image", "data_security_mode", "single_user_name", "policy_id", "is_single_node",
        "runtime_engine", "use_ml_runtime", "dependency_mode", "workload_type", "cluster_log_conf",
        "autoscale", "init_scripts", "instance_pool_id", "driver_instance_pool_id",
    }  # fmt: skip
    fields = {field.encode_name for field in msgspec.structs.fields(ClusterSpec)}
    assert fields == served | (rules.LABELS) | set(rules.NOT_SERVED)
    assert not served & rules.LABELS and not served & set(rules.NOT_SERVED)
