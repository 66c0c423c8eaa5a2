"""Plans that have a beamline's devices filled in."""

import inspect
from collections.abc import Callable
from typing import Any

from bluesky.utils import MsgGenerator


def with_devices(
    plan: Callable[..., MsgGenerator[Any]], *args: Any, **kwargs: Any
) -> Callable[..., MsgGenerator[Any]]:
    """Fill in a plan's first arguments, and some by name, for good.

    Unlike `functools.partial` it gives a generator function with name, documentation and the
    signature of what is left, as bluesky-queueserver needs it.

    Parameters
    ----------
    plan
        A generator function.
    *args, **kwargs
        What is filled in.

    Raises
    ------
    TypeError
        If the plan has no such parameters.

    Examples
    --------
    >>> count = with_devices(count_sample, [saxs, waxs], shutter=shutter)  # doctest: +SKIP
    >>> RE(count("water", frames=5))  # doctest: +SKIP
    """
    signature = inspect.signature(plan)
    filled = signature.bind_partial(*args, **kwargs).arguments
    left = [each for each in signature.parameters.values() if each.name not in filled]

    def bound(*more: Any, **others: Any) -> MsgGenerator[Any]:
        return (yield from plan(*args, *more, **kwargs, **others))

    bound.__name__ = bound.__qualname__ = plan.__name__
    bound.__doc__, bound.__module__ = plan.__doc__, plan.__module__
    bound.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    return bound
