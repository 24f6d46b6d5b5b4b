"""Policy definitions: what can be said, and the named problem of what cannot."""

import json

import msgspec
import pytest

from boathouse.compute.policies import attributes, definition, families, runtimes
from boathouse.compute.policies.definition import MalformedDefinition, parse
from boathouse.releases import spark_versions
from boathouse.wire.compute import ClusterSpec


def text(**rules):
    return json.dumps(rules)


def problems(source, overrides=""):
    with pytest.raises(MalformedDefinition) as caught:
        parse(source if isinstance(source, str) else json.dumps(source), overrides)
    return caught.value.problems


#: (definition, words of its problem)
MALFORMED = [
    ("[]", ["must be a JSON object", "[]"]),
    ("{", ["not valid JSON"]),
    ('{"a": 1}', ["a: a rule must be a JSON object", "1"]),
    ('{"num_workers": {"type": "forbidden"}, "num_workers": {"type": "forbidden"}}', ["num_workers", "one rule"]),
    ({"colour": {"type": "forbidden"}}, ["colour: unknown attribute", "clusters/create"]),
    ({"autoscale.colour": {"type": "forbidden"}}, ["autoscale.colour", "autoscale has max_workers, min_workers"]),
    ({"num_workers.x": {"type": "forbidden"}}, ["num_workers has no parts"]),
    ({"init_scripts.volumes.destination": {"type": "forbidden"}}, ["init_scripts", "index", "*"]),
    ({"init_scripts.-1.volumes.destination": {"type": "forbidden"}}, ["index of an entry"]),
    ({"spark_conf.spark.*": {"type": "forbidden"}}, ["one key, or * for every key"]),
    ({"num_workers": {}}, ["num_workers", "Missing required field 'type'", "fixed, forbidden"]),
    ({"num_workers": {"type": "always"}}, ['num_workers: type: "always"', "fixed, forbidden, allowlist"]),
    ({"num_workers": {"type": "fixed"}}, ["num_workers", "'value'", "fixed"]),
    ({"num_workers": {"type": "fixed", "value": None}}, ["num_workers", "'value'"]),
    ({"num_workers": {"type": "fixed", "value": "two"}}, ['num_workers.value: "two"', "give a number"]),
    ({"num_workers": {"type": "fixed", "value": True}}, ["num_workers.value: true", "give a number"]),
    ({"num_workers": {"type": "fixed", "value": 1, "isOptional": True}}, ["'isOptional'", "hidden, value"]),
    ({"num_workers": {"type": "fixed", "value": 1, "hidden": "yes"}}, ['num_workers.hidden: "yes"', "true or false"]),
    ({"num_workers": {"type": "range"}}, ["minValue, maxValue"]),
    ({"num_workers": {"type": "range", "minValue": 5, "maxValue": 2}}, ["num_workers.minValue: 5", "2"]),
    ({"num_workers": {"type": "range", "maxValue": 2, "defaultValue": 3}}, ["num_workers.defaultValue: 3"]),
    ({"num_workers": {"type": "regex", "pattern": "1"}}, ["regex is allowed for texts"]),
    ({"node_type_id": {"type": "range", "maxValue": 2}}, ["range is allowed for numbers"]),
    ({"node_type_id": {"type": "regex", "pattern": "("}}, ["node_type_id.pattern", "no", "regular expression"]),
    ({"node_type_id": {"type": "regex", "pattern": 1}}, ["node_type_id.pattern: 1"]),
    ({"node_type_id": {"type": "allowlist", "values": []}}, ["node_type_id.values: []", "at least one"]),
    ({"node_type_id": {"type": "allowlist", "values": "a"}}, ['node_type_id.values: "a"', "list"]),
    ({"node_type_id": {"type": "allowlist", "values": [["a"]]}}, ["node_type_id.values[0]"]),
    ({"node_type_id": {"type": "allowlist", "values": ["a"], "defaultValue": "b"}}, ['node_type_id.defaultValue: "b"']),
    ({"node_type_id": {"type": "blocklist", "values": ["a"], "defaultValue": "a"}}, ['node_type_id.defaultValue: "a"']),
    ({"enable_elastic_disk": {"type": "fixed", "value": "no"}}, ["enable_elastic_disk.value", "true or false"]),
    ({"data_security_mode": {"type": "fixed", "value": "OPEN"}}, ['data_security_mode.value: "OPEN"', "SINGLE_USER"]),
    ({"spark_version": {"type": "fixed", "value": "auto:newest"}}, ['spark_version.value: "auto:newest"', "auto:latest-lts"]),
    ({"spark_version": {"type": "forbidden"}}, ["spark_version", "cannot be forbidden"]),
    ({"cluster_type": {"type": "forbidden"}}, ["cluster_type", "cannot be forbidden"]),
    ({"cluster_type": {"type": "fixed", "value": "pet"}}, ['cluster_type.value: "pet"', "all-purpose, job, dlt"]),
    ({"dbus_per_hour": {"type": "fixed", "value": 1}}, ["dbus_per_hour", "give range"]),
    ({"docker_image": {"type": "fixed", "value": "a"}}, ["docker_image: it has parts"]),
    ({"init_scripts.*.volumes.destination": {"type": "unlimited", "defaultValue": "a"}}, ["defaultValue", "cannot be filled in"]),
    (
        {"cluster_log_conf.path": {"type": "unlimited"}, "cluster_log_conf.dbfs.destination": {"type": "forbidden"}},
        ["not for both"],
    ),
    ("{" + '"a":{' * 50_000, ["nested too deeply"]),
]


