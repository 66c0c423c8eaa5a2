"""One curve: I(q) ± σ, with what belongs to it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.curve_combination import CurveCombination
from h5xs_bluesky.api.plots.axes import plain_ticks, prepare_axes
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.curve_files import read_curve
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.reduction.guinier import (
    Guinier,
    fit_guinier,
    fit_guinier_range,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(kw_only=True, eq=False)
class Data1d(CurveCombination):
    """A scattering curve; attributes are named as in py4xs.

    ``+ − × ÷`` with numbers, and with curves on the same grid whose errors are independent, give
    new curves with errors in quadrature (`CurveArithmetic`).

    Parameters
    ----------
    qgrid : ndarray, shape (nq,)
        In Å⁻¹.
    data, err : ndarray, shape (nq,)
        I and σ, in counts per relative solid angle; not divided by the monitor. NaN in bins that
        no pixel fell into, and throughout where the frame is missing.
    trans
        The monitor's reading, or the water peak's intensity, which carries the intensity of the
        beam; NaN where it is not known.
    trans_w, trans_e
        The water peak's intensity (the sum of I over its bins), and the monitor's reading; NaN
        where they are not known.
    trans_sigma, trans_w_sigma, trans_e_sigma
        The standard uncertainties of these three.
    label
        Names the curve in plots.
    comments
        Lines for the header of an exported file.
    overlaps
        Where curves of several detectors overlap: mappings with ``q_overlap``, ``raw_data1`` and
        ``raw_data2``.

    Raises
    ------
    ReductionError
        If the arrays differ in shape.

    Examples
    --------
    >>> d1 = Data1d(qgrid=np.array([0.1, 0.2]), data=np.array([4.0, 1.0]), err=np.array([2.0, 1.0]))
    >>> d1.trans, d1.label
    (nan, 'data')
    >>> (d1 - 0.5 * d1).err.round(3).tolist()
    [2.236, 1.118]
    """

    qgrid: NDArray[np.float64]
    data: NDArray[np.float64]
    err: NDArray[np.float64]
    trans: float = float("nan")
    label: str = "data"
    comments: str = ""
    overlaps: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)
    trans_sigma: float = float("nan")
    trans_w: float = float("nan")
    trans_w_sigma: float = float("nan")
    trans_e: float = float("nan")
    trans_e_sigma: float = float("nan")

    def __post_init__(self) -> None:
        shapes = [np.shape(values) for values in (self.qgrid, self.data, self.err)]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise ReductionError(
                f"{self.label}: expected q, I and σ as three lists of one length, found {shapes}"
            )

    @classmethod
    def from_file(cls, fn: str | Path, *, unit: str | None = None) -> Self:
        """Read a curve from a file.

        Parameters
        ----------
        fn
            Three columns of text under any header, as `save` and most programs write, or HDF5
            with NXcanSAS. Without σ it is NaN.
        unit
            Of q, ``"1/A"`` or ``"1/nm"``, where the file does not tell.

        Raises
        ------
        FileFormatError
            If it holds no curve.
        OSError
            If it cannot be read.
        """
        found = read_curve(Path(fn), unit=unit)
        return cls(
            qgrid=found.q,
            data=found.intensity,
            err=found.sigma,
            trans=found.trans,
            label=found.title or Path(fn).stem,
            comments=found.comments,
        )

    def guinier(self, qs: float = 0.0, qe: float = np.inf, *, fixed: bool = False) -> Guinier:
        """Fit Guinier's law: Rg and I₀ with uncertainties.

        Parameters
        ----------
        qs, qe
            Where to look for the Guinier region, in Å⁻¹.
        fixed
            Fit all points between them, instead of looking.

        Returns
        -------
        Guinier
            Rg in Å, I₀, their standard uncertainties, and the range of the fit.

        Raises
        ------
        ReductionError
            If there is no such region.
        """
        curve = np.stack([self.data, self.err])
        fit = fit_guinier_range if fixed else fit_guinier
        try:
            return fit(curve, self.qgrid, q_min=qs, q_max=qe)
        except ReductionError as error:
            raise ReductionError(f"{self.label}: {error}") from error

    def plot_Guinier(  # noqa: N802 - the ancestor's name
        self,
        qs: float = 0.0,
        qe: float = 10.0,
        rg: float = 15.0,
        fix_qe: bool = False,
        scale_wabs: float = -1,
        ax: "Axes | None" = None,
        no_plot: bool = False,
        fontsize: Any = "large",
    ) -> tuple[float, float, list[int]]:
        """Fit Guinier's law and plot it: ln I over q²; `guinier` tells the uncertainties.

        Parameters
        ----------
        qs, qe
            Where to look for the Guinier region, in Å⁻¹.
        rg
            Not needed: no start is taken.
        fix_qe
            Fit all points between `qs` and `qe`.
        scale_wabs
            If above 0, what intensities are multiplied by.
        ax
            Where; a new figure if there is none.
        no_plot
            Only fit.
        fontsize
            Of the axes' labels, as matplotlib takes it.

        Returns
        -------
        i0, rg, fit_range
            As py4xs gives them: the forward scattering, Rg in Å, and how many bins lie below the
            range and up to its end.

        Raises
        ------
        ReductionError
            If there is no such region.
        """
        del rg
        fit = self.guinier(qs, qe, fixed=fix_qe)
        factor = scale_wabs if scale_wabs > 0 else 1.0
        if not no_plot:
            from h5xs_bluesky.api.plots.guinier import plot_guinier

            plot_guinier(self, fit, ax, factor=factor, fontsize=fontsize)
        return fit.i0 * factor, fit.rg, [fit.first, fit.last + 1]

    def plot(
        self, ax: "Axes | None" = None, scale: float = 1.0, fontsize: Any = "large", **style: Any
    ) -> "Axes":
        """Plot the curve with error bars on logarithmic axes.

        Parameters
        ----------
        ax
            Where; a new figure if there is none.
        scale
            Multiplies I and σ.
        fontsize
            Of the axes' labels, as matplotlib takes it.
        **style
            Further arguments of `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        Axes
            Into which the curve was drawn.
        """
        axes = prepare_axes(ax, fontsize=fontsize)
        style = {"label": self.label, "lw": 1.0, "elinewidth": 0.5, **style}
        axes.errorbar(self.qgrid, self.data * scale, self.err * scale, **style)
        for overlap in self.overlaps:
            axes.plot(overlap["q_overlap"], overlap["raw_data1"] * scale, "v")
            axes.plot(overlap["q_overlap"], overlap["raw_data2"] * scale, "^")
        plain_ticks(axes)
        axes.legend(loc="upper right", frameon=False)
        return axes

    def save(self, fn: str | Path, nz: bool = True, *, footer: str = "") -> None:
        """Write q, I and σ in three columns under a header, replacing the file whole.

        ``trans`` is left out where it is not known.

        Parameters
        ----------
        fn
            The file.
        nz
            Leave out the bins that no pixel fell into. Bins that counted nothing stay: without
            them low intensities would be biased.
        footer
            Lines to follow the numbers.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        table = np.column_stack([self.qgrid, self.data, self.err])
        if nz:
            table = table[np.isfinite(self.data)]
        trans = [f"trans: {self.trans:.9g}"] if np.isfinite(self.trans) else []
        lines = [self.label, *trans, *self.comments.splitlines()]
        columns = "q (1/Angstrom), I (counts per relative solid angle), sigma (as I)"
        with replace_whole(Path(fn)) as temporary:
            np.savetxt(
                temporary,
                table,
                fmt="%.8e",
                header="\n".join([*lines, columns]),
                footer="\n".join(footer.splitlines()),
                encoding="utf-8",
            )
