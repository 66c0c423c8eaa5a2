"""A reduced sample that came from a column: analysed, averaged over its peak, less its buffer."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.average import average_frames
from h5xs_bluesky.reduction.chromatography.analyse import analyse_elution
from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.similarity import SelectionOptions
from h5xs_bluesky.reduction.water import WATER


def elution_frames(
    reduced: ReducedSample,
    *,
    q: NDArray[np.float64],
    relative_uncertainty: float,
    normalize: bool = True,
) -> ElutionFrames:
    """Give a sample's frames as a series; what was measured again is left out.

    Parameters
    ----------
    q : ndarray, shape (nq,)
        In Å⁻¹.
    relative_uncertainty
        Of one monitor reading.
    normalize
        False for a beamline without monitors: the exposures are taken as equal, unless the water
        peak tells the beam.
    """
    beam, sigma = reduced.trans, reduced.trans_sigma(relative_uncertainty)
    if not normalize and reduced.trans_mode != WATER:
        beam, sigma = np.ones(len(beam)), np.zeros(len(beam))
    return ElutionFrames(
        curves=reduced.merged.curve(),
        q=q,
        beam=np.where(reduced.superseded, np.nan, beam),
        beam_sigma=sigma,
    )


def reduce_elution(
    reduced: ReducedSample,
    *,
    name: str,
    q: NDArray[np.float64],
    relative_uncertainty: float,
    normalize: bool = True,
    options: ChromatographyOptions | None = None,
    buffer_frames: NDArray[np.bool_] | None = None,
    sample_frames: NDArray[np.bool_] | None = None,
) -> ReducedSample:
    """Analyse a series, average the frames of its sample, and subtract that of its buffer.

    Both averages are unions of sums; the buffer is subtracted once, from the average.

    Parameters
    ----------
    name
        The sample's group, which is its own buffer.
    q, relative_uncertainty, normalize
        As in `elution_frames`.
    options, buffer_frames, sample_frames
        As in `analyse_elution`.

    Raises
    ------
    ReductionError
        As `analyse_elution`.
    """
    frames = elution_frames(
        reduced, q=q, relative_uncertainty=relative_uncertainty, normalize=normalize
    )
    chromatogram = analyse_elution(
        frames, options, buffer_frames=buffer_frames, sample_frames=sample_frames
    )
    averaged = reduced.averaged(
        SelectionOptions(),
        q=q,
        relative_uncertainty=relative_uncertainty,
        explicit=chromatogram.sample_frames,
    )
    buffer = average_frames(
        reduced.merged,
        kept=chromatogram.buffer_frames,
        trans=reduced.trans,
        relative_uncertainty=relative_uncertainty,
        trans_sigma=reduced.trans_sigma(relative_uncertainty),
        trans_mode=reduced.trans_mode,
    )
    subtracted = averaged.subtracted(buffer, name=name, normalize=normalize)
    return replace(subtracted, chromatogram=chromatogram)
