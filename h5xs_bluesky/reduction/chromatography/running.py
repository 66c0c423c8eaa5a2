"""A series that is still being measured: Rg and I(0) of each frame as it comes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import (
    Chromatogram,
    above_buffer,
    analyse_elution,
)
from h5xs_bluesky.reduction.chromatography.baseline import find_baseline
from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.reduction.chromatography.guinier_series import fit_guinier_series
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.ranges import buffer_window

_FIRST_ROOM = 256
_NOTHING = (np.nan, np.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class ElutionPoint:
    """What one frame shows as it comes.

    Parameters
    ----------
    intensity, net, rg, i0
        Each with its σ, as in `Chromatogram`; all but the first are NaN before the buffer is known.
    buffer
        How many frames the buffer has by now; 0 while it is not known.
    """

    intensity: tuple[float, float]
    net: tuple[float, float]
    rg: tuple[float, float]
    i0: tuple[float, float]
    buffer: int


class RunningElution:
    """Takes the frames of a series one by one.

    The buffer is chosen anew with each frame from those before, by the trace alone; it grows until
    something elutes. The final choice, with the curves compared, is `finish`'s.

    Parameters
    ----------
    q : ndarray, shape (nq,)
        In Å⁻¹.
    options
        How.
    """

    def __init__(
        self, q: NDArray[np.float64], options: ChromatographyOptions | None = None
    ) -> None:
        self._q = q
        self._options = options or ChromatographyOptions()
        self._curves = np.full((_FIRST_ROOM, 2, len(q)), np.nan)
        self._beam = np.full((_FIRST_ROOM, 2), np.nan)
        self._trace = np.full((_FIRST_ROOM, 2), np.nan)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, curve: NDArray[np.float64], *, beam: float, beam_sigma: float) -> ElutionPoint:
        """Take the next frame.

        Parameters
        ----------
        curve : ndarray, shape (2, nq)
            I and σ; NaN where the frame is missing.
        beam, beam_sigma
            The beam that it had; NaN where that is not known.

        Returns
        -------
        ElutionPoint
            Of this frame.
        """
        number = self._count
        if number == len(self._curves):
            self._curves, self._beam, self._trace = map(
                _doubled, (self._curves, self._beam, self._trace)
            )
        self._curves[number], self._beam[number] = curve, (beam, beam_sigma)
        self._count += 1
        frames = self.frames()
        try:
            self._trace[number] = self._newest(frames).trace(self._options.trace_q_range)[-1]
            trace = self._trace[: self._count]
            baseline = find_baseline(trace, self._options)
        except ReductionError:  # too few so far
            return self._point(number)
        buffer = buffer_window(trace, baseline, self._options)
        if buffer is None:
            return self._point(number)
        newest = np.zeros(self._count, bool)
        newest[number] = True
        curves, common = frames.subtracted(buffer, newest)
        rg, i0 = fit_guinier_series(
            curves[newest],
            self._q,
            q_range=self._options.q_range,
            largest_q_rg=self._options.largest_q_rg,
            common=common[newest],
        )
        net = above_buffer(trace, buffer)[number:]
        return self._point(number, _pair(net), _pair(rg), _pair(i0), int(buffer.sum()))

    def frames(self) -> ElutionFrames:
        """Give the frames so far."""
        count = self._count
        return ElutionFrames(
            curves=self._curves[:count],
            q=self._q,
            beam=self._beam[:count, 0],
            beam_sigma=self._beam[:count, 1],
        )

    @staticmethod
    def _newest(frames: ElutionFrames) -> ElutionFrames:
        """Give the newest frame behind the first usable one, to whose beam it is scaled."""
        both = [int(frames.usable().argmax()), len(frames) - 1]
        return ElutionFrames(
            curves=frames.curves[both],
            q=frames.q,
            beam=frames.beam[both],
            beam_sigma=frames.beam_sigma[both],
        )

    def finish(self) -> Chromatogram:
        """Analyse all frames, as offline.

        Raises
        ------
        ReductionError
            As `analyse_elution`.
        """
        return analyse_elution(self.frames(), self._options)

    def _point(
        self,
        number: int,
        net: tuple[float, float] = _NOTHING,
        rg: tuple[float, float] = _NOTHING,
        i0: tuple[float, float] = _NOTHING,
        buffer: int = 0,
    ) -> ElutionPoint:
        return ElutionPoint(
            intensity=_pair(self._trace[number : number + 1]),
            net=net,
            rg=rg,
            i0=i0,
            buffer=buffer,
        )


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0, 0]), float(values[0, 1])


def _doubled(array: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([array, np.full(array.shape, np.nan)])
