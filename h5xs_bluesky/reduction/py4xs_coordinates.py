"""From any place on py4xs' picture, between pixels, too, to the scattering there, and back."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def scattering_at(place: Py4xsGeometry, x: ArrayLike, y: ArrayLike) -> Pair:
    """Give q and the azimuth Φ where a scattered ray meets the flipped picture.

    Parameters
    ----------
    place
        The detector.
    x, y : arrays of one shape
        Column and row, a whole number is a pixel's centre.

    Returns
    -------
    q, azimuth_deg : ndarray
        In Å⁻¹, and in degrees from −180 to below 180.
    """
    right, up = np.asarray(x, float) - place.bm_ctr_x, place.bm_ctr_y - np.asarray(y, float)
    inside = np.stack([right, up, np.zeros_like(right)])
    vx, vy, vz = np.tensordot(place.rotation, inside, axes=1)
    along = place.ratio_dw * place.image_width - vz
    two_theta = np.arctan2(np.hypot(vx, vy), along)
    q = 4 * np.pi / place.wavelength_angstrom * np.sin(two_theta / 2)
    azimuth = np.degrees(np.arctan2(vy, vx)) + place.sample_normal_deg
    return q, np.asarray((azimuth + 180) % 360 - 180)


def place_of(place: Py4xsGeometry, q: ArrayLike, azimuth_deg: ArrayLike) -> Pair:
    """Give where on the flipped picture, or its plane, a scattered ray arrives.

    Parameters
    ----------
    place
        The detector.
    q, azimuth_deg : arrays of one shape
        In Å⁻¹ and degrees.

    Returns
    -------
    x, y : ndarray
        Column and row; NaN where no ray has such a q, or none meets the plane.
    """
    sine = np.asarray(q, float) * place.wavelength_angstrom / (4 * np.pi)
    two_theta = 2 * np.arcsin(np.where(np.abs(sine) <= 1, sine, np.nan))
    azimuth = np.radians(np.asarray(azimuth_deg, float) - place.sample_normal_deg)
    ray = np.stack(
        [
            np.sin(two_theta) * np.cos(azimuth),
            np.sin(two_theta) * np.sin(azimuth),
            -np.cos(two_theta),
        ]
    )
    distance_px = place.ratio_dw * place.image_width
    normal = place.rotation[:, 2]
    towards = np.tensordot(normal, ray, axes=1)
    meets = towards * normal[2] < 0
    length = np.full(towards.shape, np.nan)
    np.divide(-distance_px * normal[2], towards, out=length, where=meets)
    from_center = ray * length
    from_center[2] += distance_px
    right, up, _ = np.tensordot(place.rotation.T, from_center, axes=1)
    return place.bm_ctr_x + right, place.bm_ctr_y - up
