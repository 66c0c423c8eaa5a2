"""The fit behind `beam_center`: one smooth curve for two cuts, and how they are shifted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.maps.sums import MapSums

FEWEST_BINS = 10
UNKNOWN = (np.nan, np.nan, np.nan)

_KNOTS_PX = (16.0, 8.0, 4.0, 2.0)  # least distances of two knots, to try one after the other
_ACCEPTED = 2.0  # standard deviations of χ² above its mean
_MOST_STEPS = 6
_REACH_PX = 2.0  # of one fit; further off the cuts are made anew
_DONE_PX = 0.01
_LEAST_SIGNAL = 2.0  # of the slope, over its noise
_SINGULAR = 1e-10
_SMOOTHED = 5  # bins over which the expected variance is averaged


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Side:
    """One cut: the bins' centres, what q its pixels have on average, and their sums (1, nq).

    `q_per_px` is by how much q grows with the centre's coordinate.
    """

    bins: NDArray[np.float64]
    q: NDArray[np.float64]
    q_per_px: NDArray[np.float64]
    sums: MapSums


def usable_bins(sides: tuple[Side, Side]) -> NDArray[np.bool_]:
    """Tell the bins in which both cuts have pixels and one of them counted something."""
    first, second = (side.sums for side in sides)
    pixels = (first.normalization > 0) & (second.normalization > 0)
    return np.asarray((pixels & (first.variance + second.variance > 0))[0])


def fit_shift(sides: tuple[Side, Side]) -> tuple[float, float, float]:
    """Give the shift from here in pixels, its uncertainty, and χ² per degree of freedom.

    The spline is the smoothest of a few that fits: the fewer its knots, the better the curve and
    its slope are known. All are NaN where none fits and the slope is not above its own noise.
    """
    found = UNKNOWN
    for knot_px in _KNOTS_PX:
        data = FitData.of(sides, knot_px=knot_px)
        if data is None:
            break
        found = _fit(data)
        if found[2] <= 1 + _ACCEPTED * np.sqrt(2 / data.freedom):
            break
    return found


def _fit(data: "FitData") -> tuple[float, float, float]:
    """Fit the spline's coefficients and the shift by Gauss and Newton's iteration.

    The uncertainty is where χ², smallest over the coefficients, has grown by 1, made larger for
    two reasons: the slope of the curve is known only as well as the curve, and χ² may exceed what
    noise makes.
    """
    shift = 0.0
    for _ in range(_MOST_STEPS):
        residuals, slope, noise = data.linearised(shift)
        information = float(np.sum(slope**2))
        if not information > 0:
            return UNKNOWN
        wanted = shift + float(np.sum(slope * residuals)) / information
        step = float(np.clip(wanted, -_REACH_PX, _REACH_PX)) - shift
        shift += step
        if abs(step) < _DONE_PX:
            break
    true_information = information - noise
    chi2 = float(np.sum(data.linearised(shift)[0] ** 2)) / data.freedom
    if true_information < _LEAST_SIGNAL * noise:
        return np.nan, np.nan, chi2
    sigma = np.sqrt(information * max(1.0, chi2)) / true_information
    return shift, float(sigma), chi2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FitData:
    """Both cuts, one after the other, and the knots of the spline that is fitted to them."""

    q: NDArray[np.float64]
    q_per_px: NDArray[np.float64]
    curves: NDArray[np.float64]
    sigma: NDArray[np.float64]
    knots: NDArray[np.float64]

    @classmethod
    def of(cls, sides: tuple[Side, Side], *, knot_px: float = 2.0) -> "FitData | None":
        """Collect them; None if there are too few bins."""
        usable = usable_bins(sides)
        if usable.sum() < FEWEST_BINS:
            return None
        q, growth = (
            np.concatenate([getattr(side, name)[usable] for side in sides])
            for name in ("q", "q_per_px")
        )
        return cls(
            q=q,
            q_per_px=growth,
            curves=np.concatenate([side.sums.mean()[0, usable] for side in sides]),
            sigma=np.sqrt(np.concatenate(_expected_variances(sides, usable))),
            knots=_knots(sides[0].bins[usable], float(np.median(np.abs(growth))), knot_px),
        )

    @property
    def freedom(self) -> int:
        """Data less parameters; coefficients in gaps count as if they were determined."""
        return max(1, len(self.q) - (len(self.knots) - 4) - 1)

    def fitted(self, shift: float) -> NDArray[np.float64]:
        """Give the best curve for a shift, at all data."""
        residuals, _, _ = self.linearised(shift)
        fitted: NDArray[np.float64] = self.curves - residuals * self.sigma
        return fitted

    def linearised(self, shift: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Give what is needed for a step from a shift.

        Returns
        -------
        residuals : ndarray
            Of the best curve, over σ.
        slope : ndarray
            Change of the curve with the shift, over σ, less what the coefficients can make of it.
        noise
            What the noise of the curve adds to Σ slope².
        """
        from scipy.interpolate import BSpline

        moved = np.clip(self.q + self.q_per_px * shift, self.knots[0], self.knots[-1])
        each = BSpline(self.knots, np.eye(len(self.knots) - 4), 3)
        weight = (1 / self.sigma)[:, None]
        left, values, right = np.linalg.svd(each(moved) * weight, full_matrices=False)
        known = values > _SINGULAR * values[0]
        left, back = left[:, known], right[known].T / values[known]
        data = self.curves / self.sigma
        change = each.derivative()(moved) * self.q_per_px[:, None] * weight
        change = (change - left @ (left.T @ change)) @ back
        share = left.T @ data
        return data - left @ share, change @ share, float(np.sum(change**2))


def _expected_variances(
    sides: tuple[Side, Side], usable: NDArray[np.bool_]
) -> list[NDArray[np.float64]]:
    """Give the variances that both cuts' bins have if they are the same curve.

    Taken from the counts of both sides and of neighbouring bins: from those of a bin alone the
    least intensities would weigh the most.
    """
    first, second = (side.sums for side in sides)
    signal = (first.variance + second.variance)[0, usable]
    weight = (first.normalization + second.normalization)[0, usable]
    window = np.ones(_SMOOTHED)
    # The variance of a sum of counts is their sum, apart from the dark's.
    per_normalization = np.convolve(signal, window, "same") / np.convolve(weight, window, "same")
    floor = per_normalization[per_normalization > 0].min()
    return [
        np.maximum(per_normalization, floor) / sums.normalization[0, usable]
        for sums in (first, second)
    ]


def _knots(q: NDArray[np.float64], q_per_px: float, knot_px: float) -> NDArray[np.float64]:
    """Give the knots of a cubic spline: at least two bins, and some pixels, apart; also in gaps."""
    step = max(knot_px * q_per_px, 2 * float(np.median(np.diff(q))))
    margin = 2 * _REACH_PX * q_per_px
    inner = np.linspace(q[0], q[-1], max(2, int((q[-1] - q[0]) / step) + 1))[1:-1]
    return np.concatenate([[q[0] - margin] * 4, inner, [q[-1] + margin] * 4])
