"""Patterns in py4xs' form: made from a picture and an `ExpPara`, seen turned."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from h5xs_bluesky.api.data2d import Data2d as _Data2d
from h5xs_bluesky.compat.py4xs.detector_config import DetectorConfig
from h5xs_bluesky.compat.py4xs.exp_para import ExpPara
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.image_files import read_image
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid


class Frame(np.ndarray):
    """A frame as stored, an array (H, W), that also knows py4xs' flipped picture of it.

    Attributes
    ----------
    flip : int
        How it is turned.

    Examples
    --------
    >>> frame = Frame.of(np.array([[1, 2, 3], [4, 5, 6]]), flip=1)
    >>> frame.shape, frame.d.tolist()
    ((2, 3), [[3, 6], [2, 5], [1, 4]])
    """

    flip: int

    @classmethod
    def of(cls, frame: NDArray[Any], *, flip: int) -> "Frame":
        """View an array as a frame."""
        view: Frame = np.asarray(frame).view(cls)
        view.flip = flip
        return view

    def __array_finalize__(self, source: Any) -> None:
        self.flip = getattr(source, "flip", 0)

    @property
    def d(self) -> NDArray[Any]:
        """The flipped picture."""
        mirrored = np.fliplr(np.asarray(self)) if self.flip < 0 else np.asarray(self)
        return np.rot90(mirrored, abs(self.flip))

    @property
    def xc(self) -> NDArray[np.intp]:
        """Columns of the picture."""
        return np.arange(self.d.shape[1])

    @property
    def yc(self) -> NDArray[np.intp]:
        """Rows of the picture, the last one first."""
        return np.arange(self.d.shape[0])[::-1]


class Data2d(_Data2d):
    """A scattering pattern; see `h5xs_bluesky.Data2d`.

    Parameters
    ----------
    img
        A frame as stored, or the file of one.
    timestamp, uid, label
        Kept as attributes.
    exp
        Where the detector stands, and its mask.
    ignore_flip
        The frame is a flipped picture already.
    dtype
        To which the counts are converted.
    flat
        Relative sensitivity of the pixels of the flipped picture.

    Attributes
    ----------
    data : Frame
        The frame as stored; ``data.d`` is the flipped picture.

    Raises
    ------
    ConfigurationError
        If there is no `exp`, or the frame does not fit it.
    """

    data: Frame

    def __init__(
        self,
        img: Any = None,
        timestamp: Any = None,
        uid: str = "",
        exp: ExpPara | None = None,
        ignore_flip: bool = False,
        label: str = "",
        dtype: DTypeLike | None = None,
        flat: ArrayLike | None = None,
        **fields: Any,
    ) -> None:
        if "detector" not in fields:
            exp, fields = _described(img, exp, ignore_flip, dtype, flat)
            label = label or (Path(img).name if isinstance(img, str | Path) else "")
        self.exp: Any = exp
        self.timestamp = timestamp
        self.uid = uid
        flip = getattr(fields["data"], "flip", 0) if exp is None else exp.flip
        super().__init__(**{"label": label, **fields, "data": Frame.of(fields["data"], flip=flip)})

    @property
    def im(self) -> NDArray[Any]:
        """The frame as stored."""
        return np.asarray(self.data)

    @property
    def height(self) -> int:
        """Of the flipped picture."""
        return int(self.data.d.shape[0])

    @property
    def width(self) -> int:
        """Of the flipped picture."""
        return int(self.data.d.shape[1])

    def conv_Iq(
        self, qgrid: ArrayLike | QGrid, mask: Any = None, cor_factor: Any = None, **_: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give I and σ of the average over the azimuth, corrected as `load_data` does it.

        Parameters
        ----------
        qgrid
            Bins, or their centres in Å⁻¹.
        mask, cor_factor
            Do nothing: the mask is that of `exp`, and the corrections are known.
        """
        grid = qgrid if isinstance(qgrid, QGrid) else QGrid.from_centers(qgrid)
        pixels = Pixels.from_detector(self.detector, polarization=1.0, solid_angle=True)
        curve = make_integrator(pixels, grid).integrate(self.im).curve()
        return curve[0], curve[1]


def describe(pattern: _Data2d, exp: ExpPara | None) -> Data2d:
    """Give a pattern in py4xs' form.

    Parameters
    ----------
    exp
        Of its detector; None where py4xs has no terms for it.
    """
    own = {name: getattr(pattern, name) for name in _Data2d.__dataclass_fields__}
    return Data2d(exp=exp, **own)


def _described(
    img: Any, exp: ExpPara | None, ignore_flip: bool, dtype: Any, flat: Any
) -> tuple[ExpPara, dict[str, Any]]:
    if exp is None:
        raise ConfigurationError(
            "expected Data2d(img, exp=ExpPara), found no exp: a pattern needs its detector"
        )
    frame = read_image(Path(img), what="frame") if isinstance(img, str | Path) else np.asarray(img)
    if ignore_flip:
        frame = exp.place.stored(frame)
    if dtype is not None:
        frame = frame.astype(dtype)
    detector = DetectorConfig(
        "", exp, flat=flat, pixel_size=exp.pixel_size_mm, data_key="image"
    ).to_detector()
    if frame.shape != detector.geometry.shape:
        raise ConfigurationError(
            f"expected a frame of shape {detector.geometry.shape} as exp tells, found {frame.shape}"
        )
    return exp, {"data": frame, "detector": detector}
