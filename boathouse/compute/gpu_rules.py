"""Whether this data plane has the GPUs that node types promise. Pure; told by `rules` and `pool_rules`."""

from collections.abc import Mapping

import msgspec


class GpusThere(msgspec.Struct, frozen=True):
    """`count` GPUs in all; `reason` is why there are none."""

    count: int = 0
    reason: str = ""


def violation(wanted: Mapping[str, tuple[str, int]], there: GpusThere) -> str | None:
    """Why nodes cannot be had: field -> (node type, GPUs that all nodes of it need together); None where they can."""
    needed = sum(count for _, count in wanted.values())
    name, (node_type, _) = next(((name, each) for name, each in wanted.items() if each[1]), ("", ("", 0)))
    if not name or needed <= there.count:
        return None
    have = f"this data plane has {there.count}" if there.count else f"this data plane has none ({there.reason})"
    told = f"{name}: {node_type} has GPUs; the nodes need {needed}, and {have}"
    return f"{told}. Give a node type without GPUs; `boathouse doctor` says what is there."
