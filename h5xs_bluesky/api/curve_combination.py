"""Curves combined as py4xs combines them: scaled, averaged, merged, less a background."""

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.curve_arithmetic import BEAM, CurveArithmetic
from h5xs_bluesky.api.plots.axes import plain_ticks, prepare_axes
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.curve_sums import average_curves, merge_curves
from h5xs_bluesky.reduction.subtract import subtract_background
from h5xs_bluesky.reduction.water import WATER, WaterPeak, peak_intensity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)


class CurveCombination(CurveArithmetic):
    """The methods of `Data1d` that combine curves, under py4xs' names."""

    comments: str
    trans_sigma: float
    trans_w: float
    trans_w_sigma: float
    trans_e: float
    trans_e_sigma: float
    overlaps: list[dict[str, NDArray[np.float64]]]

    def set_trans(
        self,
        transMode: Any,  # noqa: N803 - the ancestor's name
        trans: float = -1,
        ref_trans: float = -1,
        calc_water_peak: bool = False,
        q_start: float = 1.85,
        q_end: float = 2.15,
        debug: bool = False,
    ) -> Self:
        """Choose what tells the beam of this curve, in place.

        Parameters
        ----------
        transMode
            ``"external"``, or ``"water"`` for the intensity of the water peak; py4xs'
            ``trans_mode`` and its values will do.
        trans
            The monitor's reading, if above 0; otherwise `trans_e` stays.
        ref_trans
            If above 0, scale the curve to this beam.
        calc_water_peak
            Find the water peak's intensity, `trans_w`, also where it is not what is chosen.
        q_start, q_end
            The water peak's range in Å⁻¹.
        debug
            Not needed; taken so that calls written for py4xs run.

        Returns
        -------
        Data1d
            This curve.

        Raises
        ------
        ReductionError
            If the curve does not reach the water peak, or the beam is not known and it is to be
            scaled.
        """
        from h5xs_bluesky.api.methods.monitors import trans_mode_of

        del debug
        mode = trans_mode_of(transMode)
        if trans > 0:
            self.trans_e, self.trans_e_sigma = float(trans), np.nan
        if mode == WATER or calc_water_peak:
            curves = np.stack([self.data, self.err])[None]
            peak = WaterPeak(q_range=(q_start, q_end), background=None)
            found = peak_intensity(curves, q=self.qgrid, peak=peak)[0]
            self.trans_w, self.trans_w_sigma = float(found[0]), float(found[1])
        chosen = "trans_w" if mode == WATER else "trans_e"
        self.trans, self.trans_sigma = getattr(self, chosen), getattr(self, f"{chosen}_sigma")
        self.comments = _noted(self.comments, f"transmitted beam ({mode}): {self.trans:.9g}")
        if ref_trans > 0:
            if not self.trans > 0:
                raise ReductionError(
                    f"{self.label}: expected a transmitted beam to scale by, found {self.trans}"
                )
            self.scale(ref_trans / self.trans)
        return self

    def scale(self, sc: float) -> Self:
        """Multiply I, σ and the beam by a factor, in place: I over `trans` stays.

        Parameters
        ----------
        sc
            The factor, above 0.

        Returns
        -------
        Data1d
            This curve.

        Raises
        ------
        ReductionError
            If the factor is not a positive number.
        """
        if not (np.isfinite(sc) and sc > 0):
            raise ReductionError(f"{self.label}: expected a positive factor, found {sc}")
        self.data = self.data * sc
        self.err = self.err * sc
        for name in BEAM:
            setattr(self, name, getattr(self, name) * sc)
        self.overlaps = [
            {name: values * (1 if name == "q_overlap" else sc) for name, values in overlap.items()}
            for overlap in self.overlaps
        ]
        self.comments = _noted(self.comments, f"scaled by {sc:.9g}")
        return self

    def avg(
        self,
        dsets: Sequence[Self],
        weighted: bool = True,
        qmax_for_weight: float = 0.3,
        plot_data: bool = False,
        ax: "Axes | None" = None,
        debug: bool = False,
        fontsize: Any = "large",
    ) -> Self:
        """Average this curve with others on the same grid; gives a new one.

        py4xs weighs by 1/σ², which biases curves of few counts low. Here the beam weighs (`trans`),
        as in a union of frames; `average_d1s` unites the frames themselves.

        Parameters
        ----------
        dsets
            The others.
        weighted
            A curve with more beam weighs more; otherwise each is divided by its beam before.
            Without the beam of all curves they weigh the same.
        qmax_for_weight, debug
            Not needed; taken so that calls written for py4xs run.
        plot_data, ax, fontsize
            Plot all curves and the average, into these axes.

        Returns
        -------
        Data1d
            The average, with the beam (`trans`) that goes with it.

        Raises
        ------
        ReductionError
            If the grids differ.
        """
        del qmax_for_weight, debug
        curves: list[Self] = [self, *dsets]
        for other in dsets:
            self._same_grid(other)
        values, trans = average_curves(
            np.stack([np.stack([d1.data, d1.err]) for d1 in curves]),
            np.array([d1.trans for d1 in curves]),
            weighted=weighted,
        )
        result = self._made(values[0], values[1], trans)
        _set_mean_beam(result, curves)
        result.trans = trans
        labels = ", ".join(d1.label for d1 in curves)
        result.comments = _noted(result.comments, f"average of {len(curves)} curves: {labels}")
        if plot_data:
            axes = prepare_axes(ax, fontsize=fontsize)
            for d1 in curves:
                axes.plot(d1.qgrid, d1.data, lw=0.8, label=d1.label)
            axes.plot(self.qgrid, values[0], color="gray", ls="--", lw=2, label="average")
            plain_ticks(axes)
            axes.legend(loc="upper right", frameon=False)
        return result

    def merge(self, d1: Self, debug: bool = False, create_new: bool = False) -> Self:
        """Merge another detector's curve into this one; where both have pixels is an overlap.

        For counts the result is that of adding both detectors' sums (`merge_curves`), without the
        bias of weights 1/σ².

        Parameters
        ----------
        d1
            On the same grid, and on the same scale.
        debug
            Not needed; taken so that calls written for py4xs run.
        create_new
            Leave this curve as it is, and give a new one.

        Returns
        -------
        Data1d
            This curve, or the new one.

        Raises
        ------
        ReductionError
            If the grids differ.
        """
        del debug
        self._same_grid(d1)
        result = copy.deepcopy(self) if create_new else self
        one, two = (np.stack([curve.data, curve.err]) for curve in (self, d1))
        both = np.isfinite(one).all(axis=0) & np.isfinite(two).all(axis=0)
        if both.any():
            overlap = {
                "q_overlap": self.qgrid[both],
                "raw_data1": self.data[both],
                "raw_data2": d1.data[both],
            }
            result.overlaps = [*self.overlaps, overlap]
        result.data, result.err = merge_curves(one, two)
        result.comments = _noted(result.comments, f"merged with {d1.label}")
        return result

    def bkg_cor(
        self,
        dbak: Self,
        sc_factor: float = 1.0,
        plot_data: bool = False,
        ax: "Axes | None" = None,
        inplace: bool = False,
        check_overlap: bool = False,
        show_eb: bool = True,
        debug: bool = False,
        fontsize: Any = "large",
    ) -> Self:
        """Subtract a background, scaled to this curve's beam; errors in quadrature.

        Parameters
        ----------
        dbak
            On the same grid.
        sc_factor
            Scales it further.
        plot_data, ax, show_eb, fontsize
            Plot the curves and the difference, into these axes, with or without error bars.
        inplace
            Change this curve; otherwise a new one is made.
        check_overlap
            Refuse a background with another number of overlaps.
        debug
            Not needed; taken so that calls written for py4xs run.

        Returns
        -------
        Data1d
            The difference. Where neither curve's beam is known they are taken as normalised, and a
            warning is logged.

        Raises
        ------
        ReductionError
            If the grids differ, or only one curve's beam is known.
        """
        del debug
        self._same_grid(dbak)
        same_overlaps = len(self.overlaps) == len(dbak.overlaps)
        if check_overlap and not same_overlaps:
            raise ReductionError(
                f"{self.label} and {dbak.label}: expected as many overlaps, found "
                f"{len(self.overlaps)} and {len(dbak.overlaps)}"
            )
        beams = np.array([self.trans, dbak.trans])
        sigmas = np.nan_to_num([self.trans_sigma, dbak.trans_sigma])  # not told: taken as exact
        if not (np.isfinite(beams) & (beams > 0)).any():
            logger.warning(
                "%s and %s: no transmitted beam is known; the curves are subtracted as they are",
                self.label,
                dbak.label,
            )
            beams, sigmas = np.ones(2), np.zeros(2)
        values = subtract_background(
            sample=np.stack([self.data, self.err]),
            buffer=np.stack([dbak.data, dbak.err]),
            trans_sample=float(beams[0]),
            trans_buffer=float(beams[1]),
            trans_sigma_sample=float(sigmas[0]),
            trans_sigma_buffer=float(sigmas[1]),
            sc_factor=sc_factor,
        )
        factor = float(sc_factor * beams[0] / beams[1])
        result = self if inplace else copy.deepcopy(self)
        if plot_data:
            self._plot_subtraction(dbak, values, factor, ax, show_eb=show_eb, fontsize=fontsize)
        result.data, result.err = values
        if same_overlaps:
            result.overlaps = [
                {
                    "q_overlap": own["q_overlap"],
                    **{n: own[n] - factor * other[n] for n in ("raw_data1", "raw_data2")},
                }
                for own, other in zip(self.overlaps, dbak.overlaps, strict=True)
            ]
        result.comments = _noted(result.comments, f"less {dbak.label}, times {factor:.9g}")
        return result

    def _plot_subtraction(
        self,
        dbak: Self,
        values: NDArray[np.float64],
        factor: float,
        ax: "Axes | None",
        *,
        show_eb: bool,
        fontsize: Any,
    ) -> None:
        axes = prepare_axes(ax, fontsize=fontsize)
        axes.plot(self.qgrid, self.data, label=self.label)
        axes.plot(dbak.qgrid, dbak.data * factor, label=f"{dbak.label}, scaled")
        errors = values[1] if show_eb else None
        axes.errorbar(self.qgrid, values[0], errors, lw=1.0, elinewidth=0.5, label="difference")
        plain_ticks(axes)
        axes.legend(loc="upper right", frameon=False)


def _noted(comments: str, line: str) -> str:
    return "\n".join([*comments.splitlines(), line])


def _set_mean_beam(result: Any, curves: Sequence[Any]) -> None:
    """Give an average the mean of each reading, and the uncertainty of the mean."""
    for value, sigma in zip(BEAM[::2], BEAM[1::2], strict=True):
        setattr(result, value, float(np.mean([getattr(each, value) for each in curves])))
        errors = np.array([getattr(each, sigma) for each in curves])
        setattr(result, sigma, float(np.sqrt(np.sum(errors**2)) / len(errors)))
