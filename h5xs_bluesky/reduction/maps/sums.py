"""Maps: patterns binned in two coordinates, through sums like those of curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.integration.cells import CellGrid
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels

_SAME_STEP = 1e-6  # relative


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MapAxis:
    """Adjacent cells along one coordinate; a cell holds its lower edge.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
        Increasing.
    period
        After which the coordinate repeats, as 360 for an azimuth in degrees; None if it does not.

    Raises
    ------
    ReductionError
        If the edges do not increase.

    Examples
    --------
    >>> MapAxis.linear(-180, 180, 4, period=360).index(np.array([-180.0, 0.0, 180.0, 359.0]))
    array([0, 2, 0, 1])
    """

    edges: NDArray[np.float64]
    period: float | None = None

    def __post_init__(self) -> None:
        edges = np.array(self.edges, dtype=float)
        edges.setflags(write=False)
        object.__setattr__(self, "edges", edges)
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise ReductionError(f"expected edges of cells that increase, found {edges}")

    @classmethod
    def linear(
        cls, start: float, stop: float, cells: int, *, period: float | None = None
    ) -> "MapAxis":
        """Make cells of equal width."""
        if cells < 1 or not stop > start:
            raise ReductionError(
                f"expected at least one cell from a lower to a higher value, found {cells} from "
                f"{start:g} to {stop:g}"
            )
        return cls(edges=np.linspace(start, stop, cells + 1), period=period)

    @classmethod
    def from_centers(cls, centers: ArrayLike, *, period: float | None = None) -> "MapAxis":
        """Make cells around their centres: edges midway, the outer ones as far as the inner."""
        values = np.asarray(centers, dtype=float)
        if values.ndim != 1 or values.size < 2:
            raise ReductionError(f"expected at least two centres of cells, found {values}")
        middle = (values[1:] + values[:-1]) / 2
        first, last = 2 * values[0] - middle[0], 2 * values[-1] - middle[-1]
        return cls(edges=np.concatenate([[first], middle, [last]]), period=period)

    def __len__(self) -> int:
        return self.edges.size - 1

    @property
    def centers(self) -> NDArray[np.float64]:
        """Middles of the cells, (n,)."""
        middles: NDArray[np.float64] = (self.edges[1:] + self.edges[:-1]) / 2
        return middles

    @property
    def uniform(self) -> bool:
        """Whether all cells are equally wide."""
        widths = np.diff(self.edges)
        return bool(np.ptp(widths) <= _SAME_STEP * widths.mean())

    def index(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Give the cell of each value; −1 outside and for NaN."""
        first, last = self.edges[0], self.edges[-1]
        if self.period is not None:
            values = (values - first) % self.period + first
        inside = (values >= first) & (values < last)
        if self.uniform:
            scaled = (np.where(inside, values, first) - first) / (last - first) * len(self)
            cell = np.minimum(scaled.astype(np.int64), len(self) - 1)
            cell += values >= self.edges[np.minimum(cell + 1, len(self))]  # rounding
            cell -= values < self.edges[cell.clip(0, len(self))]
        else:
            cell = np.searchsorted(self.edges, values, side="right") - 1
        return np.where(inside, cell, -1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MapSums:
    """Sums over the pixels of each cell (ny, nx); maps are combined by adding them.

    Parameters
    ----------
    signal
        Σ counts less the dark.
    variance
        Σ of their variances.
    normalization
        Σ solid angle × polarisation × flat × scale; 0 in a cell without pixels.
    count
        Number of pixels.
    """

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    normalization: NDArray[np.float64]
    count: NDArray[np.float64]

    FIELDS: ClassVar = ("signal", "variance", "normalization", "count")

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in self.FIELDS}
        if len(shapes) != 1:
            raise ReductionError(f"expected sums of one shape, found {sorted(shapes)}")

    @classmethod
    def from_values(
        cls,
        mean: NDArray[np.float64],
        sem: NDArray[np.float64],
        *,
        normalization: NDArray[np.float64] | None = None,
        count: NDArray[np.float64] | None = None,
    ) -> "MapSums":
        """Give the sums that have these means and standard errors.

        Parameters
        ----------
        mean, sem : ndarray, shape (ny, nx)
            NaN in cells without pixels.
        normalization, count
            Of each cell; 1 where there is a mean, if they are not known.
        """
        known = np.isfinite(mean)
        one = known.astype(float)
        weight = one if normalization is None else np.where(known, normalization, 0.0)
        return cls(
            signal=np.where(known, mean, 0.0) * weight,
            variance=(np.where(known, sem, 0.0) * weight) ** 2,
            normalization=weight,
            count=one if count is None else np.where(known, count, 0.0),
        )

    def mean(self) -> NDArray[np.float64]:
        """Give Σ signal / Σ normalisation; NaN in cells without pixels."""
        return _ratio(self.signal, self.normalization)

    def sem(self) -> NDArray[np.float64]:
        """Give √(Σ variance) / Σ normalisation, the standard error of the mean."""
        return _ratio(np.sqrt(self.variance), self.normalization)

    def summed(self, axis: int) -> "MapSums":
        """Add up along an axis, which stays with one cell."""
        return MapSums(**{
            name: getattr(self, name).sum(axis=axis, keepdims=True) for name in self.FIELDS
        })  # fmt: skip

    def taken(self, rows: NDArray[np.intp], *, share: float = 1.0) -> "MapSums":
        """Give rows anew, by their numbers, and with a share of their pixels."""
        powers = {"variance": 2}
        return MapSums(**{
            name: getattr(self, name)[rows] * share ** powers.get(name, 1) for name in self.FIELDS
        })  # fmt: skip


