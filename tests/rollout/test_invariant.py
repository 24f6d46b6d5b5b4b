"""A track never names a digest that has not passed: whatever is rolled out, approved, cancelled or killed, in any order."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.rollout.conftest import CLUSTER, NOW, TRACK, Platform, digest_of

#: What is wrong with an image, by its number modulo 4: nothing, its check, its scan, its canary's command.
FAULTS = ("", "check", "scan", "canary")
COMMAND = "judge()"


def reference(number: int) -> str:
    return f"registry.example.com/etl/python:{number}"


class RollOuts(RuleBasedStateMachine):
    """`make` opens a platform; given by the test."""

    make: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.platform: Platform = self.stack.enter_context(type(self).make())
        self.live = ""

    @initialize()
    def scripted(self) -> None:
        platform = self.platform
        for number in range(1, 40):
            if FAULTS[number % 4] == "check":
                pinned = f"registry.example.com/etl/python@{digest_of(reference(number))}"
                platform.registry.unusable |= dict.fromkeys((pinned, reference(number)), "it has no bash.")
        scan = platform.work.scan

        def judge(row: Any, spec: Any, image: str) -> dict[str, Any]:
            platform.work.fails = {"scan": "CVE-1"} if FAULTS[self.number % 4] == "scan" else {}
            return scan(row, spec, image)

        platform.work.scan = judge  # type: ignore[method-assign]
        self.number = 0

    @rule(approval=st.sampled_from(["NONE", "ADMIN"]), soak=st.sampled_from([0, 5]), number=st.integers(1, 39))
    def roll_out(self, approval: str, soak: int, number: int) -> None:
        if self.live and "ended_at" not in self.platform.rollout(self.live):
            assert self.platform.refused("rollouts/create", track=TRACK, image="a/b", canary={"cluster": CLUSTER})[0] == 409
            return
        self.number = number
        bad = FAULTS[number % 4] == "canary"
        self.platform.answers[COMMAND] = {"resultType": "error", "summary": "no"} if bad else {"resultType": "text", "data": "1"}
        self.live = self.platform.roll_out(
            reference(number), approval=approval, scan={}, canary={"cluster": CLUSTER, "command": COMMAND},
            restart={**NOW, "soak_minutes": soak},
        )  # fmt: skip

    @rule()
    def follow(self) -> None:
        if self.platform.track().get("image") and len(self.platform.rows()) < 4:
            body = {**CLUSTER, "docker_image": {"url": TRACK}}
            assert self.platform.api.post("/api/2.1/clusters/create", json=body).status_code == 200

    @rule(rounds=st.integers(1, 40))
    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.platform.step()
            self.holds()

    @rule()
    def kill(self) -> None:
        self.platform.restart()

    @rule(verb=st.sampled_from(["approve", "cancel"]))
    def decide(self, verb: str) -> None:
        if self.live:
            answer = self.platform.api.post(f"/api/2.0/boathouse/rollouts/{verb}", json={"rollout_id": self.live})
            assert answer.status_code in (200, 400), answer.text

    @invariant()
    def holds(self) -> None:
        passed = {f"registry.example.com/etl/python@{digest_of(reference(number))}" for number in range(4, 40, 4)}
        assert {image for image in self.platform.named() if image} <= passed

    def teardown(self) -> None:
        if self.live and "ended_at" not in self.platform.rollout(self.live):
            self.platform.api.post("/api/2.0/boathouse/rollouts/cancel", json={"rollout_id": self.live})
            self.platform.ended(self.live)
        self.holds()
        self.stack.close()


def test_a_track_names_only_what_has_passed(platforms: Callable[[], Any]) -> None:
    machine = type("Machine", (RollOuts,), {"make": staticmethod(platforms)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_the_four_kinds_of_images_are_what_they_say(platforms: Callable[[], Any], number: int) -> None:
    machine = type("Machine", (RollOuts,), {"make": staticmethod(platforms)})()
    machine.scripted()
    machine.roll_out("NONE", 0, number)
    found = machine.platform.ended(machine.live)
    assert (found["state"] == "SUCCEEDED") is (FAULTS[number % 4] == "")
    machine.holds()
    machine.stack.close()
