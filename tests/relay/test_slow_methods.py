"""Methods of nodes that take long: whom they hold up."""

import threading
from typing import Any

from tests.relay.test_relay import PATIENCE_S, world

__all__ = ["world"]


def test_slow_methods_hold_up_no_others_and_nobody_who_dials_in(world):
    release, running = threading.Event(), threading.Semaphore(0)

    def slow(*_: Any) -> str:
        running.release()
        release.wait(PATIENCE_S)
        return "done"

    world.method = slow
    world.relay.listen("other-0-1")
    daemons = [world.daemon(), world.daemon("other-0-1")]
    for daemon in daemons:
        for number in range(4):
            daemon.send(id=number, method="method", params={}, capability="")
    for _ in range(8):
        assert running.acquire(timeout=PATIENCE_S)
    world.relay.listen("third-0-1")
    third = world.daemon("third-0-1")
    third.send(id=1, method="quick.method", params={}, capability="")
    assert third.receive() == {"id": 1, "result": "quick"}
    release.set()
    for daemon in daemons:
        assert {daemon.receive()["result"] for _ in range(4)} == {"done"}
