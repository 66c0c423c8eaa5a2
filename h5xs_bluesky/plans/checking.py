"""Arguments of plans are checked where they are typed, not inside the RunEngine."""

import inspect
import math
from collections.abc import Callable
from functools import wraps
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

from bluesky.utils import MsgGenerator

from h5xs_bluesky.errors import PlanError

P = ParamSpec("P")
Result = TypeVar("Result")
Plan = TypeVar("Plan", bound=Callable[..., Any])


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _is_exposure(value: object) -> bool:
    return isinstance(value, Real) and 0 < float(value) < math.inf


def _is_wait(value: object) -> bool:
    return isinstance(value, Real) and 0 <= float(value) < math.inf


COUNT = (_is_count, "an integer of at least 1")
EXPECTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "frames": COUNT,
    "slow_points": COUNT,
    "fast_points": COUNT,
    "exposure_s": (_is_exposure, "more than 0 s"),
    "settle_s": (_is_wait, "0 s or more"),
}


def checked(plan: Callable[P, MsgGenerator[Result]]) -> Callable[P, MsgGenerator[Result]]:
    """Make a plan that refuses counts and times that make no sense, when it is called.

    A generator function would only do so once the RunEngine runs it, with a traceback of hundreds
    of lines.

    Raises
    ------
    PlanError
        By the plan, if an argument is not what `EXPECTED` says.
    """
    signature = inspect.signature(plan)

    @wraps(plan)
    def called(*args: P.args, **kwargs: P.kwargs) -> MsgGenerator[Result]:
        messages = plan(*args, **kwargs)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in EXPECTED and not EXPECTED[name][0](value):
                raise PlanError(
                    f"{plan.__name__}: expected {name} to be {EXPECTED[name][1]}, found {value!r}"
                )
        return messages

    return as_plan(called)


def as_plan(function: Plan) -> Plan:
    """Mark a function that returns a plan: so bluesky, and its queueserver, take it for one."""
    function._is_plan_ = True  # type: ignore[attr-defined]  # as `bluesky.utils.plan` does
    return function
