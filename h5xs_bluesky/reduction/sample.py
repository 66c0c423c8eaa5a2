"""All of one sample's reduction: per-frame accumulators, the frames kept, average, subtraction."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.average import Average, average_frames
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram
from h5xs_bluesky.reduction.merge import merge_detectors
from h5xs_bluesky.reduction.scale import AUTO, water_scale
from h5xs_bluesky.reduction.similarity import Selection, SelectionOptions, select_frames
from h5xs_bluesky.reduction.subtract import subtract_background, subtract_scaled
from h5xs_bluesky.reduction.water import EXTERNAL, WATER, WaterPeak, peak_intensity


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subtraction:
    """An average from which a buffer's average was subtracted.

    Parameters
    ----------
    curve : ndarray, shape (2, nq)
        I and σ, on the scale of the sample's average.
    buffer
        The buffer's group in the experiment; of several the groups, two spaces between them.
    sc_factor
        The factor by which the buffer was scaled beyond the ratio of the transmitted beams.
    automatic
        Whether the factor was found from the water peak.
    """

    curve: NDArray[np.float64]
    buffer: str
    sc_factor: float = 1.0
    automatic: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReducedSample:
    """What `processed` and `reduction` of a sample hold.

    Parameters
    ----------
    detectors : mapping of extension to Accumulators, arrays (n, nq)
        A frame that is not there, or could not be reduced, is NaN.
    transmitted, incident : ndarray, shape (n,)
        Monitor readings of each frame; NaN where the run has none.
    superseded : ndarray of bool, shape (n,)
        Frames whose event was measured again after a pause.
    transmitted_sigma, incident_sigma : ndarray, shape (n,), optional
        Standard uncertainties of the readings of monitors that run on their own; for others the
        configuration tells them.
    water : ndarray, shape (n, 2), optional
        Intensity of the water peak in each frame's merged curve, and its σ.
    trans_mode
        What tells the transmitted beam: ``"external"``, a monitor, or ``"water"``.
    peak
        The user's own range of the water peak; None for the configuration's.
    sc_factor
        The user's own for the buffer, or ``"auto"``; None for the configuration's.
    chromatogram
        Of a series behind a column: what elutes, and which frames average and buffer are. Dropped
        with the average.
    no_average
        Why the frames of a series behind a column are not averaged; "" where they are, or that was
        not tried.
    """

    detectors: Mapping[str, Accumulators]
    transmitted: NDArray[np.float64]
    incident: NDArray[np.float64]
    superseded: NDArray[np.bool_]
    transmitted_sigma: NDArray[np.float64] | None = None
    incident_sigma: NDArray[np.float64] | None = None
    water: NDArray[np.float64] | None = None
    trans_mode: str = EXTERNAL
    peak: WaterPeak | None = None
    sc_factor: float | str | None = None
    selection: Selection | None = None
    average: Average | None = None
    subtraction: Subtraction | None = None
    chromatogram: Chromatogram | None = None
    no_average: str = ""

    @property
    def merged(self) -> Accumulators:
        """The union over the detectors, frame by frame; missing where any of them is missing."""
        return merge_detectors(self.detectors)

    @property
    def external(self) -> NDArray[np.float64]:
        """The reading of the monitor that normalises: transmitted beam, else incident, else NaN."""
        known = np.isfinite(self.transmitted).any()
        return self.transmitted if known else self.incident

    def external_sigma(self, relative_uncertainty: float) -> NDArray[np.float64]:
        """Give its standard uncertainty, (n,), where that of a reading is known."""
        known = np.isfinite(self.transmitted).any()
        sigma = self.transmitted_sigma if known else self.incident_sigma
        return relative_uncertainty * np.abs(self.external) if sigma is None else sigma

    @property
    def trans(self) -> NDArray[np.float64]:
        """The intensity that normalises each frame, (n,), as `trans_mode` says; else NaN."""
        if self.trans_mode == EXTERNAL:
            return self.external
        return np.full(len(self.superseded), np.nan) if self.water is None else self.water[:, 0]

    def trans_sigma(self, relative_uncertainty: float) -> NDArray[np.float64]:
        """Give its standard uncertainty, (n,)."""
        if self.trans_mode == EXTERNAL:
            return self.external_sigma(relative_uncertainty)
        return np.full(len(self.superseded), np.nan) if self.water is None else self.water[:, 1]

    def with_trans(
        self,
        mode: str,
        *,
        q: NDArray[np.float64],
        peak: WaterPeak,
        relative_uncertainty: float,
        find_peak: bool = False,
    ) -> "ReducedSample":
        """Let something else tell the transmitted beam; what is averaged, is averaged anew.

        The selection of frames stays, a subtraction is dropped.

        Parameters
        ----------
        mode
            ``"external"`` or ``"water"``.
        q, peak
            The bins (nq,) in Å⁻¹, and where the peak is.
        relative_uncertainty
            Of one monitor reading.
        find_peak
            Find the water peak's intensity in any case.

        Raises
        ------
        ReductionError
            If the detectors do not see the water peak.
        """
        water = self.water
        if mode == WATER or find_peak:
            water = peak_intensity(self.merged.curve(), q=q, peak=peak)
        without = self.not_averaged("")
        changed = replace(without, selection=self.selection, trans_mode=mode, water=water)
        if self.average is None or self.selection is None:
            return changed
        return changed.averaged_over(self.selection, relative_uncertainty=relative_uncertainty)

    def averaged(
        self,
        options: SelectionOptions,
        *,
        q: NDArray[np.float64],
        relative_uncertainty: float,
        explicit: NDArray[np.bool_] | None = None,
    ) -> "ReducedSample":
        """Select the frames that agree and average them; an earlier subtraction is dropped.

        Parameters
        ----------
        options, q, relative_uncertainty, explicit
            As in `selected`.

        Raises
        ------
        ReductionError
            If no frame is kept.
        """
        selection = self.selected(
            options, q=q, relative_uncertainty=relative_uncertainty, explicit=explicit
        )
        return self.averaged_over(selection, relative_uncertainty=relative_uncertainty)

    def selected(
        self,
        options: SelectionOptions,
        *,
        q: NDArray[np.float64],
        relative_uncertainty: float,
        explicit: NDArray[np.bool_] | None = None,
    ) -> Selection:
        """Select the frames that agree.

        Parameters
        ----------
        options
            How frames are selected.
        q
            (nq,), in Å⁻¹.
        relative_uncertainty
            Of one monitor reading.
        explicit : ndarray of bool, shape (n,), optional
            The user's own selection, which wins over the statistics.
        """
        merged = self.merged
        trans = self.trans if np.isfinite(self.trans).any() else None
        return select_frames(
            merged.curve(),
            q=q,
            trans=trans,
            options=options,
            missing=merged.is_missing(),
            superseded=self.superseded,
            explicit=explicit,
            relative_uncertainty=self._typical_uncertainty(relative_uncertainty),
        )

    def averaged_over(
        self, selection: Selection, *, relative_uncertainty: float
    ) -> "ReducedSample":
        """Average the frames of a selection; an earlier subtraction is dropped.

        Raises
        ------
        ReductionError
            If no frame is kept.
        """
        if not selection.kept.any():
            why = ", ".join(
                f"{number} {reason}" for reason, number in Counter(selection.reason).items()
            )
            raise ReductionError(
                f"expected at least one of {selection.kept.size} frames to be kept, found none"
                f"{': ' if why else ''}{why}"
            )
        average = average_frames(
            self.merged,
            kept=selection.kept,
            trans=self.trans,
            relative_uncertainty=relative_uncertainty,
            trans_sigma=self.trans_sigma(relative_uncertainty),
            trans_mode=self.trans_mode,
        )
        without = self.not_averaged("")
        return replace(without, selection=selection, average=average)

    def not_averaged(self, why: str) -> "ReducedSample":
        """Give the same without an average and all that was made of it."""
        return replace(
            self,
            selection=None,
            average=None,
            subtraction=None,
            chromatogram=None,
            no_average=why,
        )

    def _typical_uncertainty(self, relative_uncertainty: float) -> float:
        """Give the relative uncertainty of most frames' transmitted beam."""
        own = self.transmitted_sigma is not None or self.incident_sigma is not None
        if self.trans_mode == EXTERNAL and not own:
            return relative_uncertainty
        usable = self.trans > 0
        relative = self.trans_sigma(relative_uncertainty)[usable] / self.trans[usable]
        known = relative[np.isfinite(relative)]
        return float(np.median(known)) if known.size else relative_uncertainty

    def subtracted(
        self,
        buffer: Average,
        *,
        name: str,
        sc_factor: float | str = 1.0,
        normalize: bool = True,
        q: NDArray[np.float64] | None = None,
        peak: WaterPeak | None = None,
    ) -> "ReducedSample":
        """Subtract a buffer's average from this sample's.

        Parameters
        ----------
        buffer, name
            The buffer's average, and its group in the experiment; see `Subtraction`.
        sc_factor
            Scales the buffer beyond the ratio of the transmitted beams; ``"auto"`` so that the
            water peak vanishes.
        normalize
            False for a beamline without monitors: the exposures are taken as equal, unless the
            water peak tells the beam.
        q, peak
            For ``"auto"``: the bins (nq,) in Å⁻¹, and where the water peak is.

        Raises
        ------
        ReductionError
            If this sample has no average, the transmitted beam of either is unknown or of another
            kind, or there is no water peak to scale with.
        """
        if self.average is None:
            raise ReductionError(
                f"expected an average from which to subtract {name!r}, found none: "
                "average the sample first"
            )
        own = self.average
        if own.trans_mode != buffer.trans_mode:
            raise ReductionError(
                f"expected the transmitted beam of {name!r} from the same source as the sample's, "
                f"{own.trans_mode!r}, found {buffer.trans_mode!r}: call set_trans() for both"
            )
        by_beam = normalize or own.trans_mode == WATER
        curves = {"sample": own.accumulators.curve(), "buffer": buffer.accumulators.curve()}
        if sc_factor == AUTO:
            scale = water_scale(
                **curves,
                q=np.empty(0) if q is None else q,
                peak=WaterPeak() if peak is None else peak,
                trans_ratio=own.trans / buffer.trans if by_beam else 1.0,
            )
            curve = subtract_scaled(**curves, factor=scale.factor, factor_sigma=scale.sigma)
            used = scale.sc_factor
        else:
            used = float(sc_factor)
            curve = subtract_background(
                **curves,
                trans_sample=own.trans if by_beam else 1.0,
                trans_buffer=buffer.trans if by_beam else 1.0,
                trans_sigma_sample=own.trans_sigma if by_beam else 0.0,
                trans_sigma_buffer=buffer.trans_sigma if by_beam else 0.0,
                sc_factor=used,
            )
        subtraction = Subtraction(
            curve=curve, buffer=name, sc_factor=used, automatic=sc_factor == AUTO
        )
        return replace(self, subtraction=subtraction, chromatogram=None)
