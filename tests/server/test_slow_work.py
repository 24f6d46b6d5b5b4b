"""Which work waits for what users name: it has threads of its own."""

from boathouse.compute import log_delivery
from boathouse.compute.libraries import rows as libraries
from boathouse.compute.states import KIND
from boathouse.server.control import SLOW


def test_what_waits_for_buckets_takes_no_thread_of_those_that_launch():
    assert {log_delivery.KIND, libraries.KIND} < set(SLOW)
    assert KIND not in SLOW
