"""How many idle instances a pool should have, of which images, which of them go, and when to look again. Pure; asked by
`pool_reconciler`."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from boathouse.compute import states

#: How long an instance that is not needed is kept when the pool says nothing, in minutes.
DEFAULT_MINUTES = 60

#: How long the next instance waits for clusters of the pool that start: both would share the machine's processors. In ms.
GIVE_WAY_MS = 30_000

#: For how long after it began a cluster of the pool has the machine for itself: its user's first commands come then. In ms.
FIRST_COMMANDS_MS = 5_000

#: How often a pool that waits for a limit of its workspace looks whether there is room, in ms.
LIMIT_MS = 15_000

#: Pauses after failures in a row before something is tried again, in ms.
PAUSES_MS = (5_000, 15_000, 60_000, 300_000)


class Instance(msgspec.Struct, frozen=True):
    """`ready_at`: since when it could be taken, epoch ms; None while it is being made. `image`: see `Image.url`."""

    cluster_id: str
    version: int
    wish: str
    state: str
    made_at: int
    ready_at: int | None = None
    reason: str = ""
    image: str = ""

    @property
    def lives(self) -> bool:
        return self.wish == states.WISH_RUNNING

    @property
    def failed(self) -> bool:
        """Ended by itself, not told yet."""
        return self.wish == states.WISH_TERMINATED and self.state == states.TERMINATED


class Image(msgspec.Struct, frozen=True):
    """An image of which idle instances are made; without `url` the platform's own. `there`: on the machine, and checked;
    `failed`: it cannot be had now."""

    url: str = ""
    there: bool = True
    failed: bool = False


class View(msgspec.Struct, frozen=True):
    """`claimed`: instances of clusters. `images`: what instances are made of, by turns. `retry_at`: not before, epoch ms.
    `starting`: since when the latest cluster that starts does, epoch ms; 0 while none starts; `begun`: when the latest one did
    that starts or runs. `spare`: how many instances more the workspace's limits allow, None without one; `yields`: the ids of
    those that they do not allow any more."""

    now: int
    active: bool
    least: int
    most: int | None
    minutes: int | None
    claimed: int
    instances: Sequence[Instance]
    images: Sequence[Image] = (Image(),)
    retry_at: int = 0
    starting: int = 0
    begun: int = 0
    spare: int | None = None
    yields: frozenset[str] = frozenset()


class Decision(msgspec.Struct, frozen=True):
    """`make`: the images of new instances. `failed`: ended by themselves, to be told and forgotten. `again`: ms until the next
    look, None at rest. `gone`: nothing is left of a pool that was deleted. `waits`: instances that a limit holds back."""

    make: tuple[str, ...] = ()
    drop: tuple[Instance, ...] = ()
    failed: tuple[Instance, ...] = ()
    again: int | None = None
    gone: bool = False
    waits: int = 0


def decide(view: View) -> Decision:
    """What the pool does next."""
    failed = tuple(one for one in view.instances if one.failed)
    lives = [one for one in view.instances if one.lives]
    if not view.active:
        return Decision(drop=tuple(lives), failed=failed, gone=not view.instances)
    live = [one for one in lives if one.cluster_id not in view.yields]
    room = len(live) + view.least if view.most is None else max(0, view.most - view.claimed)
    # First those that are not ready, then the ones made last: what has waited longest is taken first.
    order = sorted(live, key=lambda one: (one.ready_at is None, one.made_at, one.cluster_id))
    drop = [one for one in lives if one.cluster_id in view.yields] + order[room:]
    kept = order[:room]
    minutes = DEFAULT_MINUTES if view.minutes is None else view.minutes
    again: list[int] = []
    for one in reversed(kept[view.least :]):
        expires = 0 if one.ready_at is None else one.ready_at + minutes * 60_000
        if expires <= view.now:
            drop.append(one)
            kept.remove(one)
        else:
            again.append(expires - view.now)
    missing = max(0, min(view.least, room) - len(kept))
    allowed = missing if view.spare is None else min(missing, view.spare)
    if allowed < missing:
        again.append(LIMIT_MS)
    make = turns(view.images, [one.image for one in kept], allowed)
    not_before = max(view.retry_at, view.starting + GIVE_WAY_MS if view.starting else 0, view.begun + FIRST_COMMANDS_MS)
    if make and view.now < not_before:
        again.append(not_before - view.now)
        make = ()
    if failed:  # told first: how long to wait is known then
        make = ()
        again.append(0)
    return Decision(make, tuple(drop), failed, min(again, default=None), waits=missing - allowed)


def turns(images: Sequence[Image], held: Sequence[str], count: int) -> tuple[str, ...]:
    """The images of the next `count` instances where there are instances of those in `held`: each time the one of which there
    are fewest, the first of several. One that cannot be had is passed over; for one that is on its way its turn is kept."""
    has = Counter(held)
    made = []
    usable = [image for image in images if not image.failed]
    for _ in range(count if usable else 0):
        chosen = min(usable, key=lambda image: has[image.url])
        has[chosen.url] += 1
        made += [chosen.url] if chosen.there else []
    return tuple(made)


def pause_ms(failures: int) -> int:
    """How long to wait after so many failures in a row."""
    return PAUSES_MS[min(max(failures, 1), len(PAUSES_MS)) - 1]
