"""The sums that a frame leaves behind, from which I and σ follow, and their unions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Accumulators:
    """Sums over the pixels of each q-bin, for one frame (nq,) or for many (n, nq).

    Frames and detectors are combined by adding their sums, never by averaging ratios, which keeps
    the result unbiased at any count rate.

    Parameters
    ----------
    signal
        Σ counts.
    variance
        Σ variance of the counts.
    normalization
        Σ solid angle × polarisation × scale.
    normalization_squared
        Σ of its square.
    count
        Number of pixels. NaN in all five where a frame is missing.
    """

    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    normalization: NDArray[np.float64]
    normalization_squared: NDArray[np.float64]
    count: NDArray[np.float64]

    FIELDS: ClassVar = ("signal", "variance", "normalization", "normalization_squared", "count")

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in self.FIELDS}
        if len(shapes) != 1:
            raise ReductionError(f"expected accumulators of one shape, found {sorted(shapes)}")

    @classmethod
    def from_array(cls, array: NDArray[np.float64]) -> "Accumulators":
        """Take the sums apart that `to_array` put together, (…, 5, nq)."""
        if array.ndim < 2 or array.shape[-2] != len(cls.FIELDS):
            raise ReductionError(
                f"expected accumulators (…, {len(cls.FIELDS)}, nq), found shape {array.shape}"
            )
        return cls(**{name: array[..., i, :] for i, name in enumerate(cls.FIELDS)})

    @classmethod
    def missing(cls, shape: tuple[int, ...]) -> "Accumulators":
        """Make the sums of frames that are not there: all NaN."""
        return cls(**{name: np.full(shape, np.nan) for name in cls.FIELDS})

    def to_array(self) -> NDArray[np.float64]:
        """Put the sums into one array, (…, 5, nq)."""
        return np.stack([getattr(self, name) for name in self.FIELDS], axis=-2)

    def __getitem__(self, index: int | slice | NDArray[np.bool_]) -> "Accumulators":
        return Accumulators(**{name: getattr(self, name)[index] for name in self.FIELDS})

    def is_missing(self) -> NDArray[np.bool_]:
        """Tell which frames are missing, (…)."""
        return np.asarray(np.isnan(self.count).any(axis=-1))

    def intensity(self) -> NDArray[np.float64]:
        """Give I = Σ signal / Σ normalisation, (…, nq); NaN in bins without pixels."""
        return _ratio(self.signal, self.normalization)

    def sigma(self) -> NDArray[np.float64]:
        """Give σ = √(Σ variance) / Σ normalisation, (…, nq); NaN in bins without pixels.

        It is the standard error of I. With Poisson counts a bin that counted nothing has σ = 0;
        over repetitions σ² is right on average all the same.
        """
        return _ratio(np.sqrt(self.variance), self.normalization)

    def curve(self) -> NDArray[np.float64]:
        """Give I and σ, (…, 2, nq)."""
        return np.stack([self.intensity(), self.sigma()], axis=-2)

    def union(self, weights: NDArray[np.float64] | None = None) -> "Accumulators":
        """Add the frames of the leading axis up, in their order.

        Parameters
        ----------
        weights : (n,), optional
            Of the frames: their normalisations are multiplied by them, so that a frame with
            half the beam counts half.

        Returns
        -------
        Accumulators
            Without the leading axis; NaN if any of the frames is missing.
        """
        w = np.ones(len(self.count)) if weights is None else np.asarray(weights, dtype=float)
        column = w.reshape(-1, *[1] * (self.count.ndim - 1))
        return Accumulators(
            signal=self.signal.sum(axis=0),
            variance=self.variance.sum(axis=0),
            normalization=(self.normalization * column).sum(axis=0),
            normalization_squared=(self.normalization_squared * column**2).sum(axis=0),
            count=self.count.sum(axis=0),
        )


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
