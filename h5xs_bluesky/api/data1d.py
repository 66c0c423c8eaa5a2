"""One curve: I(q) ± σ, with what belongs to it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.axes import plain_ticks, prepare_axes
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.replace import replace_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(kw_only=True, eq=False)
class Data1d:
    """A scattering curve; attributes are named as in py4xs.

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
        lines = [self.label, f"trans: {self.trans:.9g}", *self.comments.splitlines()]
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
