"""What one round of a reconciler came to."""

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """`again_in`: seconds until the next look, or None when only a wake-up brings the next one."""

    again_in: float | None = None


SETTLED = Outcome()


def again(seconds: float) -> Outcome:
    """Not finished: look again after `seconds`, or sooner when somebody wakes the key."""
    return Outcome(max(0.0, seconds))