@pytest.mark.parametrize(("source", "words"), MALFORMED)
def test_every_problem_names_itself(source, words):
    found = problems(source)
    assert all(word in found[0] for word in words), found


def test_all_problems_are_told_at_once():
    found = problems({"a": {"type": "fixed"}, "num_workers": {"type": "x"}, "node_type_id": {"type": "forbidden"}})
    assert [line.split(":")[0] for line in found] == ["a", "num_workers"]


def test_what_the_sdks_own_examples_say():
    rules = parse('{"spark_conf.spark.databricks.delta.preview.enabled": {"type": "fixed", "value": true}}').rules
    assert (rules[0].value, rules[0].attribute.map_name) == ("true", "spark_conf")


def test_overrides_take_the_place_of_rules_one_by_one():
    base = text(num_workers={"type": "fixed", "value": 0}, node_type_id={"type": "fixed", "value": "a"})
    made = parse(base, text(num_workers={"type": "range", "maxValue": 2}, cluster_name={"type": "forbidden"}))
    assert [(rule.path, rule.type) for rule in made.rules] == [
        ("num_workers", "range"),
        ("node_type_id", "fixed"),
        ("cluster_name", "forbidden"),
    ]
    shown = json.loads(definition.merged(base, text(num_workers={"type": "forbidden"})))
    assert shown == {"num_workers": {"type": "forbidden"}, "node_type_id": {"type": "fixed", "value": "a"}}


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_the_families_are_definitions_whose_values_the_cloud_has(cloud):
    from boathouse.compute import node_types

    found = families.families(cloud)
    assert list(found) == ["personal-vm", "shared-compute", "power-user", "shared-data-science", "job-cluster"]
    for family in found.values():
        for rule in parse(family.definition).rules:
            if rule.path == "node_type_id":
                assert all(node_types.find(cloud, value) for value in [*rule.values, rule.default])


def test_personal_compute_is_the_platforms():
    rules = json.loads(families.families("azure")["personal-vm"].definition)
    assert rules["node_type_id"]["values"][0] == rules["node_type_id"]["defaultValue"] == "Standard_DS3_v2"
    assert rules["autotermination_minutes"] == {"type": "unlimited", "defaultValue": 4320, "isOptional": True}
    assert rules["azure_attributes.availability"]["value"] == "ON_DEMAND_AZURE"


def test_every_field_of_a_wish_is_an_attribute():
    for field in msgspec.structs.fields(ClusterSpec):
        assert attributes.find(field.encode_name).segments == (field.encode_name,)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("auto:latest", "18.0.x-scala2.13"),
        ("auto:latest-ml", "18.0.x-cpu-ml-scala2.13"),
        ("auto:latest-lts", "17.3.x-scala2.13"),
        ("auto:latest-lts-ml", "17.3.x-cpu-ml-scala2.13"),
        ("auto:prev-lts", "16.4.x-scala2.12"),
        ("auto:prev-lts-ml", "16.4.x-cpu-ml-scala2.12"),
        ("auto:prev-major", "17.3.x-scala2.13"),
        ("auto:prev-major-ml", "17.3.x-cpu-ml-scala2.13"),
        ("auto:other", None),
        ("15.4.x-scala2.12", "15.4.x-scala2.12"),
    ],
)
def test_words_for_runtimes(word, key):
    assert runtimes.resolve(word, spark_versions()) == key


def test_a_word_that_nothing_is_offered_for_means_nothing():
    assert runtimes.resolve("auto:prev-lts", [("17.3.x-scala2.13", "17.3 LTS (...)")]) is None
    assert runtimes.resolve("auto:latest", []) is None
