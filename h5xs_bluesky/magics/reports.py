"""What ``%h5xs`` gives back: values, whose text is what the user sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.info import NO_END, SampleInfo
from h5xs_bluesky.api.source import GROUP_MARK

if TYPE_CHECKING:
    from h5xs_bluesky.api.calibration import DetectorCalibration
    from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram
    from h5xs_bluesky.reduction.guinier import Guinier

_COUNTERS = ("received", "acknowledged", "reduced", "failed", "lost", "missing")
_MOST_LISTED = 8  # samples


@dataclass(frozen=True, kw_only=True, repr=False)
class Status:
    """What runs, and how far it is.

    Parameters
    ----------
    experiment
        Its file, or where it will be.
    running, finishing
        Names of the samples that are being measured, and of those whose frames are still being
        reduced and averaged.
    counters
        As of `LiveReduction.status`; empty without one.
    samples
        All of the experiment's, oldest first.
    """

    experiment: Path
    running: tuple[str, ...] = ()
    finishing: tuple[str, ...] = ()
    counters: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Tell it in a few lines."""
        if not self.counters:
            what = "no live reduction"
        else:
            now = {"measuring": self.running, "finishing": self.finishing}
            parts = [f"{verb} {', '.join(names)}" for verb, names in now.items() if names]
            what = "; ".join(parts) or "nothing is being measured"
        lines = [f"{what}; {self.experiment}"]
        if self.counters:
            counts = ", ".join(
                f"{self.counters[name]} {name}"
                for name in _COUNTERS
                if self.counters[name] or name in _COUNTERS[:3]
            )
            lines.append(f"frames: {counts}; {self.counters['queue']} on their way")
            if self.counters["last_error"]:
                lines.append(f"last error: {self.counters['last_error']}")
        shown = ", ".join(self.samples[-_MOST_LISTED:])
        more = "…, " if len(self.samples) > _MOST_LISTED else ""
        lines.append(f"samples: {len(self.samples)}{f' ({more}{shown})' if shown else ''}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, repr=False)
class Measured:
    """One sample, as far as it is measured and reduced.

    Parameters
    ----------
    info
        Frames, state of the run, curves.
    is_written
        Whether a live reduction, here or elsewhere, still writes it.
    namesakes
        Groups of other samples to which their scans gave the same name, oldest first.
    rejected
        How many frames are not averaged, by reason.
    transmission, transmission_sigma
        Mean over the frames kept, and its standard uncertainty; NaN where it is not known.
    curve
        The subtracted curve, else the average; None where there is neither.
    average_problem
        Why the frames are not averaged, where that is known.
    chromatogram
        Of a series behind a column: its peak, and which frames are sample and buffer.
    guinier
        Its Guinier fit, if asked for.
    guinier_problem
        Why there is none.
    """

    info: SampleInfo
    is_written: bool = False
    namesakes: tuple[str, ...] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    transmission: float = np.nan
    transmission_sigma: float = np.nan
    curve: Data1d | None = None
    average_problem: str = ""
    chromatogram: "Chromatogram | None" = None
    guinier: "Guinier | None" = None
    guinier_problem: str = ""

    @property
    def sample(self) -> str:
        """The sample's group in the experiment."""
        return self.info.sample

    @property
    def frames(self) -> int:
        """How many frames of each detector were measured; of several counts the largest."""
        return max(self.info.frames.values(), default=0)

    @property
    def kept(self) -> int:
        """How many frames are averaged."""
        return self.info.averaged

    def __repr__(self) -> str:
        """Tell it in a few lines."""
        info = self.info
        cut_short = (
            "cut short: its writer died, or its disk was full (h5xs repair makes all readable)"
        )
        no_end = "goes on" if self.is_written else cut_short
        state = {"success": "ended", NO_END: no_end}.get(info.state, f"ended: {info.state}")
        named = f" ({info.name})" if info.name not in ("", info.sample) else ""
        lines = [f"{info.sample}{named}: {self.frames} frames, {info.reduced} reduced, {state}"]
        if self.namesakes:
            shown = ", ".join(GROUP_MARK + group for group in self.namesakes[-_MOST_LISTED:])
            more = "…, " if len(self.namesakes) > _MOST_LISTED else ""
            lines.append(f"also called {info.name}: {more}{shown}")
        if self.chromatogram is not None:
            lines += _of_series(self.chromatogram)
        elif info.averaged:
            why = ", ".join(f"{number} {reason}" for reason, number in self.rejected.items())
            lines.append(f"kept: {info.averaged}{f'; rejected: {why}' if why else ''}")
        if self.average_problem:
            lines.append(self.average_problem)
        if np.isfinite(self.transmission):
            lines.append(f"transmission: {self.transmission:.4f} ± {self.transmission_sigma:.1g}")
        if info.buffer and self.chromatogram is None:
            lines.append(f"buffer: {info.buffer}, subtracted")
        if self.guinier is not None:
            lines.append(str(self.guinier))
        if self.guinier_problem:
            lines.append(f"no Guinier fit: {self.guinier_problem}")
        if info.problem:
            lines.append(f"problem: {info.problem}")
        return "\n".join(lines)


def _of_series(found: "Chromatogram") -> list[str]:
    """Tell which frames of a series behind a column are its sample, and its buffer."""
    sample, buffer = (np.flatnonzero(f) for f in (found.sample_frames, found.buffer_frames))
    peak = "" if found.main is None else f" at frame {found.main.position:.1f}"
    return [
        f"kept: {sample.size} of the peak{peak}, from {sample[0]} to {sample[-1]}",
        f"buffer: {buffer.size} of its own frames, from {buffer[0]} to {buffer[-1]}, subtracted",
    ]


@dataclass(frozen=True, kw_only=True, repr=False)
class Calibrated:
    """Detectors that were calibrated.

    Parameters
    ----------
    detectors
        By extension.
    """

    detectors: Mapping[str, "DetectorCalibration"]

    def __repr__(self) -> str:
        """Tell each detector's in a line."""
        lines = []
        for extension, one in self.detectors.items():
            row, column = one.result.beam_center_px
            sigma = max(one.result.beam_center_sigma_px)
            lines.append(
                f"{extension}: {one.result.distance_text}, beam at row {row:.2f}, column "
                f"{column:.2f} ± {sigma:.2f}, {len(one.result.rings)} rings within "
                f"{one.result.rms_px:.2f} pixels"
            )
        pictures = [str(one.files.picture) for one in self.detectors.values() if one.files]
        end = "saved for the next run; look at " + ", ".join(pictures)
        return "\n".join([*lines, end if pictures else "nothing was changed: a dry run"])


class Text(str):
    """A text that IPython shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Give the text itself."""
        return str(self)
