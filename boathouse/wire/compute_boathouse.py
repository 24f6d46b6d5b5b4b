"""Answers under `/api/2.0/boathouse/` about clusters: ours, outside the platform's API."""

from typing import Any

from boathouse.wire.base import Wire


class Step(Wire):
    """A step of a launch, on a node or on the whole cluster. Times in epoch ms; `outcome` is ok, failed, skipped or info."""

    step: str
    started: int
    outcome: str
    details: dict[str, Any]
    node: str | None = None
    ended: int | None = None
    duration_ms: int | None = None


class Launch(Wire):
    """`launch` counts from 1 and rises with each start and restart."""

    launch: int
    steps: list[Step]


class Timeline(Wire):
    cluster_id: str
    state: str
    state_message: str
    launches: list[Launch]


class Explanation(Wire):
    """A termination code in words; `parameters` are the keys that come with it."""

    code: str
    type: str
    meaning: str
    causes: list[str]
    fix: str
    parameters: list[str]
