"""How a step of a roll-out ends when it cannot be done."""

from collections.abc import Mapping
from typing import Any


class StepFailed(Exception):
    """The step ends, and the roll-out with it: the message says why, `details` go to the timeline."""

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class NotYet(Exception):
    """The step cannot be done now, and is tried again after `seconds`; the message says what is waited for."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
