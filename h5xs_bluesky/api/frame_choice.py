"""Which frames of a sample are meant: by number, by place, or all; maps, and what elutes."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from h5xs_bluesky.errors import ReductionError

AVERAGE = "average"
ELUTION = "elution"  # a key of start documents

_SEC_PLAN = "sec_series"


def chosen_frames(frn: Any, header: Mapping[str, Any], *, sample: str) -> int | list[int] | str:
    """Give the number of a frame, several numbers, or ``"average"`` for all.

    Parameters
    ----------
    frn
        A number, None for 0, or ``"average"``. A tuple is a place in the scan, as in py4xs: one
        index for each of the scan's dimensions, which the start document's ``shape`` tells, else
        ``num_points``, the last one fastest. A list, range or array of numbers means these frames.
    header
        The scan's start document.
    sample
        For messages.

    Raises
    ------
    ReductionError
        If it is none of these, or a tuple does not fit the scan's shape.
    IndexError
        If the place lies outside the scan.

    Examples
    --------
    >>> chosen_frames((1, 2), {"shape": [3, 4]}, sample="s")
    6
    >>> chosen_frames(range(3), {}, sample="s")
    [0, 1, 2]
    """
    if frn is None:
        return 0
    if isinstance(frn, str):
        if frn == AVERAGE:
            return frn
        raise ReductionError(f"{sample}: expected frn as a number or {AVERAGE!r}, found {frn!r}")
    if isinstance(frn, tuple):
        return _place_in_scan(frn, header, sample)
    try:
        if np.ndim(frn) == 0:
            return operator.index(frn)
        numbers = [operator.index(number) for number in frn]
    except TypeError as error:
        raise ReductionError(
            f"{sample}: expected frn as a whole number, several, a place in the scan or "
            f"{AVERAGE!r}, found {frn!r}"
        ) from error
    if not numbers:
        raise ReductionError(f"{sample}: expected at least one frame, found an empty list")
    return numbers


def map_shape(header: Mapping[str, Any]) -> tuple[int, ...]:
    """Give how many places a map has along each axis; () for a scan that is none.

    A map has several along at least two axes, as its start document's ``shape`` tells. Its frames
    are of different places, so that neither live nor offline reduction averages them by itself.

    Examples
    --------
    >>> map_shape({"shape": [2, 3]})
    (2, 3)
    >>> map_shape({"shape": [6]}), map_shape({"shape": [1, 6]}), map_shape({})
    ((), (), ())
    """
    given = header.get("shape")
    try:
        shape = tuple(operator.index(size) for size in (() if given is None else given))
    except TypeError:  # no numbers
        return ()
    return shape if sum(size > 1 for size in shape) > 1 else ()


def why_no_average(shape: Sequence[int]) -> str:
    """Tell why the frames of a map of some shape are not averaged."""
    return f"no average of a map of {' × '.join(map(str, shape))} places, whose frames differ"


def is_elution(header: Mapping[str, Any]) -> bool:
    """Tell whether a run is of what leaves a column: some of its frames are the others' buffer.

    Its start document says so under ``elution``; where it says nothing, the plan `sec_series` does.
    Live and offline reduction average the frames of the peak alone then, less the buffer's. A map
    is never one.

    Examples
    --------
    >>> is_elution({"plan_name": "sec_series"}), is_elution({"plan_name": "count"})
    (True, False)
    >>> is_elution({"elution": True}), is_elution({"plan_name": "sec_series", "elution": False})
    (True, False)
    """
    said = header.get(ELUTION)
    elutes = said if isinstance(said, bool) else header.get("plan_name") == _SEC_PLAN
    return elutes and not map_shape(header)


def why_no_elution(error: Exception) -> str:
    """Tell why a series behind a column is not averaged, and what to do; one line."""
    return (
        f"no average of a series behind a column: {error}; process_sec(…, buffer_frames=…, "
        "sample_frames=…) takes frames of your own"
    )


def _place_in_scan(place: tuple[Any, ...], header: Mapping[str, Any], sample: str) -> int:
    if len(place) == 1:
        return operator.index(place[0])
    shape = header.get("shape") or [header.get("num_points", 0)]
    if len(place) != len(shape):
        raise ReductionError(
            f"{sample}: expected a place in the scan as one index for each dimension of its shape "
            f"{list(shape)}, found {place}; give a list to average several frames"
        )
    indices = [operator.index(index) for index in place]
    inside = all(-size <= index < size for index, size in zip(indices, shape, strict=True))
    if not inside:
        raise IndexError(
            f"{sample}: expected a place in a scan of shape {list(shape)}, found {place}"
        )
    wrapped = [index % size for index, size in zip(indices, shape, strict=True)]
    return int(np.ravel_multi_index(wrapped, list(shape)))
