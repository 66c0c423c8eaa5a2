"""Frames from a sample's files, one by one or averaged, as patterns."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.frame_choice import AVERAGE
from h5xs_bluesky.api.raw import FrameSource, find_frames, frame_number
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.stream_rows import superseded_rows
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.maps.mean_frame import mean_frame

_MOST_LISTED = 6

ReadFrame = Callable[[FrameSource, int], NDArray[Any]]


def read_patterns(
    sample: h5py.Group,
    beamline: Beamline,
    *,
    extension: str | None,
    frames: int | list[int] | str,
    roots: Sequence[Path],
    read: ReadFrame,
) -> dict[str, Data2d]:
    """Read the frames of detectors; a detector without one of them is left out.

    Parameters
    ----------
    extension
        Of one detector; None for all.
    frames
        The position of one, −1 for the last of each detector; the positions of several, which are
        averaged; ``"average"`` for all but those whose event was measured again.
    read
        Reads the frame in a row of a source.

    Raises
    ------
    IndexError
        If the sample has no such frame, or not of this detector.
    """
    name = str(sample.name).strip("/")
    there = {
        detector: sources
        for detector in beamline.detectors
        if (sources := find_frames(sample, detector.data_key, stream=beamline.stream, roots=roots))
    }
    patterns = {}
    for detector, sources in there.items():
        if extension not in (None, detector.extension):
            continue
        label = f"{name} {detector.extension}"
        again = _superseded(sample, beamline.stream, roots)
        pattern = _pattern(sources, detector, frames, label, again, read)
        if pattern is not None:
            pattern.reduction = beamline.reduction
            patterns[detector.extension] = pattern
    if not patterns:
        wanted = "any frame" if frames == AVERAGE else f"a frame {frames}"
        known = [detector.extension for detector in beamline.detectors]
        found = [detector.extension for detector in there]
        raise IndexError(
            f"{name}: expected {wanted} of {extension or f'one of {known}'}, found "
            f"{f'frames of {found} alone' if found else f'no frames of {known}'}"
        )
    return patterns


def _pattern(
    sources: Sequence[FrameSource],
    detector: Detector,
    frames: int | list[int] | str,
    label: str,
    superseded: NDArray[np.bool_],
    read: ReadFrame,
) -> Data2d | None:
    positions = np.unique(np.concatenate([source.positions for source in sources]))
    if isinstance(frames, int):
        number = frame_number(frames, int(positions[-1]) + 1, sample=label)
        frame = _read_position(sources, number, read)
        if frame is None:
            return None
        return Data2d(
            data=frame, detector=detector, label=f"{label}, frame {number}", md={"frame #": number}
        )
    if isinstance(frames, str):
        again = np.flatnonzero(np.repeat(superseded, sources[0].frames_per_event))
        chosen = [int(number) for number in np.setdiff1d(positions, again)]
        text = f"average of {len(chosen)} frames"
    else:
        chosen = [frame_number(n, int(positions[-1]) + 1, sample=label) for n in frames]
        if not set(chosen) <= {int(number) for number in positions}:
            return None
        listed = ", ".join(map(str, chosen[:_MOST_LISTED]))
        text = f"average of frames {listed}{', …' if len(chosen) > _MOST_LISTED else ''}"
    if not chosen:
        return None
    mean, exposures = mean_frame(_each(sources, chosen, read), saturation=detector.saturation)
    return Data2d(
        data=mean,
        detector=detector,
        label=f"{label}, {text}",
        md={"frame #": frames if isinstance(frames, str) else chosen},
        exposures=exposures,
    )


def _each(
    sources: Sequence[FrameSource], positions: Sequence[int], read: ReadFrame
) -> Iterator[NDArray[Any]]:
    for position in positions:
        frame = _read_position(sources, position, read)
        if frame is not None:
            yield frame


def _read_position(
    sources: Sequence[FrameSource], position: int, read: ReadFrame
) -> NDArray[Any] | None:
    for source in sources:
        for row in source.rows[source.positions == position]:
            return read(source, int(row))
    return None


def _superseded(sample: h5py.Group, stream: str, roots: Sequence[Path]) -> NDArray[np.bool_]:
    numbers = follow(sample, f"{safe_name(stream)}/{schema.SEQ_NUM}", roots=roots)
    if not isinstance(numbers, h5py.Dataset):
        return np.zeros(0, bool)
    return np.asarray(superseded_rows(numbers[()]), dtype=bool)
