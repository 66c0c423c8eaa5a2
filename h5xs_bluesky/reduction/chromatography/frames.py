"""The curves of a series behind a column, their trace, their averages and differences."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.subtract import subtract_background


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ElutionFrames:
    """Frames that were measured one after the other behind a column.

    Parameters
    ----------
    curves : ndarray, shape (n, 2, nq)
        I and σ of each, not divided by the monitor; NaN where a frame is missing, and in bins
        without pixels.
    q : ndarray, shape (nq,)
        In Å⁻¹.
    beam : ndarray, shape (n,)
        The beam that each frame had. A frame whose beam is no positive number is left out.
    beam_sigma : ndarray, shape (n,)
        Its standard uncertainty.

    Raises
    ------
    ReductionError
        If the shapes do not fit.
    """

    curves: NDArray[np.float64]
    q: NDArray[np.float64]
    beam: NDArray[np.float64]
    beam_sigma: NDArray[np.float64]

    def __post_init__(self) -> None:
        frames = (len(self.beam),)
        if self.curves.shape != (*frames, 2, len(self.q)) or self.beam_sigma.shape != frames:
            raise ReductionError(
                "expected curves (n, 2, nq) on the q of nq bins, with n beams, found "
                f"{self.curves.shape}, {self.q.shape}, {self.beam.shape} and "
                f"{self.beam_sigma.shape}"
            )

    def __len__(self) -> int:
        return len(self.beam)

    def usable(self) -> NDArray[np.bool_]:
        """Tell which frames are there and have a beam, (n,)."""
        there = np.isfinite(self.curves[:, 0]).any(axis=-1)
        return np.asarray(there & np.isfinite(self.beam) & (self.beam > 0))

    @property
    def reference_beam(self) -> float:
        """The beam of the first usable frame, to which all intensities are scaled.

        Raises
        ------
        ReductionError
            If no frame is usable.
        """
        usable = self.usable()
        if not usable.any():
            raise ReductionError(
                f"expected frames with a curve and the beam that they had, found none among "
                f"{len(self)}: reduce them (load_data), and see that a monitor is known (get_mon)"
            )
        return float(self.beam[usable.argmax()])

    def trace(self, q_range: tuple[float, float]) -> NDArray[np.float64]:
        """Give the intensity of each frame between two q, ∫ I dq t₀ / t, and its σ.

        Parameters
        ----------
        q_range
            In Å⁻¹. The bins in it that the first usable frame has count.

        Returns
        -------
        ndarray, shape (n, 2)
            NaN for a frame that is not usable, or lacks one of the bins.

        Raises
        ------
        ReductionError
            If no bin counts.
        """
        reference, usable = self.reference_beam, self.usable()
        bins = (self.q >= q_range[0]) & (self.q <= q_range[1])
        bins &= np.isfinite(self.curves[usable.argmax(), 0])
        if not bins.any():
            raise ReductionError(
                f"expected bins with pixels between q = {q_range[0]:g} and {q_range[1]:g} Å⁻¹ to "
                f"integrate over, found none: the curves reach from {self.q[0]:.4g} to "
                f"{self.q[-1]:.4g} Å⁻¹"
            )
        widths = np.gradient(self.q)[bins] if len(self.q) > 1 else np.ones(1)
        value = np.full((len(self), 2), np.nan)
        scale = reference / self.beam[usable]
        part = self.curves[usable][:, :, bins]
        total = (part[:, 0] * widths).sum(axis=1) * scale
        counting = np.sqrt(((part[:, 1] * widths) ** 2).sum(axis=1)) * scale
        common = total * self.beam_sigma[usable] / self.beam[usable]
        value[usable] = np.stack([total, np.hypot(counting, common)], axis=1)
        value[~np.isfinite(value).all(axis=1)] = np.nan
        return value

    def average(self, kept: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float, float]:
        """Average frames: Σ I / Σ t times the mean beam, bin by bin over the frames that have it.

        For frames of one detector it is the union of their sums.

        Returns
        -------
        ndarray, shape (2, nq)
            I and σ from the counts alone.
        float, float
            The mean beam and its σ.
        """
        beam, part = self.beam[kept], self.curves[kept]
        known = np.isfinite(part[:, 0])
        exposure = np.where(known, beam[:, None], 0.0).sum(axis=0)
        factor = np.full(len(self.q), np.nan)
        np.divide(beam.mean(), exposure, out=factor, where=exposure > 0)
        total = np.where(known, part[:, 0], 0.0).sum(axis=0)
        sigma = np.sqrt(np.where(known, part[:, 1] ** 2, 0.0).sum(axis=0))
        beam_sigma = float(np.sqrt(np.sum(self.beam_sigma[kept] ** 2)) / len(beam))
        return np.stack([total, sigma]) * factor, float(beam.mean()), beam_sigma

    def subtracted(
        self, buffer: NDArray[np.bool_], chosen: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Subtract the average of some frames from others, or from all.

        Parameters
        ----------
        buffer : ndarray of bool, shape (n,)
            The frames of the buffer.
        chosen : ndarray of bool, shape (n,), optional
            Those to subtract from.

        Returns
        -------
        ndarray, shape (n, 2, nq)
            I and σ of each at the reference beam; σ from the counts of frame and buffer. The
            buffer is the same for all: what is wrong with it, all frames share. NaN for a frame
            that is not usable, or not chosen.
        ndarray, shape (n, nq)
            By how much all bins of a frame move together for one σ of the beams.
        """
        mean, beam, beam_sigma = self.average(buffer)
        reference = self.reference_beam
        curves = np.full(self.curves.shape, np.nan)
        common = np.full((len(self), len(self.q)), np.nan)
        wanted = self.usable() if chosen is None else self.usable() & chosen
        for number in np.flatnonzero(wanted):
            own = float(self.beam[number])
            curves[number] = subtract_background(
                sample=self.curves[number],
                buffer=mean,
                trans_sample=own,
                trans_buffer=beam,
                trans_sigma_sample=0.0,
                trans_sigma_buffer=0.0,
            ) * (reference / own)
            common[number] = np.hypot(
                self.curves[number, 0] * (reference / own) * (self.beam_sigma[number] / own),
                mean[0] * (reference / beam) * (beam_sigma / beam),
            )
        return curves, common
