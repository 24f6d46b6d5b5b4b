"""Whether clusters obey their policies as these are now: what compliance and enforcement ask of stored wishes. Pure.

A policy can change after a cluster was made; and a word such as `auto:latest` can mean another runtime.
"""

import copy
from typing import Any

import msgspec

from boathouse.compute import cluster_spec
from boathouse.compute.policies import rules
from boathouse.compute.policies.definition import Definition
from boathouse.compute.policies.rules import World
from boathouse.wire.compute import ClusterSpec

#: Violations of one cluster that are told.
MOST = 200

#: Stored sealed: no rule can be asked of it, or put it there, once it is stored.
_SEALED = "docker_image.basic_auth.password"


def askable(definition: Definition) -> Definition:
    """The rules that can be asked of a stored wish."""
    kept = tuple(rule for rule in definition.rules if rule.path != _SEALED)
    return Definition(kept, {rule.path: rule for rule in kept})


def shown(spec: ClusterSpec) -> dict[str, Any]:
    """A stored wish as rules are asked of it: without its registry password."""
    spec = copy.deepcopy(spec)
    cluster_spec.redact(spec)
    return msgspec.to_builtins(spec)


def violations(definition: Definition, spec: ClusterSpec, world: World) -> dict[str, str]:
    """The rules that a stored wish breaks, by the path of the attribute."""
    refused = rules.apply(askable(definition), shown(spec), world, fill=False).refused
    return {each.path: each.message for each in refused[:MOST]}