def add_sums(parts: Sequence[MapSums]) -> MapSums:
    """Add maps of the same cells up: of several detectors, frames or symmetric halves.

    Raises
    ------
    ReductionError
        If there is none, or their shapes differ.
    """
    shapes = {part.signal.shape for part in parts}
    if len(shapes) != 1:
        raise ReductionError(f"expected maps of one shape to add, found {sorted(shapes)}")
    return MapSums(**{
        name: np.sum([getattr(part, name) for part in parts], axis=0) for name in MapSums.FIELDS
    })  # fmt: skip


def map_frame(
    frame: NDArray[Any],
    pixels: Pixels,
    *,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    x_axis: MapAxis,
    y_axis: MapAxis,
    exposures: NDArray[np.int64] | int = 1,
) -> MapSums:
    """Sum a frame's pixels in cells of two coordinates.

    Masked pixels, and those that the frame itself disqualifies, count nowhere. The variance is
    that of Poisson counts.

    Parameters
    ----------
    frame : ndarray, shape (H, W)
        Counts; of several frames their mean.
    pixels
        What the counts are divided by, and which are left out. Their q is not used.
    x, y : ndarray, shape (H, W)
        The coordinates of each pixel.
    x_axis, y_axis
        The cells.
    exposures
        How many frames the frame is the mean of, one number or one per pixel.

    Returns
    -------
    MapSums
        (ny, nx).
    """
    pixels.check(frame)
    column, row = x_axis.index(x), y_axis.index(y)
    shape = (len(y_axis), len(x_axis))
    place = np.where((column >= 0) & (row >= 0), row * shape[1] + column, -1)
    counts, summed = frame, pixels
    if not np.all(np.asarray(exposures) == 1):
        counts, summed = _of_all_exposures(frame, pixels, np.broadcast_to(exposures, frame.shape))
    sums = make_integrator(summed, CellGrid(place, shape[0] * shape[1])).integrate(counts)
    return MapSums(**{name: getattr(sums, name).reshape(shape) for name in MapSums.FIELDS})


def _of_all_exposures(
    mean: NDArray[Any], pixels: Pixels, number: NDArray[np.int64]
) -> tuple[NDArray[Any], Pixels]:
    """Give the sum of the frames that a frame is the mean of, and the pixels that go with it."""
    bad = pixels.disqualified(mean)
    dark, dark_variance = (
        None if array is None else array * number for array in (pixels.dark, pixels.dark_variance)
    )
    return mean * number, Pixels(
        q=pixels.q,
        normalization=pixels.normalization * number,
        mask=pixels.mask if bad is None else pixels.mask | bad,
        dark=dark,
        dark_variance=dark_variance,
        any_value=True,  # what the mean disqualifies is masked
    )


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
