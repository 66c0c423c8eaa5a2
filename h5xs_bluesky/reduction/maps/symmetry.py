"""Friedel's symmetry of maps in (q, φ): I(q, φ) = I(q, φ + 180°)."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.maps.sums import MapSums, add_sums

_TURN = 360.0
_SAME = 1e-6  # of a cell


def apply_friedel(sums: MapSums, *, azimuth_deg: NDArray[np.float64]) -> MapSums:
    """Add to every cell what lies opposite.

    With an even number of azimuths the opposite cell is a cell. With an odd number its edges cut
    two cells in half: half the pixels of each are taken, their variance with the square of the
    share, and neighbouring azimuths of the result are correlated.

    Where the first and the last azimuth are the same direction, as on py4xs' grid from −180° to
    180°, they are added up first, and are equal afterwards.

    Parameters
    ----------
    sums
        (nφ, nq).
    azimuth_deg : ndarray, shape (nφ,)
        Centres of the cells: equally spaced, a full turn.

    Raises
    ------
    ReductionError
        If they are not.
    """
    count, closed = _check(azimuth_deg, len(sums.signal))
    rows = np.arange(count)
    whole = sums.taken(rows)
    if closed:
        last = sums.taken(np.array([count]))
        for name in MapSums.FIELDS:
            getattr(whole, name)[0] += getattr(last, name)[0]
    half, odd = divmod(count, 2)
    if odd:
        opposite = [whole.taken((rows + half + more) % count, share=0.5) for more in (0, 1)]
    else:
        opposite = [whole.taken((rows + half) % count)]
    result = add_sums([whole, *opposite])
    return result.taken(np.append(rows, 0)) if closed else result


def _check(azimuth_deg: NDArray[np.float64], cells: int) -> tuple[int, bool]:
    """Give how many cells make a turn, and whether the last repeats the first."""
    steps = np.diff(azimuth_deg)
    step = steps.mean() if steps.size else _TURN
    if (
        len(azimuth_deg) != cells
        or cells < 2
        or not np.allclose(steps, step, rtol=0, atol=_SAME * step)
    ):
        raise ReductionError(
            f"expected equally spaced azimuths for the {cells} rows of the map, found "
            f"{len(azimuth_deg)}: {azimuth_deg}"
        )
    for count, closed in ((cells, False), (cells - 1, True)):
        if abs(count * step - _TURN) <= _SAME * step * cells:
            return count, closed
    raise ReductionError(
        f"expected azimuths around a full turn, found {cells} cells of {step:g}°: a part of it "
        "has no opposite"
    )
