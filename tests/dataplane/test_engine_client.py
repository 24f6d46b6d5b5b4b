"""What the engine's refusals mean."""

import pytest

from boathouse.dataplane.engine.client import EngineRefused


@pytest.mark.parametrize(
    ("status", "words", "missing"),
    [
        (404, "anything", True),
        (500, "container 07af does not exist in database: no such container", True),  # Podman, of one that goes meanwhile
        (500, 'getting container from store "07af": container not known', False),  # a record without a container: healed
        (500, "no such container can be paused now", False),
        (409, "the container name is already in use", False),
    ],
)
def test_a_thing_that_went_between_two_looks_is_missing(status, words, missing):
    assert EngineRefused(status, words).missing is missing
