"""lixtools' ``hdf``: solution scattering, from a flow cell or a holder, and behind a column."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.compat.py4xs.hdf import h5xs
from h5xs_bluesky.compat.py4xs.slnxs import trans_mode
from h5xs_bluesky.errors import ReductionError

__all__ = ["h5sol_HPLC", "h5sol_HT"]


class h5sol_HT(h5xs):
    """Many samples with a few frames each, and their buffers; see `h5xs`."""

    def process(
        self,
        detectors: Sequence[Any] | None = None,
        update_only: bool = False,
        reft: float = -1,
        sc_factor: Any = 1.0,
        save_1d: bool = False,
        save_merged: bool = False,
        filter_data: Any = True,
        debug: bool | str = False,
        N: int = 1,
    ) -> None:
        """Reduce, normalise by the water peak, average, subtract the buffers.

        Parameters
        ----------
        detectors, update_only, sc_factor
            As of `load_data`, `average_d1s` and `subtract_buffer`.
        filter_data
            Let the similarity analysis select the frames; ``"keep"`` keeps the earlier selection.
        reft, save_1d, save_merged, debug, N
            Do nothing.
        """
        self.load_data(update_only, detectors)
        self.set_trans(trans_mode.from_waxs)
        self.average_d1s(None, update_only, None, filter_data is True)
        self.subtract_buffer(None, update_only, sc_factor)

    def average_samples(self, **kwargs: Any) -> None:
        """Average frames; see `average_d1s`."""
        self.average_d1s(**kwargs)

    def change_buffer(
        self, sample_name: str | Sequence[str], buffer_name: str | Sequence[str]
    ) -> None:
        """Assign a buffer, or several, to samples, and subtract it."""
        names = [sample_name] if isinstance(sample_name, str) else list(sample_name)
        self.assign_buffer(dict.fromkeys(names, buffer_name))
        self.subtract_buffer(names)

    def update_h5(self, debug: bool | str = False) -> None:
        """Save what is not saved yet; see `save_d1s`."""
        self.save_d1s()

    def plot_sample(self, *args: Any, **kwargs: Any) -> Any:
        """Plot a sample; see `plot_d1s`."""
        return self.plot_d1s(*args, **kwargs)

    def export_txt(self, *args: Any, **kwargs: Any) -> Any:
        """Write text files; see `export_d1s`."""
        return self.export_d1s(*args, **kwargs)


class h5sol_HPLC(h5xs):
    """A series of frames behind a column: one sample, some of whose frames are its buffer.

    What is subtracted stays in memory as ``d1s[sample]["subtracted"]``, a list.
    """

    def process(
        self,
        update_only: bool = False,
        ext_trans: bool = False,
        reft: float = -1,
        save_1d: bool = False,
        save_merged: bool = False,
        filter_data: bool = False,
        debug: bool | str = False,
        N: int = 8,
        max_c_size: int = 0,
    ) -> None:
        """Reduce, and bring all frames to one beam, by the water peak or by the monitor.

        Parameters
        ----------
        update_only
            As of `load_data`.
        ext_trans
            By the monitor.
        reft, save_1d, save_merged, filter_data, debug, N, max_c_size
            Do nothing.
        """
        self.load_data(update_only)
        self.set_trans(trans_mode.external if ext_trans else trans_mode.from_waxs)
        self.normalize_int()

    def normalize_int(self, ref_trans: float = -1) -> None:
        """Scale all frames, in memory, to one beam: the largest, or `ref_trans`.

        Raises
        ------
        ReductionError
            If the beam of a frame is not known, or there was none.
        """
        frames = self._frames(None)
        trans = np.array([frame.trans for frame in frames])
        if not (np.isfinite(trans) & (trans > 0)).all():
            raise ReductionError(
                f"{self.samples[0]}: expected the beam of every frame, found "
                f"{(~(trans > 0)).sum()} of {trans.size} without: call set_trans() first"
            )
        reference = trans.max() if ref_trans < 0 else ref_trans
        for frame in frames:
            frame.scale(reference / frame.trans)

    def subtract_buffer(  # type: ignore[override]
        self,
        buffer_frame_range: str | Sequence[int],
        sample_frame_range: Sequence[int] | None = None,
        first_frame: int = 0,
        sn: str | None = None,
        update_only: bool = False,
        sc_factor: float = 1.0,
        show_eb: bool = False,
        debug: bool | str = False,
    ) -> Data1d | None:
        """Subtract the average of some frames from all of them.

        Parameters
        ----------
        buffer_frame_range
            Numbers of the frames, or ``"first-last"`` without the last.
        sample_frame_range
            Average these frames and plot and give their difference, instead.
        first_frame, update_only, debug
            Do nothing.
        sn
            The sample; the oldest by default.
        sc_factor
            Scales the buffer further.
        show_eb
            Plot error bars.
        """
        frames = self._frames(sn)
        buffer = _average([frames[number] for number in _numbers(buffer_frame_range)])
        if sample_frame_range is not None:
            sample = _average([frames[number] for number in sample_frame_range])
            return sample.bkg_cor(buffer, sc_factor, plot_data=True, show_eb=show_eb)
        name = self._source.resolve(sn)
        self.d1s[name]["buf average"] = buffer
        self.d1s[name][schema.SUBTRACTED] = [frame.bkg_cor(buffer, sc_factor) for frame in frames]
        return None

    def get_chromatogram(
        self, sn: str | None = None, q_ranges: Sequence[Sequence[float]] = ((0.02, 0.05),)
    ) -> NDArray[np.float64]:
        """Give the summed intensity of each frame in ranges of q, (ranges, frames).

        Of the subtracted frames, where there are any.
        """
        name = self._source.resolve(sn)
        known = self.d1s[name]
        curves = known.get(schema.SUBTRACTED)
        frames = curves if isinstance(curves, list) else self._frames(name)
        data = np.array([curve.data for curve in frames])
        parts = [data[:, (self.qgrid > low) & (self.qgrid < high)] for low, high in q_ranges]
        return np.array([part.sum(axis=1) for part in parts])

    def _frames(self, sn: str | None) -> list[Data1d]:
        name = self._source.resolve(sn)
        frames = self._memory.curves(name, schema.MERGED)
        return frames if isinstance(frames, list) else [frames]


def _average(curves: Sequence[Data1d]) -> Data1d:
    return curves[0].avg(curves[1:]) if len(curves) > 1 else curves[0]


def _numbers(frames: str | Sequence[int]) -> Sequence[int]:
    if not isinstance(frames, str):
        return frames
    first, _, last = frames.partition("-")
    return range(int(first), int(last))
