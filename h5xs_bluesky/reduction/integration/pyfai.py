"""pyFAI's sparse matrices as an integrator, on any grid: an independent engine to compare with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyFAI.ext.splitBBoxCSR import CsrIntegrator

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration.cells import Bins
from h5xs_bluesky.reduction.integration.method import Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.integration.splitting import split_pixels


class _Matrix(CsrIntegrator):  # type: ignore[misc]
    """A matrix of bins and pixels of our own in pyFAI's compiled engine."""

    def __init__(self, matrix: tuple[NDArray[Any], ...], pixels: int, bins: int) -> None:
        super().__init__(matrix, pixels, 0.0)
        self.bin_centers = np.arange(float(bins))
        self.check_mask = False
        self.cmask = None


class PyFaiIntegrator:
    """Sums by pyFAI, which takes frames, corrections and shares in single precision.

    They agree with those of the other integrators to 1e-6.

    Raises
    ------
    ReductionError
        For what pyFAI's engine does otherwise: azimuthal errors of weighted or split pixels, which
        it sums in an order on which they depend, and dezingering.
    """

    def __init__(self, pixels: Pixels, qgrid: Bins, method: Method | None = None) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        self.method = Method() if method is None else method
        split = pixels.half_width is not None
        azimuthal = self.method.error_model == "azimuthal"
        if self.method.dezinger is not None or (
            azimuthal and (split or self.method.estimator == "weighted")
        ):
            raise ReductionError(
                'expected of the engine "pyfai" Poisson errors, or azimuthal ones of unweighted, '
                f"unsplit pixels, without dezingering; found {self.method}"
                f"{' and split pixels' if split else ''}: choose another engine"
            )
        shares = split_pixels(pixels.q, pixels.half_width, mask=pixels.mask, qgrid=qgrid)
        order = np.argsort(shares.bin, kind="stable")
        ends = np.cumsum(np.bincount(shares.bin, minlength=len(qgrid)))
        matrix = (
            shares.share[order].astype(np.float32),
            shares.pixel[order].astype(np.int32),
            np.concatenate([[0], ends]).astype(np.int32),
        )
        self._matrix = _Matrix(matrix, pixels.q.size, len(qgrid))
        self._normalization = pixels.normalization.astype(np.float32)
        self._dark = None if pixels.dark is None else pixels.dark.astype(np.float32)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make it anew in another process."""
        return type(self), (self.pixels, self.qgrid, self.method)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        from pyFAI.containers import ErrorModel

        self.pixels.check(frame)
        counts = frame.astype(np.float32)
        bad = self.pixels.disqualified(frame)
        if bad is not None:
            counts[bad] = np.nan  # what pyFAI leaves out
        poisson = self.method.error_model == "poisson"
        found = self._matrix.integrate_ng(
            counts,
            variance=self._variance(counts) if poisson else None,
            error_model=ErrorModel.VARIANCE if poisson else ErrorModel.AZIMUTHAL,
            dark=self._dark,
            solidangle=self._normalization,
            weighted_average=self.method.estimator == "weighted",
        )
        variance = np.array(found.variance, dtype=float)
        if not poisson:
            variance[np.asarray(found.count) == 1] = np.nan
        return Accumulators(
            signal=np.array(found.signal, dtype=float),
            variance=variance,
            normalization=np.array(found.normalization, dtype=float),
            normalization_squared=np.array(found.norm_sq, dtype=float),
            count=np.array(found.count, dtype=float),
        )

    def _variance(self, counts: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.pixels.dark_variance is None:
            return counts
        return counts + self.pixels.dark_variance.astype(np.float32)
