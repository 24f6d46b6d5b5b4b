"""What this process counts of its own work, for `/api/2.0/boathouse/metrics`: counters and histograms in memory.

Cheap enough for every call (a lock and two additions); they begin at zero with the process. Whoever counts does not know
how it is shown: `server.metrics` does. Label values come from closed lists (routes, kinds, codes), so their number is bounded.
"""

import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Sequence


class Counter:
    """How often something happened, by labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self.name, self.help, self.labels = name, help_text, tuple(labels)
        self._guard = threading.Lock()
        self._counts: Counts[tuple[str, ...]] = Counts()

    def add(self, *labels: str, by: float = 1) -> None:
        with self._guard:
            self._counts[labels] += by  # type: ignore[assignment]

    def samples(self) -> dict[tuple[str, ...], float]:
        with self._guard:
            return dict(self._counts)


class Histogram:
    """How long something took in seconds, by labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name, self.help, self.labels, self.bounds = name, help_text, tuple(labels), tuple(bounds)
        self._guard = threading.Lock()
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        at = bisect_left(self.bounds, seconds)
        with self._guard:
            series = self._series.get(labels)
            if series is None:
                series = self._series[labels] = ([0] * (len(self.bounds) + 1), [0.0])
            series[0][at] += 1
            series[1][0] += seconds

    def samples(self) -> dict[tuple[str, ...], tuple[list[int], float]]:
        """By labels: observations up to each bound and beyond the last (not cumulated), and the sum of all in seconds."""
        with self._guard:
            return {labels: (list(counts), total[0]) for labels, (counts, total) in self._series.items()}


REQUESTS = Histogram(
    "boathouse_api_request_seconds", "API calls by endpoint and status", ("action", "status"),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
)  # fmt: skip
ROUNDS = Histogram(
    "boathouse_reconciler_round_seconds", "Rounds of reconcilers by kind and result", ("kind", "result"),
    (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
)  # fmt: skip
LAUNCHES = Histogram(
    "boathouse_launch_seconds", "Launches of clusters by result: ok, or the code of the termination reason", ("result",),
    (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300),
)  # fmt: skip
LOG_DELIVERIES = Counter("boathouse_log_deliveries", "Attempts to deliver a cluster's logs, by result", ("result",))
