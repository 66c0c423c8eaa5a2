"""py4xs' ``exp_para``: where a detector stands, as an object whose attributes may be changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.compat.py4xs.mask import Mask
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.reduction.py4xs_coordinates import place_of, scattering_at
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

Array = NDArray[np.float64]

_ANGLES = ("det_orient", "det_tilt", "det_phi", "sample_normal")
_NEEDED = ("bm_ctr_x", "bm_ctr_y", "ratioDw", "wavelength")


class ExpPara:
    """Geometry in py4xs' terms.

    Everything belongs to the flipped picture, as py4xs shows it. Lengths are in pixels of
    `pixel_size_mm`; **a whole number is a pixel's centre** (in pixels from the outer corner of the
    first pixel, as pyFAI counts, that is half a pixel more). Angles are in degrees.

    Arrays of coordinates are computed when they are asked for, from the parameters as they are
    then: nothing can be out of date, and `init_coordinates` has nothing to do.

    Parameters
    ----------
    width, height
        Of the flipped picture.

    Attributes
    ----------
    wavelength : float
        In Å.
    bm_ctr_x, bm_ctr_y : float
        Where the beam hits the picture: column and row.
    ratioDw : float
        Distance from the sample to that point over the picture's width.
    det_orient, det_tilt, det_phi : float
        The detector's rotations, in degrees; see `Py4xsGeometry`.
    flip : int
        How often the frame as stored is turned by 90° (`numpy.rot90`); if negative, it is mirrored
        before.
    sample_normal : float
        Added to the azimuth, in degrees.
    incident_angle : float
        Of the beam on the sample's surface, in degrees.
    mask : Mask
        Of the flipped picture.

    Examples
    --------
    >>> para = ExpPara(981, 1043)
    >>> para.wavelength, para.bm_ctr_x, para.bm_ctr_y, para.ratioDw = 0.8, 430.0, 520.0, 13.0
    >>> round(float(para.Q[520, 530]), 4)
    0.0616
    """

    def __init__(self, width: int, height: int) -> None:
        self.ImageWidth = width
        self.ImageHeight = height
        self.mask = Mask(width, height)
        self.wavelength: float | None = None
        self.bm_ctr_x: float | None = None
        self.bm_ctr_y: float | None = None
        self.ratioDw: float | None = None
        self.det_orient = 0.0
        self.det_tilt = 0.0
        self.det_phi = 0.0
        self.flip = 0
        self.sample_normal = 0.0
        self.grazing_incident = False
        self.incident_angle = 0.2
        self.fix_azimuthal_angles = True
        self.pixel_size_mm = 0.172
        self._known: tuple[Py4xsGeometry, dict[str, Array]] | None = None

    @property
    def place(self) -> Py4xsGeometry:
        """The same, checked and frozen.

        Raises
        ------
        ConfigurationError
            If a parameter is not set.
        ReductionError
            If one cannot be.
        """
        missing = [name for name in _NEEDED if getattr(self, name) is None]
        if missing:
            raise ConfigurationError(f"expected {missing} of ExpPara to be set, found None")
        return Py4xsGeometry(
            image_width=self.ImageWidth,
            image_height=self.ImageHeight,
            bm_ctr_x=float(self.bm_ctr_x or 0.0),
            bm_ctr_y=float(self.bm_ctr_y or 0.0),
            ratio_dw=float(self.ratioDw or 0.0),
            wavelength_angstrom=float(self.wavelength or 0.0),
            flip=int(self.flip),
            pixel_size_m=self.pixel_size_mm * 1e-3,
            **{f"{name}_deg": float(getattr(self, name)) for name in _ANGLES},
        )

    @classmethod
    def from_geometry(
        cls, geometry: Geometry, *, flip: int = 0, sample_normal: float = 0.0
    ) -> "ExpPara":
        """Describe the picture of a detector; it has square pixels and the beam meets its plane."""
        place = Py4xsGeometry.from_geometry(geometry, flip=flip, sample_normal_deg=sample_normal)
        para = cls(place.image_width, place.image_height)
        para.wavelength = place.wavelength_angstrom
        para.bm_ctr_x, para.bm_ctr_y = place.bm_ctr_x, place.bm_ctr_y
        para.ratioDw = place.ratio_dw
        para.flip = flip
        para.pixel_size_mm = place.pixel_size_m * 1e3
        for name in _ANGLES:
            setattr(para, name, getattr(place, f"{name}_deg"))
        return para

    def init_coordinates(self) -> None:
        """Check the parameters; the coordinates follow them by themselves."""
        _ = self.place

    def calc_rot_matrix(self) -> None:
        """Check the parameters; `rot_matrix` follows them by itself."""
        _ = self.place

    @property
    def rot_matrix(self) -> Array:
        """The rotation (3, 3) from the picture's axes (right, up, towards the source)."""
        return self.place.rotation

    @property
    def Dd(self) -> float:
        """The shortest distance from the sample to the detector's plane, in pixels."""
        place = self.place
        return float(place.ratio_dw * place.image_width * place.rotation[2, 2])

    @property
    def X(self) -> NDArray[np.int64]:
        """Column of each pixel, (H, W)."""
        columns: NDArray[np.int64] = np.indices((self.ImageHeight, self.ImageWidth))[1]
        return columns

    @property
    def Y(self) -> NDArray[np.int64]:
        """Row of each pixel, (H, W)."""
        rows: NDArray[np.int64] = np.indices((self.ImageHeight, self.ImageWidth))[0]
        return rows

    @property
    def Q(self) -> Array:
        """Q of each pixel, (H, W), in Å⁻¹."""
        return self._map("Q", lambda place: place.to_geometry().q_map())

    @property
    def Phi(self) -> Array:
        """Azimuth of each pixel, (H, W), in degrees from −180 to 180.

        0 is to the right, and it turns counter-clockwise. py4xs lets it run beyond 180 where the
        detector lies across that direction; here it never does.
        """
        return self._map("Phi", lambda place: place.azimuth_deg(place.to_geometry().chi_map()))

    @property
    def FSA(self) -> Array:
        """Solid angle of each pixel, (H, W), relative to one where the detector is nearest."""
        return self._map("FSA", lambda place: place.to_geometry().solid_angle_map())

    @property
    def FPol(self) -> Array:
        """Correction for the horizontally polarised beam, (H, W)."""
        return self._map("FPol", lambda place: place.to_geometry().polarization_map(1.0))

    @property
    def Qr(self) -> Array:
        """Component of q along the sample's surface, (H, W), in Å⁻¹; its sign is that of cos Φ."""
        return self._surface(self.Q, self.Phi)[0]

    @property
    def Qn(self) -> Array:
        """Component of q along the surface's normal, (H, W), in Å⁻¹."""
        return self._surface(self.Q, self.Phi)[1]

    @property
    def xQ(self) -> Array:
        """Q cos Φ, (H, W), in Å⁻¹."""
        product: Array = self.Q * np.cos(np.radians(self.Phi))
        return product

    @property
    def yQ(self) -> Array:
        """Q sin Φ, (H, W), in Å⁻¹."""
        product: Array = self.Q * np.sin(np.radians(self.Phi))
        return product

    def calc_from_XY(
        self, X: ArrayLike, Y: ArrayLike, calc_cor_factors: bool = False
    ) -> tuple[Array, ...]:
        """Give ``(Q, Phi, Qr, Qn)`` at any places of the picture.

        Parameters
        ----------
        X, Y
            Columns and rows, also between the pixels.
        calc_cor_factors
            Give ``FPol`` and ``FSA``, too.
        """
        place = self.place
        q, phi = scattering_at(place, X, Y)
        result = (q, phi, *self._surface(q, phi))
        if not calc_cor_factors:
            return result
        right, up = np.asarray(X, float) - place.bm_ctr_x, place.bm_ctr_y - np.asarray(Y, float)
        vector = np.tensordot(place.rotation, np.stack([right, up, 0 * right]), axes=1)
        vector[2] -= place.ratio_dw * place.image_width
        squared = (vector**2).sum(axis=0)
        cosine = np.abs(np.tensordot(place.rotation[:, 2], vector, axes=1)) / np.sqrt(squared)
        return (*result, 1 - vector[0] ** 2 / squared, cosine**3)

    def calc_from_QPhi(self, Q: ArrayLike, Phi: ArrayLike) -> tuple[Array, Array]:
        """Give columns and rows of rays with these q and azimuths; NaN where there are none."""
        return place_of(self.place, Q, Phi)

    def calc_from_QrQn(
        self, Qr: ArrayLike, Qn: ArrayLike, flag: bool = False
    ) -> tuple[Array, Array]:
        """Give columns and rows of rays with these components of q; NaN where there are none.

        Parameters
        ----------
        Qr, Qn
            In Å⁻¹.
        flag
            Take the smallest Qr that the scattering geometry allows where one is smaller.
        """
        qr, qn = np.array(Qr, float), np.asarray(Qn, float)
        alpha, k = np.radians(self.incident_angle), 2 * np.pi / self.place.wavelength_angstrom
        with np.errstate(invalid="ignore"):
            if flag:
                out = np.sqrt(1 - (qn / k - np.sin(alpha)) ** 2)
                least = np.abs(out - np.cos(alpha)) * k
                qr = np.where(np.abs(qr) < least, np.copysign(least, qr), qr)
            q = np.hypot(qr, qn)
            qz = q**2 / (2 * k)
            qy = (qn - qz * np.sin(alpha)) / np.cos(alpha)
            qx = np.copysign(np.sqrt(q**2 - qz**2 - qy**2), qr)
        return place_of(self.place, q, np.degrees(np.arctan2(qy, qx)))

    def _surface(self, q: Array, phi: Array) -> tuple[Array, Array]:
        orientation = SampleOrientation(incident_angle_deg=float(self.incident_angle))
        return orientation.surface_coordinates(
            q=q, azimuth_deg=phi, wavelength_m=self.place.wavelength_angstrom * 1e-10
        )

    def _map(self, name: str, compute: Callable[[Py4xsGeometry], Array]) -> Array:
        place = self.place
        if self._known is None or self._known[0] != place:
            self._known = (place, {})
        maps = self._known[1]
        if name not in maps:
            maps[name] = place.flipped(compute(place))
        return maps[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}


class ExpParaLiX(ExpPara):
    """The name that py4xs gives to the same: its orientation is LiX's."""
