from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def count_sums(
    code: int,
    frame: _Array,
    checked: bool,
    high_int: int,
    high_float: float,
    start: _Array,
    length: _Array,
    runs: _Array,
    stop: _Array,
    bins: _Array,
    sums: _Array,
    bad: _Array,
) -> int: ...
def check(
    code: int,
    frame: _Array,
    checked: bool,
    high_int: int,
    high_float: float,
    good: _Array,
) -> int: ...
def shared_sums(
    code: int,
    frame: _Array,
    checked: bool,
    high_int: int,
    high_float: float,
    pixel: _Array,
    bins: _Array,
    good: _Array | None,
    share: _Array | None,
    sums: _Array,
    bad: _Array,
) -> int: ...
def spread_sums(
    code: int,
    frame: _Array,
    checked: bool,
    high_int: int,
    high_float: float,
    pixel: _Array,
    bins: _Array,
    good: _Array | None,
    share: _Array | None,
    dark: _Array | None,
    weight: _Array | None,
    first: _Array,
    shift: _Array,
    sums: _Array,
    bad: _Array,
) -> int: ...
def weight_sums(
    pixel: _Array,
    bins: _Array,
    good: _Array | None,
    wanted: _Array | None,
    weight: _Array | None,
    share: _Array | None,
    part: _Array | None,
    dark: _Array | None,
    dark_variance: _Array | None,
    sums: _Array,
) -> int: ...
