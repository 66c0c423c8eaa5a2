"""All of one sample's reduction: per-frame accumulators, the frames kept, average, subtraction."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.average import Average, average_frames
from h5xs_bluesky.reduction.merge import merge_detectors
from h5xs_bluesky.reduction.similarity import Selection, SelectionOptions, select_frames
from h5xs_bluesky.reduction.subtract import subtract_background


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subtraction:
    """An average from which a buffer's average was subtracted.

    Parameters
    ----------
    curve : ndarray, shape (2, nq)
        I and σ, on the scale of the sample's average.
    buffer
        The buffer's group in the experiment.
    sc_factor
        The factor by which the buffer was scaled beyond the ratio of the transmitted beams.
    """

    curve: NDArray[np.float64]
    buffer: str
    sc_factor: float = 1.0


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
    """

    detectors: Mapping[str, Accumulators]
    transmitted: NDArray[np.float64]
    incident: NDArray[np.float64]
    superseded: NDArray[np.bool_]
    selection: Selection | None = None
    average: Average | None = None
    subtraction: Subtraction | None = None

    @property
    def merged(self) -> Accumulators:
        """The union over the detectors, frame by frame; missing where any of them is missing."""
        return merge_detectors(self.detectors)

    @property
    def trans(self) -> NDArray[np.float64]:
        """The intensity that normalises each frame: transmitted beam, else incident, else NaN."""
        known = np.isfinite(self.transmitted).any()
        return self.transmitted if known else self.incident

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
        options
            How frames are selected.
        q
            (nq,), in Å⁻¹.
        relative_uncertainty
            Of one monitor reading.
        explicit : ndarray of bool, shape (n,), optional
            The user's own selection, which wins over the statistics.

        Raises
        ------
        ReductionError
            If no frame is kept.
        """
        merged = self.merged
        trans = self.trans if np.isfinite(self.trans).any() else None
        selection = select_frames(
            merged.curve(),
            q=q,
            trans=trans,
            options=options,
            missing=merged.is_missing(),
            superseded=self.superseded,
            explicit=explicit,
            relative_uncertainty=relative_uncertainty,
        )
        average = average_frames(
            merged,
            kept=selection.kept,
            trans=self.trans,
            relative_uncertainty=relative_uncertainty,
        )
        return replace(self, selection=selection, average=average, subtraction=None)

    def subtracted(
        self, buffer: Average, *, name: str, sc_factor: float = 1.0, normalize: bool = True
    ) -> "ReducedSample":
        """Subtract a buffer's average from this sample's.

        Parameters
        ----------
        buffer, name
            The buffer's average, and its group in the experiment.
        sc_factor
            Scales the buffer beyond the ratio of the transmitted beams.
        normalize
            False for a beamline without monitors: the exposures are taken as equal.

        Raises
        ------
        ReductionError
            If this sample has no average, or the transmitted beam of either is unknown.
        """
        if self.average is None:
            raise ReductionError(
                f"expected an average from which to subtract {name!r}, found none: "
                "average the sample first"
            )
        own = self.average
        curve = subtract_background(
            sample=own.accumulators.curve(),
            buffer=buffer.accumulators.curve(),
            trans_sample=own.trans if normalize else 1.0,
            trans_buffer=buffer.trans if normalize else 1.0,
            trans_sigma_sample=own.trans_sigma if normalize else 0.0,
            trans_sigma_buffer=buffer.trans_sigma if normalize else 0.0,
            sc_factor=sc_factor,
        )
        return replace(self, subtraction=Subtraction(curve=curve, buffer=name, sc_factor=sc_factor))
