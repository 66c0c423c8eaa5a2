"""Series behind a column: averaged over the peak, less their own buffer, live and offline alike."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.frame_choice import why_no_elution
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.average import Average
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.reduced import reduce_elution
from h5xs_bluesky.reduction.sample import ReducedSample

_DRIFT = 0.02  # of the peak's height
_SIGNIFICANT = 5.0  # σ


def analyse_sample(
    reduced: ReducedSample,
    *,
    name: str,
    beamline: Beamline,
    options: ChromatographyOptions | None = None,
    buffer_frames: NDArray[np.bool_] | None = None,
    sample_frames: NDArray[np.bool_] | None = None,
) -> ReducedSample:
    """Average a series' peak less its buffer with what is configured; see `reduce_elution`.

    Raises
    ------
    ReductionError
        If that cannot be done.
    """
    return reduce_elution(
        reduced,
        name=name,
        q=beamline.qgrid.centers,
        relative_uncertainty=beamline.monitor_uncertainty,
        normalize=beamline.normalizes,
        options=options,
        buffer_frames=buffer_frames,
        sample_frames=sample_frames,
    )


def analyse_again(
    reduced: ReducedSample, earlier: Chromatogram, *, name: str, beamline: Beamline
) -> ReducedSample:
    """Do the same as before: with these options, and the frames that the user gave.

    Raises
    ------
    ReductionError
        As `analyse_sample`.
    """
    fits = len(earlier.buffer_frames) == len(reduced.superseded)
    return analyse_sample(
        reduced,
        name=name,
        beamline=beamline,
        options=earlier.options,
        buffer_frames=earlier.buffer_frames if fits and earlier.buffer_given else None,
        sample_frames=earlier.sample_frames if fits and earlier.sample_given else None,
    )


def average_elution(
    reduced: ReducedSample,
    *,
    name: str,
    beamline: Beamline,
    earlier: Chromatogram | None = None,
) -> ReducedSample:
    """Average a series' peak less its buffer; what cannot be analysed has no average, and says why.

    Parameters
    ----------
    name
        The sample's group, which is its own buffer.
    earlier
        Whose options, and frames that the user gave, hold; the usual ones where there is none.
    """
    try:
        if earlier is None:
            return analyse_sample(reduced, name=name, beamline=beamline)
        return analyse_again(reduced, earlier, name=name, beamline=beamline)
    except ReductionError as error:
        return reduced.not_averaged(why_no_elution(error))


def drift_of(reduced: ReducedSample) -> str:
    """Tell how far a series ends above or below its buffer; "" where it does not."""
    if reduced.chromatogram is None:
        return ""
    drift, sigma = reduced.chromatogram.drift
    if not abs(drift) > max(_DRIFT, _SIGNIFICANT * sigma):
        return ""
    return (
        f"the series ends {100 * abs(drift):.1f} % of the peak's height "
        f"{'above' if drift > 0 else 'below'} its buffer: the cell may have fouled, or something "
        "still elutes; frames behind the peak hold that, too"
    )


def average_as_buffer(reduced: ReducedSample | None, group: str) -> Average | None:
    """Give a sample's average as the buffer of others; None where there is none.

    Raises
    ------
    ReductionError
        If it is that of what left a column.
    """
    if reduced is None:
        return None
    if reduced.chromatogram is not None:
        raise ReductionError(
            f"expected a buffer, found {group!r}, a series behind a column, whose average is that "
            "of its peak: average frames of its buffer (average_d1s with a selection), or name "
            "another buffer"
        )
    return reduced.average
