"""How a failure ends the timeline."""

from boathouse.compute.endings import fail
from boathouse.compute.world import Failure, ImageStep, Noted, Stage
from tests.compute.launch.test_plan import NOW, world


def test_a_step_of_the_image_that_ended_in_the_last_moment_is_not_skipped() -> None:
    """The check passed, and Spark could not start, in one round: the timeline tells both."""
    stages = (Stage("image.check", NOW - 50, NOW - 10, {"python": "3.11.2"}),)
    open_steps = {(step, ""): Noted(NOW - 60, None) for step in ("image.check", "spark.executors", "total")}
    seen = world(image=ImageStep(stages, present="img", local="img"), timeline=open_steps)
    step = fail(seen, Failure("SPARK_STARTUP_FAILURE", "no", step="spark.driver", node="c-0-1"))
    outcomes = {(mark.step, mark.node): mark.outcome for mark in step.marks}
    assert outcomes == {
        ("image.check", ""): "ok", ("spark.executors", ""): "skipped", ("total", ""): "failed",
        ("spark.driver", "c-0-1"): "failed",
    }  # fmt: skip
