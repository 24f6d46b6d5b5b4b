"""What a stored wish means: references to secrets."""

import pytest

from boathouse.compute import cluster_spec, map_rules
from boathouse.wire.compute import ClusterSpec


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("{{secrets/scope/key}}", True),
        ("{{secrets/a.b_c-d@e/K.1}}", True),
        ("{{secrets/scope/a key}}", False),
        ("{{secrets/scope/a/key}}", False),
        ("{{secrets/scope/}}", False),
        ("x {{secrets/scope/key}}", False),
    ],
)
def test_what_no_secret_can_be_called_is_no_reference_and_refused_at_once(text, allowed):
    assert cluster_spec.is_reference(text) is allowed
    assert (
        list(map_rules.violations(ClusterSpec(spark_version="17.3.x-scala2.13", spark_conf={"spark.x": text}))) == []
    ) is allowed
