from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def count_sums(
    code: int,
    frame: _Array,
    checked: bool,
    low_int: int,
    high_int: int,
    low_float: float,
    high_float: float,
    bins: _Array,
    start: _Array,
    stop: _Array,
    sums: _Array,
) -> int: ...
def check(
    code: int,
    frame: _Array,
    checked: bool,
    low_int: int,
    high_int: int,
    low_float: float,
    high_float: float,
    good: _Array,
) -> None: ...
def shared_sums(
    code: int,
    frame: _Array,
    checked: bool,
    low_int: int,
    high_int: int,
    low_float: float,
    high_float: float,
    pixel: _Array,
    bins: _Array,
    good: _Array | None,
    share: _Array,
    dark: _Array | None,
    dark_variance: _Array | None,
    sums: _Array,
) -> int: ...
def azimuthal_sums(
    code: int,
    frame: _Array,
    pixel: _Array,
    bins: _Array,
    good: _Array | None,
    share: _Array,
    dark: _Array | None,
    weight: _Array,
    mean: _Array,
    spread: _Array,
) -> None: ...
def weight_sums(
    pixel: _Array,
    bins: _Array,
    good: _Array | None,
    weight: _Array,
    share: _Array,
    total: _Array,
    square: _Array,
    shares: _Array,
    pixels: _Array,
) -> None: ...
