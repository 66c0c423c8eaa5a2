"""The bins of q: any increasing list of edges."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.errors import ReductionError

_WHOLE_STEPS = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class QGrid:
    """Adjacent bins of the momentum transfer q.

    A bin holds its lower edge, the last bin also its upper one, as in `numpy.histogram`.

    Parameters
    ----------
    edges : ndarray, shape (nq + 1,)
        Increasing, in Å⁻¹.
    centers : ndarray, shape (nq,)
        The q at which a bin's intensity stands, in Å⁻¹, inside the bin.

    Raises
    ------
    ReductionError
        If the edges do not increase, or a centre lies outside its bin.

    Examples
    --------
    >>> QGrid.from_segments([[0.0, 0.2, 0.1], [0.2, 1.0, 0.4]]).edges.round(3).tolist()
    [0.0, 0.1, 0.2, 0.6, 1.0]
    """

    edges: NDArray[np.float64]
    centers: NDArray[np.float64]

    def __post_init__(self) -> None:
        edges, centers = (_frozen(values) for values in (self.edges, self.centers))
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "centers", centers)
        if edges.ndim != 1 or edges.size < 2 or not np.isfinite(edges).all():
            raise ReductionError(f"expected at least two finite edges of q, found {edges}")
        if not (np.diff(edges) > 0).all():
            place = int(np.argmin(np.diff(edges)))
            raise ReductionError(
                "expected edges of q that increase, found "
                f"{edges[place]:g} followed by {edges[place + 1]:g}"
            )
        if centers.shape != (edges.size - 1,):
            raise ReductionError(f"expected {edges.size - 1} centres of q, found {centers.shape}")
        if not ((edges[:-1] <= centers) & (centers <= edges[1:])).all():
            raise ReductionError("expected every centre of q inside its bin, found one outside")

    @classmethod
    def from_edges(cls, edges: ArrayLike) -> "QGrid":
        """Make bins from their edges; centres are midway.

        Parameters
        ----------
        edges
            One more than there are bins, in Å⁻¹.

        Returns
        -------
        QGrid
            The grid.
        """
        array = np.asarray(edges, dtype=float)
        return cls(edges=array, centers=(array[:-1] + array[1:]) / 2)

    @classmethod
    def from_centers(cls, centers: ArrayLike) -> "QGrid":
        """Make bins around centres: edges are midway between them, the outer ones mirrored.

        Parameters
        ----------
        centers
            Of the bins, in Å⁻¹.

        Returns
        -------
        QGrid
            The grid.

        Raises
        ------
        ReductionError
            If there are fewer than two centres or they do not increase.
        """
        array = np.asarray(centers, dtype=float)
        if array.ndim != 1 or array.size < 2 or not (np.diff(array) > 0).all():
            raise ReductionError(f"expected at least two centres of q that increase, found {array}")
        inner = (array[:-1] + array[1:]) / 2
        outer = 2 * array[0] - inner[0], 2 * array[-1] - inner[-1]
        return cls(edges=np.concatenate([[outer[0]], inner, [outer[1]]]), centers=array)

    @classmethod
    def from_segments(cls, segments: Sequence[Sequence[float]]) -> "QGrid":
        """Make bins of one width after those of another.

        Parameters
        ----------
        segments
            Each ``[start, stop, step]``: bins of width `step` from `start` to `stop`, both
            edges. A segment starts where the last one stopped.

        Raises
        ------
        ReductionError
            If a segment is not a whole number of steps, or leaves a gap or an overlap.
        """
        edges: list[float] = []
        for segment in segments:
            if len(segment) != 3:
                raise ReductionError(f"expected [start, stop, step], found {list(segment)}")
            start, stop, step = (float(value) for value in segment)
            if not (step > 0 and stop > start and np.isfinite([start, stop, step]).all()):
                raise ReductionError(
                    f"expected finite start < stop and step > 0, found {list(segment)}"
                )
            steps = (stop - start) / step
            if abs(steps - round(steps)) > _WHOLE_STEPS * max(1.0, steps):
                raise ReductionError(
                    f"expected a whole number of steps in {list(segment)}, found {steps:g}"
                )
            if edges and abs(edges[-1] - start) > _WHOLE_STEPS * step:
                raise ReductionError(
                    f"expected the segment {list(segment)} to start at {edges[-1]:g}, where the "
                    f"one before it stops, found {start:g}"
                )
            new = np.linspace(start, stop, round(steps) + 1).tolist()
            edges.extend(new[1:] if edges else new)
        return cls.from_edges(edges)

    @classmethod
    def linear(cls, start: float, stop: float, bins: int) -> "QGrid":
        """Make `bins` bins of equal width from edge to edge.

        Parameters
        ----------
        start, stop
            The outermost edges, in Å⁻¹.
        bins
            Their number.

        Returns
        -------
        QGrid
            The grid.
        """
        _check_bins(bins)
        return cls.from_edges(np.linspace(start, stop, bins + 1))

    @classmethod
    def logarithmic(cls, start: float, stop: float, bins: int) -> "QGrid":
        """Make `bins` bins of equal width in log q; centres are the edges' geometric means.

        Parameters
        ----------
        start, stop
            The outermost edges, in Å⁻¹; both above 0.
        bins
            Their number.

        Returns
        -------
        QGrid
            The grid.
        """
        _check_bins(bins)
        if not 0 < start < stop:
            raise ReductionError(f"expected 0 < start < stop, found {start:g} and {stop:g}")
        edges = np.geomspace(start, stop, bins + 1)
        return cls(edges=edges, centers=np.sqrt(edges[:-1] * edges[1:]))

    def __len__(self) -> int:
        return len(self.centers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QGrid):
            return NotImplemented
        return np.array_equal(self.edges, other.edges) and np.array_equal(
            self.centers, other.centers
        )

    def __hash__(self) -> int:
        return hash((self.edges.tobytes(), self.centers.tobytes()))

    @property
    def widths(self) -> NDArray[np.float64]:
        """Widths of the bins (nq,), in Å⁻¹."""
        return np.diff(self.edges)

    def bin_index(self, q: ArrayLike) -> NDArray[np.int32]:
        """Give the bin of each q in Å⁻¹, in the shape of `q`; −1 outside and for NaN.

        Parameters
        ----------
        q
            In Å⁻¹, of any shape.

        Returns
        -------
        ndarray of int32
            Numbers of bins, from 0.
        """
        values = np.asarray(q, dtype=float)
        index = np.searchsorted(self.edges, values, side="right") - 1
        index = np.where(values == self.edges[-1], len(self) - 1, index)
        inside = (values >= self.edges[0]) & (values <= self.edges[-1])
        return np.where(inside, index, -1).astype(np.int32)


def _frozen(values: ArrayLike) -> NDArray[np.float64]:
    array = np.array(values, dtype=float)
    array.setflags(write=False)
    return array


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ReductionError(f"expected at least one bin of q, found {bins}")
