"""Plans that have a beamline's devices filled in."""

import inspect
from collections.abc import Callable
from typing import Any

from bluesky.utils import MsgGenerator

from h5xs_bluesky.plans.checking import as_plan

MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def with_devices(
    plan: Callable[..., MsgGenerator[Any]], *args: Any, **kwargs: Any
) -> Callable[..., MsgGenerator[Any]]:
    """Fill in a plan's first arguments, and some by name, for good.

    Unlike `functools.partial` it gives a plan with name, documentation and the signature of what is
    left, as bluesky-queueserver needs it; wrong arguments are told when it is called.

    Parameters
    ----------
    plan
        A generator function, or another function that gives a plan.
    *args, **kwargs
        What is filled in.

    Returns
    -------
    callable
        The plan that takes what is left.

    Raises
    ------
    TypeError
        If the plan has no such parameters, and by what is returned if it is called with others than
        those that are left.

    Examples
    --------
    >>> count = with_devices(count_sample, [saxs, waxs], shutter=shutter)  # doctest: +SKIP
    >>> RE(count("water", frames=5))  # doctest: +SKIP
    """
    signature = inspect.signature(plan)
    filled = signature.bind_partial(*args, **kwargs).arguments
    parameters = signature.parameters.values()
    left = signature.replace(
        parameters=[each for each in parameters if each.kind in MANY or each.name not in filled]
    )

    def bound(*more: Any, **others: Any) -> MsgGenerator[Any]:
        try:
            given = left.bind(*more, **others).arguments
        except TypeError as error:
            again = ", ".join(sorted(others.keys() & filled.keys()))
            reason = f"{again} was filled in for good" if again else str(error)
            expected = ", ".join(left.parameters)
            raise TypeError(f"{plan.__name__}: {reason}; expected {expected}") from None
        whole = signature.bind_partial(*args, **kwargs)
        for name, value in given.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                value = (*filled.get(name, ()), *value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                value = {**filled.get(name, {}), **value}
            whole.arguments[name] = value
        return plan(*whole.args, **whole.kwargs)

    bound.__name__ = bound.__qualname__ = plan.__name__
    bound.__doc__, bound.__module__ = _doc(plan, list(filled)), plan.__module__
    bound.__signature__ = left  # type: ignore[attr-defined]
    return as_plan(bound)


def _doc(plan: Callable[..., Any], filled: list[str]) -> str | None:
    """Give a plan's documentation with a word on what is filled in."""
    if not plan.__doc__ or not filled:
        return plan.__doc__
    summary, *rest = inspect.cleandoc(plan.__doc__).split("\n\n")
    return "\n\n".join([summary, f"Filled in already: {', '.join(filled)}.", *rest])
