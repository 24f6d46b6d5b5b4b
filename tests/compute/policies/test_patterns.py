"""Patterns that would never end, and patterns that would fill the memory: refused, in time."""

import json

import pytest

from boathouse.compute.policies import patterns, rules
from boathouse.compute.policies.definition import MalformedDefinition, parse

SLOW = "(?:a|aa)+b"
WORLD = {"offered": [], "node_dbus": lambda name: None}


def of(pattern, path="cluster_name", **more):
    return json.dumps({path: {"type": "regex", "pattern": pattern, **more}})


def test_a_value_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(patterns.Patience, "__init__", lambda self: setattr(self, "seconds", 0.05))
    outcome = rules.apply(parse(of(SLOW)), {"cluster_name": "a" * 200}, rules.World(**WORLD))
    assert "cannot be matched with the pattern" in outcome.error and SLOW in outcome.error
    assert not rules.apply(parse(of(SLOW)), {"cluster_name": "aab"}, rules.World(**WORLD)).error


def test_all_values_of_a_wish_share_one_patience():
    patience = patterns.Patience(0.05)
    expression = patterns.compiled(SLOW)
    with pytest.raises(patterns.OutOfPatience):
        patterns.fits(expression, "a" * 200, patience)
    for _ in range(10_000):  # each would take as long again
        with pytest.raises(patterns.OutOfPatience):
            patterns.fits(expression, "a" * 200, patience)


def test_a_default_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(patterns.Patience, "__init__", lambda self: setattr(self, "seconds", 0.05))
    with pytest.raises(MalformedDefinition, match="takes too long to match the default value"):
        parse(of(SLOW, defaultValue="a" * 200))


@pytest.mark.parametrize("pattern", [
    "((a{9999}){9999}){9999}", "(?:(?:a{2,3}){1000,}){1000}", "(?=(a{300}){300})b", "(?:x|(y{200}){200})", "(a{200}?){200}+",
])  # fmt: skip
def test_repetitions_of_repetitions_are_not_compiled(pattern):
    with pytest.raises(MalformedDefinition, match="repetitions come to"):
        parse(of(pattern))


@pytest.mark.parametrize(("pattern", "value"), [
    (r"[a-z0-9]{1,100}-(dev|prod)", "team-dev"), (r"(?!root).*", "ann"), (r"(a+)\1", "aaaa"), (r"x{0,1000}", "xx"),
])  # fmt: skip
def test_usual_patterns_match_as_ever(pattern, value):
    assert not rules.apply(parse(of(pattern)), {"cluster_name": value}, rules.World(**WORLD)).error
