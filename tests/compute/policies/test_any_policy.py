"""Any policy and any wish, by Hypothesis; and what mending comes to, by a table."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boathouse.compute.policies import mending, rules
from boathouse.compute.policies.definition import parse
from tests.compute.policies.cases import ELSEWHERE, LIST_OF_A, SCRIPTS, WORLD, A, B, apply

RULES = {
    "num_workers": st.one_of(
        st.builds(lambda value: {"type": "fixed", "value": value}, st.integers(0, 5)),
        st.builds(
            lambda low, more, free: {"type": "range", "minValue": low, "maxValue": low + more, "isOptional": free},
            st.integers(0, 5),
            st.integers(0, 5),
            st.booleans(),
        ),
        st.just({"type": "forbidden"}),
        st.builds(lambda free: {"type": "unlimited", "defaultValue": 3, "isOptional": free}, st.booleans()),
    ),
    "autoscale.max_workers": st.one_of(
        st.builds(lambda value: {"type": "fixed", "value": value}, st.integers(1, 5)),
        st.just({"type": "range", "maxValue": 4, "isOptional": True}),
    ),
    "node_type_id": st.one_of(
        st.builds(lambda some: {"type": "allowlist", "values": some}, st.lists(st.sampled_from("abc"), min_size=1)),
        st.builds(
            lambda some: {"type": "blocklist", "values": some, "isOptional": True}, st.lists(st.sampled_from("abc"), min_size=1)
        ),
        st.just({"type": "regex", "pattern": "[ab]", "defaultValue": "a"}),
    ),
    "spark_conf.k": st.one_of(
        st.builds(lambda value: {"type": "fixed", "value": value}, st.sampled_from(["x", "y"])),
        st.just({"type": "forbidden"}),
        st.just({"type": "unlimited"}),
    ),
    "spark_conf.*": st.one_of(st.just({"type": "forbidden"}), st.just({"type": "regex", "pattern": "x?"})),
    SCRIPTS.format(0): st.just({"type": "fixed", "value": "/Volumes/a.sh"}),
    SCRIPTS.format("*"): st.sampled_from([{"type": "forbidden"}, LIST_OF_A]),
    "init_scripts.*.workspace.destination": st.just({"type": "forbidden"}),
}
POLICIES = st.fixed_dictionaries({}, optional=RULES)
WISHES = st.fixed_dictionaries(
    {},
    optional={
        "num_workers": st.integers(0, 9),
        "autoscale": st.builds(lambda low, most: {"min_workers": low, "max_workers": most}, st.integers(0, 3), st.integers(4, 9)),
        "node_type_id": st.sampled_from("abcd"),
        "spark_conf": st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["x", "y", ""])),
        "init_scripts": st.lists(st.sampled_from([A, B, ELSEWHERE]), max_size=3),
        "cluster_name": st.text(max_size=3),
    },
)


def contains(document, part):
    if isinstance(part, dict):
        return all(name in document and contains(document[name], value) for name, value in part.items())
    if isinstance(part, list):
        return len(document) >= len(part) and all(map(contains, document, part))
    return document == part


@given(POLICIES, WISHES, st.booleans())
def test_what_was_sent_is_never_changed_and_filling_settles(policy, wish, defaults):
    definition = parse(json.dumps(policy))
    outcome = rules.apply(definition, wish, WORLD, defaults)
    assert contains(outcome.document, wish)
    again = rules.apply(definition, outcome.document, WORLD, defaults)
    assert again.document == outcome.document
    assert [each.message for each in again.refused] == [each.message for each in outcome.refused]


@given(POLICIES, WISHES)
def test_what_was_accepted_is_compliant(policy, wish):
    definition = parse(json.dumps(policy))
    outcome = rules.apply(definition, wish, WORLD)
    if not outcome.refused:
        assert rules.apply(definition, outcome.document, WORLD, fill=False).refused == []


@given(POLICIES, WISHES)
def test_no_accepted_wish_breaks_a_limit(policy, wish):
    """The limits by themselves, said once more and plainly."""
    outcome = apply(policy, wish)
    if outcome.refused:
        return
    document = outcome.document
    scales = bool(document.get("autoscale"))
    rule = policy.get("num_workers", {})
    if rule.get("type") == "fixed":
        assert not scales and document["num_workers"] == rule["value"]
    if rule.get("type") == "range" and not scales and document.get("num_workers") is not None:
        assert rule["minValue"] <= document["num_workers"] <= rule["maxValue"]
    if policy.get("node_type_id", {}).get("type") == "allowlist":
        assert document["node_type_id"] in policy["node_type_id"]["values"]
    if policy.get("spark_conf.*", {}).get("type") == "forbidden":
        allowed = {"k"} if policy.get("spark_conf.k", {"type": "forbidden"})["type"] != "forbidden" else set()
        assert set(document.get("spark_conf") or {}) <= allowed
    places = [script.get("volumes", {}).get("destination") for script in document.get("init_scripts") or []]
    if policy.get(SCRIPTS.format("*")) == LIST_OF_A:
        assert set(places) <= {"/Volumes/a.sh"}


@given(POLICIES, WISHES)
def test_a_mended_wish_obeys_or_says_what_is_left(policy, wish):
    definition = parse(json.dumps(policy))
    mended = mending.mend(definition, wish, WORLD)
    judged = rules.apply(definition, mended.document, WORLD, fill=False)
    assert [each.message for each in judged.refused] == [each.message for each in mended.left]
    assert bool(mended.changes) == (dict(mending._leaves(wish, "")) != dict(mending._leaves(mended.document, "")))
    if not mended.left:  # of a policy that wants two things at once nothing settles
        assert mending.mend(definition, mended.document, WORLD).changes == ()


#: (definition, wish, what is changed, what is left)
MENDED = [
    ({"num_workers": {"type": "fixed", "value": 0}}, {"num_workers": 3}, [("num_workers", "3", "0")], 0),
    (
        {"num_workers": {"type": "fixed", "value": 0}},
        {"autoscale": {"min_workers": 1, "max_workers": 2}},
        [("autoscale.max_workers", "2", ""), ("autoscale.min_workers", "1", ""), ("num_workers", "", "0")],
        0,
    ),
    ({"num_workers": {"type": "range", "minValue": 1, "maxValue": 4}}, {"num_workers": 9}, [("num_workers", "9", "4")], 0),
    ({"num_workers": {"type": "range", "minValue": 1, "maxValue": 4}}, {"num_workers": 0}, [("num_workers", "0", "1")], 0),
    ({"spark_conf.a": {"type": "forbidden"}}, {"spark_conf": {"a": "1"}}, [("spark_conf.a", "1", "")], 0),
    ({"spark_conf.a": {"type": "fixed", "value": True}}, {}, [("spark_conf.a", "", "true")], 0),
    (
        {"node_type_id": {"type": "allowlist", "values": ["a", "b"], "defaultValue": "b"}},
        {"node_type_id": "c"},
        [("node_type_id", "c", "b")],
        0,
    ),
    ({"node_type_id": {"type": "allowlist", "values": ["a", "b"]}}, {"node_type_id": "c"}, [("node_type_id", "c", "a")], 0),
    ({"node_type_id": {"type": "regex", "pattern": "a+"}}, {"node_type_id": "c"}, [], 1),
    (
        {"cluster_name": {"type": "regex", "pattern": "a+", "isOptional": True}},
        {"cluster_name": "c"},
        [("cluster_name", "c", "")],
        0,
    ),
    (
        {SCRIPTS.format("*"): {"type": "forbidden"}},
        {"init_scripts": [A, ELSEWHERE, B]},
        [
            ("init_scripts.0.volumes.destination", "/Volumes/a.sh", ""),
            ("init_scripts.0.workspace.destination", "", "/Shared/x.sh"),
            ("init_scripts.1.workspace.destination", "/Shared/x.sh", ""),
            ("init_scripts.2.volumes.destination", "/Volumes/b.sh", ""),
        ],
        0,
    ),
    ({"cluster_type": {"type": "fixed", "value": "job"}}, {}, [], 1),
]


@pytest.mark.parametrize(("policy", "wish", "changed", "left"), MENDED)
def test_mended(policy, wish, changed, left):
    mended = mending.mend(parse(json.dumps(policy)), wish, WORLD)
    assert [(each.field, each.previous_value, each.new_value) for each in mended.changes] == changed
    assert len(mended.left) == left
