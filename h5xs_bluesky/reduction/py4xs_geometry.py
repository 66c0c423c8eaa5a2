"""Geometry in the ancestor's terms, py4xs', and its exact relation to pyFAI's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry

_ANGSTROM_M = 1e-10
_LEAST_COSINE = 1e-9
_NO_TILT = 1e-12

# Axes in which a position on the detector is given: py4xs' are x right, y up, z upstream, of the
# flipped picture; a row and a column of it run down and right.
_RIGHT_UP_OF_ROW_COLUMN = np.array([[0.0, 1.0], [-1.0, 0.0]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Py4xsGeometry:
    """Where a detector stands, as py4xs describes it.

    Lengths are in pixels, a whole number is a pixel's centre. The position of pixel (X, Y) of the
    flipped picture in the laboratory (x right, y up, z upstream) is

        v = R · (X − bm_ctr_x, −(Y − bm_ctr_y), 0) − (0, 0, ratio_dw · image_width)
        R = Rz(det_orient + det_phi) · Ry(det_tilt) · Rz(−det_orient)

    (Yang, J. Synchrotron Rad. 20 (2013) 211; py4xs ``exp_para``).

    Parameters
    ----------
    image_width, image_height
        Of the flipped picture.
    bm_ctr_x, bm_ctr_y
        Where the beam hits it: column and row.
    ratio_dw
        Distance to that point, along the beam, over the width.
    wavelength_angstrom
        Of the beam.
    det_orient_deg, det_tilt_deg, det_phi_deg
        The rotations.
    flip
        How a frame as stored becomes the flipped picture: as many times `numpy.rot90`; if
        negative, mirrored left to right before.
    sample_normal_deg
        Added to the azimuth.
    pixel_size_m
        Of the square pixels; py4xs knows only 172 µm.

    Raises
    ------
    ReductionError
        If a length is not positive, or the tilt is not below 90°.
    """

    image_width: int
    image_height: int
    bm_ctr_x: float
    bm_ctr_y: float
    ratio_dw: float
    wavelength_angstrom: float
    det_orient_deg: float = 0.0
    det_tilt_deg: float = 0.0
    det_phi_deg: float = 0.0
    flip: int = 0
    sample_normal_deg: float = 0.0
    pixel_size_m: float = 172e-6

    def __post_init__(self) -> None:
        for name in ("image_width", "image_height", "ratio_dw", "wavelength_angstrom"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ReductionError(f"expected a positive {name}, found {value}")
        if not abs(self.det_tilt_deg) < 90:
            raise ReductionError(
                f"expected a det_tilt between -90 and 90 degrees, found {self.det_tilt_deg}: the "
                "beam does not meet such a detector"
            )

    @property
    def rotation(self) -> NDArray[np.float64]:
        """R (3, 3), from the axes of the flipped picture to those of the laboratory."""
        orient, tilt, phi = np.radians([self.det_orient_deg, self.det_tilt_deg, self.det_phi_deg])
        product: NDArray[np.float64] = _about_z(orient + phi) @ _about_y(tilt) @ _about_z(-orient)
        return product

    def to_geometry(self) -> Geometry:
        """Give the geometry of the frames as they are stored."""
        frame = _Frame.of(self.flip, (self.image_height, self.image_width))
        rotation = self.rotation
        distance_px = self.ratio_dw * self.image_width
        poni_flipped = (
            self.bm_ctr_y - distance_px * rotation[2, 1],
            self.bm_ctr_x + distance_px * rotation[2, 0],
        )
        row, column = frame.stored_position(poni_flipped)
        matrix = frame.laboratory @ rotation @ frame.detector
        return Geometry(
            shape=frame.stored_shape,
            pixel_size_m=(self.pixel_size_m, self.pixel_size_m),
            distance_m=float(self.pixel_size_m * distance_px * rotation[2, 2]),
            poni1_m=float(self.pixel_size_m * (row + 0.5)),
            poni2_m=float(self.pixel_size_m * (column + 0.5)),
            rot1_rad=float(np.arctan2(-matrix[2, 1], matrix[2, 2])),
            rot2_rad=float(np.arcsin(np.clip(matrix[2, 0], -1, 1))),
            rot3_rad=float(np.arctan2(matrix[1, 0], matrix[0, 0])),
            wavelength_m=self.wavelength_angstrom * _ANGSTROM_M,
        )

    @classmethod
    def from_geometry(
        cls,
        geometry: Geometry,
        *,
        flip: int = 0,
        tilt_sign: int = -1,
        sample_normal_deg: float = 0.0,
    ) -> "Py4xsGeometry":
        """Describe the flipped picture of a detector.

        Parameters
        ----------
        geometry
            Of the frames as they are stored.
        flip, sample_normal_deg
            As in the class.
        tilt_sign
            A tilt and its opposite with `det_orient` turned by 180° are the same: which to give.

        Raises
        ------
        ReductionError
            If the pixels are not square, or the beam does not meet the detector's plane.
        """
        pixel = geometry.pixel_size_m[0]
        if geometry.pixel_size_m[1] != pixel:
            raise ReductionError(
                f"expected square pixels, as py4xs has, found {geometry.pixel_size_m} m"
            )
        stored = geometry.shape
        flipped_shape = stored if flip % 2 == 0 else (stored[1], stored[0])
        frame = _Frame.of(flip, flipped_shape)
        rotation = frame.laboratory.T @ pyfai_rotation(geometry) @ frame.detector.T
        if rotation[2, 2] <= _LEAST_COSINE:
            raise ReductionError(
                "expected a detector whose plane the beam meets, found one along or behind it: "
                "py4xs cannot describe it"
            )
        distance_px = geometry.distance_m / pixel / rotation[2, 2]
        row, column = frame.flipped_position(
            (geometry.poni1_m / pixel - 0.5, geometry.poni2_m / pixel - 0.5)
        )
        orient, tilt, phi = _angles(rotation, np.sign(tilt_sign))
        return cls(
            image_width=flipped_shape[1],
            image_height=flipped_shape[0],
            bm_ctr_x=float(column - distance_px * rotation[2, 0]),
            bm_ctr_y=float(row + distance_px * rotation[2, 1]),
            ratio_dw=float(distance_px / flipped_shape[1]),
            wavelength_angstrom=geometry.wavelength_m / _ANGSTROM_M,
            det_orient_deg=float(np.degrees(orient)),
            det_tilt_deg=float(np.degrees(tilt)),
            det_phi_deg=float((np.degrees(phi) + 180) % 360 - 180),
            flip=flip,
            sample_normal_deg=sample_normal_deg,
            pixel_size_m=pixel,
        )

    def azimuth_deg(self, chi_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give py4xs' azimuth Φ from pyFAI's χ of `to_geometry`, in degrees from −180 to 180.

        Φ is 0 to the right of the flipped picture and turns counter-clockwise: Φ = −χ +
        sample_normal, or χ + sample_normal where the picture is mirrored.
        """
        sign = 1.0 if self.flip < 0 else -1.0
        azimuth = sign * np.degrees(chi_rad) + self.sample_normal_deg
        return np.asarray((azimuth + 180) % 360 - 180)

    def flipped(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Turn a frame (H, W) as stored into py4xs' picture."""
        mirrored = np.fliplr(frame) if self.flip < 0 else frame
        return np.rot90(mirrored, abs(self.flip))

    def stored(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Turn py4xs' picture, or its mask, into a frame as stored."""
        turned = np.rot90(picture, -abs(self.flip))
        return np.fliplr(turned) if self.flip < 0 else turned


@dataclass(frozen=True, slots=True)
class _Frame:
    """How stored rows and columns, and pyFAI's axes, become those of py4xs.

    (row, column) of the flipped picture is `turn` · (row, column) as stored + `offset`.
    """

    stored_shape: tuple[int, int]
    turn: NDArray[np.float64]
    offset: NDArray[np.float64]
    detector: NDArray[np.float64]  # pyFAI's axes in the detector's plane → py4xs'
    laboratory: NDArray[np.float64]  # py4xs' laboratory → pyFAI's

    @classmethod
    def of(cls, flip: int, flipped_shape: tuple[int, int]) -> "_Frame":
        stored = flipped_shape if flip % 2 == 0 else (flipped_shape[1], flipped_shape[0])
        turn, offset = np.eye(2), np.zeros(2)
        width, height = stored[1], stored[0]
        if flip < 0:  # numpy.fliplr
            turn[1] *= -1
            offset[1] = width - 1
        for _ in range(abs(flip)):  # numpy.rot90: the last column becomes the first row
            turn = np.array([-turn[1], turn[0]])
            offset = np.array([width - 1 - offset[1], offset[0]])
            height, width = width, height
        detector = np.diag([0.0, 0.0, -1.0])
        detector[:2, :2] = _RIGHT_UP_OF_ROW_COLUMN @ turn
        sign = 1.0 if flip < 0 else -1.0
        laboratory = np.array([[0.0, sign, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
        return cls(stored, turn, offset, detector, laboratory)

    def stored_position(self, flipped: tuple[float, float]) -> NDArray[np.float64]:
        position: NDArray[np.float64] = self.turn.T @ (np.array(flipped) - self.offset)
        return position

    def flipped_position(self, stored: tuple[float, float]) -> NDArray[np.float64]:
        position: NDArray[np.float64] = self.turn @ np.array(stored) + self.offset
        return position


def pyfai_rotation(geometry: Geometry) -> NDArray[np.float64]:
    """Give pyFAI's rotation R3 · R2 · R1 of the detector (pyFAI documentation, "Geometry")."""
    (c1, c2, c3), (s1, s2, s3) = (
        function([geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad])
        for function in (np.cos, np.sin)
    )
    first = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
    second = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
    third = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
    product: NDArray[np.float64] = third @ second @ first
    return product


def _angles(rotation: NDArray[np.float64], sign: float) -> tuple[float, float, float]:
    """Give det_orient, det_tilt and det_phi, in rad, of a rotation."""
    sine = np.hypot(rotation[2, 0], rotation[2, 1])
    if sine < _NO_TILT:  # then only the sum of orient and phi matters
        return 0.0, 0.0, float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    tilt = sign * np.arctan2(sine, rotation[2, 2])
    orient = np.arctan2(-sign * rotation[2, 1], -sign * rotation[2, 0])
    turn = np.arctan2(sign * rotation[1, 2], sign * rotation[0, 2])
    return float(orient), float(tilt), float(turn - orient)


def _about_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _about_z(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
