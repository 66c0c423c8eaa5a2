"""The frames of a standard sample, from wherever they are, added up for each detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.api.raw import FrameSource, find_frames, frame_number
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.errors import ConfigurationError, ReductionError
from h5xs_bluesky.io.frames import open_frames, read_frame
from h5xs_bluesky.io.image_files import read_image
from h5xs_bluesky.reduction.calibration.calibrate import StandardFrame
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.integration.pixels import Pixels


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Standard:
    """Frames of a standard.

    Parameters
    ----------
    origin
        Where they are from, for messages and records.
    frames
        Of each detector, by extension: the sum.
    counts
        Of each, how many frames were added.
    """

    origin: str
    frames: Mapping[str, StandardFrame]
    counts: Mapping[str, int]


def read_standard(
    own: ExperimentSource,
    fn_std: str | Path,
    detectors: Sequence[Detector],
    *,
    stream: str,
    sn: str | None,
    frn: int | None,
    bkg: Mapping[str, ArrayLike],
) -> Standard:
    """Read the frames of a standard for some detectors.

    Parameters
    ----------
    own
        The experiment that is calibrated.
    fn_std
        A file with samples, a picture for a single detector, or a sample of the experiment.
    detectors
        Whose frames are wanted; all must be there.
    stream
        Where frames are in a sample.
    sn
        The sample in the file; its oldest by default.
    frn
        A single frame; by default all are added.
    bkg
        By extension, what is subtracted from each frame.

    Raises
    ------
    SampleNotFoundError, ConfigurationError
        If there is no such file or sample.
    ReductionError
        If a detector has no frame there, or of another shape.
    """
    unknown = sorted(set(bkg) - {detector.extension for detector in detectors})
    if unknown:
        raise ConfigurationError(
            f"expected backgrounds of {[d.extension for d in detectors]}, found {unknown}"
        )
    path = Path(fn_std)
    if path.is_file() and not h5py.is_hdf5(path):
        return _from_picture(path, detectors, bkg)
    if path.is_file():
        same = path.resolve() == own.path.resolve()
        source, name = own if same else ExperimentSource(path, roots=own.roots), sn
    elif sn is not None:
        raise ConfigurationError(f"expected a file with the sample {sn!r}, found none at {path}")
    else:
        source, name = own, str(fn_std)
    return _from_sample(source, name, detectors, stream=stream, frn=frn, bkg=bkg)


def _from_picture(
    path: Path, detectors: Sequence[Detector], bkg: Mapping[str, ArrayLike]
) -> Standard:
    if len(detectors) != 1:
        raise ConfigurationError(
            f"{path}: expected one detector that took this picture, found "
            f"{[detector.extension for detector in detectors]}: name it"
        )
    (detector,) = detectors
    total = _Sum(detector)
    total.add(read_image(path))
    frame = total.frame(bkg.get(detector.extension))
    return Standard(
        origin=str(path), frames={detector.extension: frame}, counts={detector.extension: 1}
    )


def _from_sample(
    source: ExperimentSource,
    sn: str | None,
    detectors: Sequence[Detector],
    *,
    stream: str,
    frn: int | None,
    bkg: Mapping[str, ArrayLike],
) -> Standard:
    frames, counts = {}, {}
    with source.reading():
        name = source.resolve(sn)
        for detector in detectors:
            sources = find_frames(
                source.sample(name), detector.data_key, stream=stream, roots=source.roots
            )
            where = f"{source.path}: {name} {detector.extension}"
            if not sources:
                raise ReductionError(
                    f"{where}: expected frames in {stream}/data/{detector.data_key}, found none: "
                    "name the detectors that have some"
                )
            total = _sum(sources, detector, frn=frn, where=where)
            frames[detector.extension] = total.frame(bkg.get(detector.extension))
            counts[detector.extension] = total.count
    return Standard(origin=f"{source.path}: {name}", frames=frames, counts=counts)


class _Sum:
    """Frames of one detector, added up; a pixel that one of them excludes does not count."""

    def __init__(self, detector: Detector, *, where: str = "") -> None:
        self.count = 0
        self._detector = detector
        self._where = where or detector.extension
        shape = detector.geometry.shape
        self._pixels = Pixels(
            q=np.zeros(shape),
            normalization=np.ones(shape),
            mask=detector.mask,
            saturation=detector.saturation,
        )
        self._total = np.zeros(shape)
        self._excluded = detector.mask.copy()

    def add(self, frame: NDArray[Any]) -> None:
        """Add a frame."""
        try:
            self._pixels.check(frame)
        except ReductionError as error:
            raise ReductionError(f"{self._where}: {error}") from error
        bad = self._pixels.disqualified(frame)
        if bad is not None:
            self._excluded |= bad
        self._total += np.where(self._excluded, 0, frame)
        self.count += 1

    def frame(self, background: ArrayLike | None) -> StandardFrame:
        """Give the sum, less the dark and a background per frame."""
        dark, per_frame = self._detector.dark, None
        for array in (dark, background):
            if array is not None:
                per_frame = (0.0 if per_frame is None else per_frame) + np.asarray(array, float)
        try:
            return StandardFrame.of(
                self._total,
                self._excluded,
                background=None if per_frame is None else self.count * per_frame,
                flat=self._detector.flat,
            )
        except ReductionError as error:
            raise ReductionError(f"{self._where}: {error}") from error


def _sum(
    sources: Sequence[FrameSource], detector: Detector, *, frn: int | None, where: str
) -> _Sum:
    """Add up the frames of all sources that have the detector's shape, or take a single one."""
    total = _Sum(detector, where=where)
    last = max(int(source.positions.max()) for source in sources)
    wanted = None if frn is None else frame_number(frn, last + 1, sample=where)
    for source in sources:
        rows = source.rows if wanted is None else source.rows[source.positions == wanted]
        if not rows.size:
            continue
        with open_frames(source.path) as file:
            for row in rows:
                total.add(read_frame(file[source.dataset], int(row)))
    if not total.count:
        raise ReductionError(f"{where}: expected a frame {wanted}, found none")
    return total
