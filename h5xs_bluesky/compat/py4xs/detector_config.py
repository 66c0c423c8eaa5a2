"""py4xs' ``detector_config``: a detector whose attributes may be changed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.compat.py4xs.exp_para import ExpPara
from h5xs_bluesky.compat.py4xs.local import exp_attr
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.py4xs_files import LIX_FIELDS, MODEL
from h5xs_bluesky.io.py4xs_masks import pack_mask, unpack_mask
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

det_attr = ["ImageWidth", "ImageHeight", "extension", "fix_scale"]


class DetectorConfig:
    """A detector in py4xs' terms; `h5xs` takes it where it takes a `Detector`.

    What is changed holds from the next reduction on.

    Parameters
    ----------
    extension
        Names its curves, as ``"_SAXS"``.
    exp_para
        Where it stands, and its mask.
    qgrid
        Ignored, as in py4xs; the q-grid belongs to `h5xs`.
    dark
        What a pixel counts without beam: a number, or the flipped picture (H, W). (py4xs takes it
        from the finished curve.)
    flat
        Relative sensitivity of the pixels of the flipped picture (H, W).
    dezinger
        Ignored, as in py4xs; see `ReductionOptions`.
    desc
        Ignored, as in py4xs.
    pixel_size
        In mm.
    fix_scale
        By what its intensities are divided to lie on a common scale with the other detectors.
    bad_pixels
        ``[first, second]``: pixels ``mask.map[first, second]`` are left out. As in py4xs the first
        numbers are rows.
    data_key
        The field of its frames; by default LiX's for this extension.

    Examples
    --------
    >>> para = ExpPara(981, 1043)
    >>> para.wavelength, para.bm_ctr_x, para.bm_ctr_y, para.ratioDw = 0.8, 430.0, 520.0, 13.0
    >>> detector = DetectorConfig("_SAXS", para, fix_scale=1).to_detector()
    >>> detector.data_key, round(detector.geometry.distance_m, 3)
    ('pil1M_image', 2.194)
    """

    def __init__(
        self,
        extension: str = "",
        exp_para: ExpPara | None = None,
        qgrid: Any = None,
        dark: ArrayLike | None = None,
        flat: ArrayLike | None = None,
        dezinger: bool = False,
        desc: str = "Pilatus",
        pixel_size: float = 0.172,
        fix_scale: float | None = None,
        bad_pixels: Sequence[Sequence[int]] = ((), ()),
        *,
        data_key: str | None = None,
    ) -> None:
        self.extension = extension
        self.dark = dark
        self.flat = flat
        self.dezinger = dezinger
        self.fix_scale = fix_scale
        self.data_key = data_key
        self._origin: tuple[Detector, Py4xsGeometry] | None = None
        self._exp_para = exp_para
        if exp_para is not None:
            exp_para.pixel_size_mm = pixel_size
            for first, second in zip(*bad_pixels, strict=True):
                exp_para.mask.set_bit(first, second)

    @classmethod
    def from_detector(cls, detector: Detector, *, flip: int = 0) -> "DetectorConfig":
        """Describe a detector, with its picture turned by `flip`."""
        orientation = detector.orientation
        para = ExpPara.from_geometry(
            detector.geometry, flip=flip, sample_normal=orientation.sample_normal_deg
        )
        if orientation.incident_angle_deg is not None:
            para.grazing_incident, para.incident_angle = True, orientation.incident_angle_deg
        para.mask.map = para.place.flipped(detector.mask).copy()
        config = cls(
            detector.extension,
            para,
            pixel_size=para.pixel_size_mm,
            fix_scale=detector.fix_scale,
            data_key=detector.data_key,
        )
        for name in ("dark", "flat"):
            array = getattr(detector, name)
            setattr(config, name, None if array is None else para.place.flipped(array))
        config._origin = (detector, para.place)
        return config

    @property
    def exp_para(self) -> ExpPara:
        """Where it stands.

        Raises
        ------
        ConfigurationError
            If that was not given.
        """
        if self._exp_para is None:
            raise ConfigurationError(
                f"{self.extension or 'DetectorConfig'}: expected an ExpPara, found none"
            )
        return self._exp_para

    @exp_para.setter
    def exp_para(self, para: ExpPara) -> None:
        self._exp_para = para

    @property
    def ImageWidth(self) -> int:
        """Width of the flipped picture."""
        return self.exp_para.ImageWidth

    @property
    def ImageHeight(self) -> int:
        """Height of the flipped picture."""
        return self.exp_para.ImageHeight

    @property
    def s2d_distance(self) -> float:
        """Shortest distance from the sample to the detector's plane, in mm."""
        return self.exp_para.pixel_size_mm * self.exp_para.Dd

    def to_detector(self) -> Detector:
        """Give the detector as it is described now, for frames as they are stored.

        Raises
        ------
        ConfigurationError
            If its field is not known, or a parameter is missing.
        """
        place = self.exp_para.place
        if self._origin is not None:
            return self._changed(*self._origin)
        data_key = self.data_key or LIX_FIELDS.get(self.extension)
        if not data_key:
            raise ConfigurationError(
                f"expected an extension of {sorted(LIX_FIELDS)}, found {self.extension!r}: name "
                "the field of its frames, DetectorConfig(..., data_key=...)"
            )
        return Detector(
            extension=self.extension,
            data_key=data_key,
            model=MODEL,
            geometry=place.to_geometry(),
            mask=place.stored(self.exp_para.mask.map),
            fix_scale=1.0 if self.fix_scale is None else float(self.fix_scale),
            dark=self._stored(self.dark),
            flat=self._stored(self.flat),
            orientation=replace(self._orientation(), mirrored=place.flip < 0),
        )

    def pack_dict(self) -> dict[str, Any]:
        """Give plain values, as py4xs keeps them in a file."""
        para = {name: getattr(self.exp_para, name) for name in exp_attr}
        para["mask"] = list(pack_mask(self.exp_para.mask.map))
        return {**{name: getattr(self, name) for name in det_attr}, "exp_para": para}

    def unpack_dict(self, det_dict: Mapping[str, Any], pixel_size: float = 0.172) -> None:
        """Take over what `pack_dict`, or py4xs, gave; nothing in it is executed.

        Raises
        ------
        RefusedError, FileFormatError
            If its mask is not one.
        """
        self.extension = str(det_dict["extension"])
        self.fix_scale = det_dict["fix_scale"]
        para = ExpPara(int(det_dict["ImageWidth"]), int(det_dict["ImageHeight"]))
        para.pixel_size_mm = pixel_size
        values = det_dict["exp_para"]
        for name in exp_attr:
            if name in values:
                setattr(para, name, values[name])
        para.mask.map = unpack_mask(
            bytes(values["mask"]), shape=(para.ImageHeight, para.ImageWidth)
        ).copy()
        self.exp_para = para

    def pre_process(self, data: NDArray[Any]) -> None:
        """Do nothing, as in py4xs: flat and dark are corrected for in the reduction."""

    def _changed(self, origin: Detector, before: Py4xsGeometry) -> Detector:
        """Give the detector that was described, with what was changed; the rest to the last bit."""
        place = self.exp_para.place
        return replace(
            origin,
            extension=self.extension,
            data_key=self.data_key or origin.data_key,
            geometry=origin.geometry if place == before else place.to_geometry(),
            mask=place.stored(self.exp_para.mask.map),
            fix_scale=origin.fix_scale if self.fix_scale is None else float(self.fix_scale),
            dark=self._stored(self.dark),
            dark_variance=None if self.dark is None else origin.dark_variance,
            flat=self._stored(self.flat),
            orientation=replace(self._orientation(), mirrored=origin.orientation.mirrored),
        )

    def _orientation(self) -> SampleOrientation:
        para = self.exp_para
        return SampleOrientation(
            sample_normal_deg=float(para.sample_normal),
            incident_angle_deg=float(para.incident_angle) if para.grazing_incident else None,
        )

    def _stored(self, values: ArrayLike | None) -> NDArray[np.float64] | None:
        if values is None:
            return None
        place = self.exp_para.place
        shape = (place.image_height, place.image_width)
        array = np.asarray(values, dtype=float)
        if array.ndim == 0:
            array = np.full(shape, float(array))
        if array.shape != shape:
            raise ConfigurationError(
                f"{self.extension}: expected a flat or dark of shape {shape} as the flipped "
                f"picture, found {array.shape}"
            )
        return place.stored(array)


def create_det_from_attrs(attrs: Mapping[str, Any]) -> DetectorConfig:
    """Make a detector from what `DetectorConfig.pack_dict` gave."""
    detector = DetectorConfig()
    detector.unpack_dict(attrs)
    return detector
