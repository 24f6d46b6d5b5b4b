"""What the tests of rules share: a world, scripts, and a short word for applying a policy."""

import json

from boathouse.compute.policies import rules
from boathouse.compute.policies.definition import parse
from boathouse.compute.policies.rules import World
from boathouse.releases import spark_versions

WORLD = World(
    spark_versions(),
    node_dbus={"small": 1.0, "large": 4.0}.get,
    pool_node_type={"pool-small": "small", "pool-large": "large"}.get,
)


def apply(policy, wish, world=WORLD, **more):
    return rules.apply(parse(json.dumps(policy)), wish, world, **more)


SCRIPTS = "init_scripts.{}.volumes.destination"
A, B = {"volumes": {"destination": "/Volumes/a.sh"}}, {"volumes": {"destination": "/Volumes/b.sh"}}
ELSEWHERE = {"workspace": {"destination": "/Shared/x.sh"}}
LIST_OF_A = {"type": "allowlist", "values": ["/Volumes/a.sh"]}
