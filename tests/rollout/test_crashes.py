"""The control plane is killed after every single effect of a roll-out, one run an effect, and a new one takes over.

Effects: every long work, and every transaction of a round, just before and just after it is durable (what a round of a cluster
does is killed in `tests/compute/launch`). Whatever the instruction, the roll-out
ends as if nothing had happened: no canary is left, no cluster was restarted twice, the track names only what has passed.
"""

from contextlib import contextmanager
from typing import Any

import pytest

from boathouse.rollout import rows
from tests.rollout.conftest import CLUSTER, NOW, Platform, digest_of

OLD, NEW = "registry.example.com/etl/python:1", "registry.example.com/etl/python:2"
PINNED_OLD, PINNED_NEW = (f"registry.example.com/etl/python@{digest_of(image)}" for image in (OLD, NEW))
TEST = "print(1)"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "ROLLED_BACK")


class Killed(BaseException):
    """SIGKILL, as far as Python can have it: no handler of ours may catch it."""


class Bomb:
    """Goes off after the effect number `at`, once; counts them all."""

    def __init__(self, platform: Platform) -> None:
        self.at, self.count, self.armed = 0, 0, False
        self.platform = platform
        plain = platform.store.transaction

        @contextmanager
        def transaction(durable: bool = True):
            with plain(durable) as tx:
                yield tx
                self.tick()
            self.tick()

        platform.store.transaction = transaction  # type: ignore[method-assign]
        platform.work.after = self.tick

    def tick(self) -> None:
        if not self.armed or self.platform.reconciled != rows.KIND:
            return
        self.count += 1
        if self.count == self.at:
            self.armed = False
            raise Killed(self.count)


#: By the end of the story: what is asked for, which launch the follower has then, and how often the track came to the new image.
STORIES: dict[str, tuple[dict[str, Any], int, int]] = {
    "SUCCEEDED": ({"scan": {}, "sign": {"key": "{{secrets/a/b}}"}, "canary": {"cluster": CLUSTER, "command": TEST}}, 2, 1),
    "FAILED": ({"canary": {"cluster": CLUSTER, "command": TEST}}, 1, 0),
    "CANCELLED": ({"restart": {**NOW, "soak_minutes": 1}}, 3, 1),
}


def tell(platform: Platform, end: str, at: int) -> int:
    """One roll-out with a kill after effect `at`; how many effects there were."""
    ask, launches, promotions = STORIES[end]
    platform.point(PINNED_OLD)
    follower = platform.cluster()
    if end == "FAILED":
        platform.answers[TEST] = {"resultType": "error", "summary": "no"}
    rollout_id = platform.roll_out(NEW, **ask)
    bomb = Bomb(platform)
    bomb.at, bomb.armed = at, True

    def row() -> Any:
        with platform.store.read() as reader:
            return rows.find(reader, platform.row(follower).workspace_id, rollout_id)

    while row().state not in ENDED:
        if end == "CANCELLED" and not row().cancelled and platform.row(follower).launch == 2:
            armed, bomb.armed = bomb.armed, False
            platform.call("rollouts/cancel", rollout_id=rollout_id)
            bomb.armed = armed
        try:
            assert platform.step()
        except Killed:
            platform.restart()
    bomb.armed = False
    assert platform.rollout(rollout_id)["state"] == end, (at, platform.rollout(rollout_id))
    platform.until(lambda: [each.cluster_id for each in platform.rows()] == [follower])
    platform.until(lambda: platform.row(follower).state == "RUNNING")
    wanted = NEW if end == "SUCCEEDED" else OLD
    assert platform.digest(follower) == digest_of(wanted), at
    assert platform.row(follower).launch == launches, at
    changes = platform.named()[:-1]
    assert set(changes) <= {PINNED_OLD, PINNED_NEW} and changes.count(PINNED_NEW) == promotions
    assert platform.named()[-1].endswith(digest_of(wanted)), at
    assert len(platform.ran) <= 2  # the canary's command; once more where its canary was lost
    return bomb.count


@pytest.mark.parametrize("end", list(STORIES))
def test_killed_after_every_effect(platforms, end):
    with platforms() as platform:
        count = tell(platform, end, 0)
    assert count > 20
    for at in range(1, count + 1):
        with platforms() as platform:
            tell(platform, end, at)
