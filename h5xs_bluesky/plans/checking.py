"""Arguments of plans are checked where they are typed, not inside the RunEngine."""

import inspect
import math
from collections.abc import Callable, Mapping
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
PLACED = ("sample", "standard", "buffer")  # by the changer, at the position of that name


def checked(plan: Callable[P, MsgGenerator[Result]]) -> Callable[P, MsgGenerator[Result]]:
    """Make a plan that refuses arguments that make no sense, when it is called.

    A generator function would only do so once the RunEngine runs it, with a traceback of hundreds
    of lines.

    Raises
    ------
    PlanError
        By the plan, if an argument is not what `EXPECTED` says, or none of the `positions` of a
        `changer` that tells them.
    """
    signature = inspect.signature(plan)

    @wraps(plan)
    def called(*args: P.args, **kwargs: P.kwargs) -> MsgGenerator[Result]:
        messages = plan(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        _check_positions(plan.__name__, bound.arguments)
        for name, value in bound.arguments.items():
            if name in EXPECTED and not EXPECTED[name][0](value):
                raise PlanError(
                    f"{plan.__name__}: expected {name} to be {EXPECTED[name][1]}, found {value!r}"
                )
        return messages

    return as_plan(called)


def _check_positions(plan: str, arguments: Mapping[str, Any]) -> None:
    positions = getattr(arguments.get("changer"), "positions", None)
    if positions is None:
        return
    position = arguments.get("position")
    for name in PLACED:
        if name not in arguments:
            continue
        where = arguments[name] if position is None or name == "buffer" else position
        if where not in positions:
            raise PlanError(
                f"{plan}: expected {name} to be at a position of {arguments['changer'].name}, one "
                f"of {', '.join(map(str, positions))}, found {where!r}"
            )


def as_plan(function: Plan) -> Plan:
    """Mark a function that returns a plan: so bluesky, and its queueserver, take it for one."""
    function._is_plan_ = True  # type: ignore[attr-defined]  # as `bluesky.utils.plan` does
    return function
