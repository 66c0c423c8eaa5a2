"""Wrong arguments of plans are told when a plan is called, in words of who typed them."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plans as bp
from bluesky.utils import is_plan
from ophyd.sim import det, motor, motor1, motor2

from h5xs_bluesky import plans
from h5xs_bluesky.errors import PlanError

WITH_FRAMES: dict[str, Callable[..., Any]] = {
    "count_sample": partial(plans.count_sample, [det], "water"),
    "measure_with_buffer": partial(plans.measure_with_buffer, [det], "protein", "buffer"),
    "calibrate": partial(plans.calibrate, [det]),
    "sec_series": partial(plans.sec_series, [], "column"),
}
MAP = partial(plans.map_scan, [det], "film", motor1, 0, 1)
OTHERS: dict[str, Callable[..., Any]] = {
    "map_scan": partial(MAP, 2, motor2, 0, 1, 2),
    "fly_scan": partial(plans.fly_scan, [], "flown", motor, 0, 1, 5),
}


@pytest.mark.parametrize("name", WITH_FRAMES)
@pytest.mark.parametrize("frames", [0, -3, 2.5, "5", None])
def test_number_of_frames_is_checked(name: str, frames: Any) -> None:
    told = f"{name}: expected frames to be an integer of at least 1, found {frames!r}"
    with pytest.raises(PlanError, match=told):
        WITH_FRAMES[name](frames=frames)


@pytest.mark.parametrize("name", [*WITH_FRAMES, *OTHERS])
@pytest.mark.parametrize("exposure_s", [0, -1, np.nan, np.inf, "1"])
def test_exposure_is_checked(name: str, exposure_s: Any) -> None:
    with pytest.raises(PlanError, match=f"{name}: expected exposure_s to be more than 0 s, found"):
        {**WITH_FRAMES, **OTHERS}[name](exposure_s=exposure_s)


def test_other_numbers_are_checked() -> None:
    with pytest.raises(PlanError, match="expected slow_points to be an integer"):
        MAP(0, motor2, 0, 1, 2)
    with pytest.raises(PlanError, match="expected fast_points to be an integer"):
        MAP(2, motor2, 0, 1, 1.5)
    with pytest.raises(PlanError, match="expected frames to be an integer"):
        plans.fly_scan([], "flown", motor, 0, 1, 0)
    with pytest.raises(PlanError, match="expected settle_s to be 0 s or more, found -1"):
        plans.calibrate([det], settle_s=-1)


def test_numbers_of_numpy_are_taken() -> None:
    plan = plans.count_sample([det], "x", frames=np.int64(2), exposure_s=np.float32(0.1))
    assert next(plan).command == "stage"


CHANGER = SimpleNamespace(name="changer", positions=("water", "protein", "buffer"))
UNPLACED = "to be at a position of changer, one of water, protein, buffer, found 'nosuch'"


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        (partial(plans.count_sample, [det], "nosuch"), "sample"),
        (partial(plans.count_sample, [det], "water", position="nosuch"), "sample"),
        (partial(plans.measure_with_buffer, [det], "nosuch", "buffer"), "sample"),
        (partial(plans.measure_with_buffer, [det], "protein", "nosuch"), "buffer"),
        (partial(plans.calibrate, [det], "nosuch"), "standard"),
        (partial(plans.sec_series, [], "nosuch"), "sample"),
        (partial(plans.fly_scan, [], "nosuch", motor, 0, 1, 5), "sample"),
        (partial(plans.map_scan, [det], "nosuch", motor1, 0, 1, 2, motor2, 0, 1, 2), "sample"),
    ],
)
def test_sample_that_the_changer_does_not_have_is_told(
    call: Callable[..., Any], refused: str
) -> None:
    with pytest.raises(PlanError, match=f"expected {refused} {UNPLACED}"):
        call(changer=CHANGER)
    call(changer=det)  # tells no positions


def test_sample_may_have_another_name_than_its_position() -> None:
    assert plans.count_sample([det], "mine", changer=CHANGER, position="water") is not None
    bracket = plans.measure_with_buffer([det], "mine", "buffer", changer=CHANGER, position="water")
    assert bracket is not None


FILLED = plans.with_devices(plans.count_sample, [det], shutter=None)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: FILLED(), "count_sample: missing a required argument: 'sample'; expected sample"),
        (lambda: FILLED("x", frame=3), "count_sample: got an unexpected keyword argument 'frame'"),
        (lambda: FILLED("x", frame=3), "; expected sample, frames, exposure_s, changer, position"),
        (lambda: FILLED("x", 3), "count_sample: too many positional arguments; expected sample"),
        (lambda: FILLED("x", shutter=None), "count_sample: shutter was filled in for good; exp"),
    ],
)
def test_with_devices_tells_what_is_left(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert told in str(error.value)
    assert error.value.__cause__ is None
    assert len(error.traceback) == 3  # this test, its lambda, the plan


def test_documentation_tells_what_is_filled_in() -> None:
    summary, filled = str(FILLED.__doc__).split("\n\n")[:2]
    assert summary == "Take frames of a sample, an event each."
    assert filled == "Filled in already: detectors, shutter."


def test_values_are_checked_with_devices_filled_in() -> None:
    with pytest.raises(PlanError, match="count_sample: expected frames"):
        FILLED("x", frames=0)


@pytest.mark.parametrize(
    ("filled", "given", "why"),
    [
        (([det],), (motor, -1, 1, 3), "the first"),
        (([det], motor, -1), (1, 3), "some of those that may be any number"),
    ],
)
def test_plans_of_bluesky_are_filled_in_too(
    filled: tuple[Any, ...], given: tuple[Any, ...], why: str
) -> None:
    plan = plans.with_devices(bp.scan, *filled)
    assert is_plan(plan)
    documents: list[str] = []
    RunEngine()(plan(*given), lambda name, _: documents.append(name))
    assert documents.count("event") == 3, why


def test_those_behind_what_is_filled_in_by_name_keep_their_places() -> None:
    plan = plans.with_devices(plans.measure_with_buffer, sample="protein")
    first = next(plan([det], "buffer", changer=motor))
    assert first.args == ("buffer",)
