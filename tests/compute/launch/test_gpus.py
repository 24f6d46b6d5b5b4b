"""A launch of node types with GPUs on simulated nodes: what each node is asked to have."""

from typing import Any


def test_nodes_are_made_with_the_gpus_of_their_types(fleet: Any) -> None:
    asked: dict[str, int] = {}
    ensure = fleet.driver.ensure

    def noted(node: Any) -> Any:
        asked[node.node_id] = node.gpus
        return ensure(node)

    fleet.driver.ensure = noted
    cluster = fleet.create(node_type_id="g5.12xlarge", driver_node_type_id="g5.xlarge", num_workers=1)
    plain = fleet.create("1123-120000-bbbbbbbb", node_type_id="i3.xlarge")
    fleet.settle()
    assert asked == {f"{cluster}-0-1": 1, f"{cluster}-1-1": 4, f"{plain}-0-1": 0}
