"""Geometries from NeXus files agree with pixels placed by hand, and with pyFAI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.nexus_geometry import read_nexus_geometry
from h5xs_bluesky.reduction.geometry import Geometry

SHAPE = (30, 40)
SIZES = (100e-6, 75e-6)  # rows are 100 µm high, columns 75 µm wide
WAVELENGTH_M = 0.9e-10


def field(group: h5py.Group, name: str, value: Any, units: str, **attrs: Any) -> h5py.Dataset:
    data = group.create_dataset(name, data=value)
    data.attrs["units"] = units
    for key, each in attrs.items():
        data.attrs[key] = each
    return data


def axis(
    group: h5py.Group, name: str, value: float, kind: str, vector: Any, on: str, **attrs: Any
) -> None:
    units = attrs.pop("units", "m" if kind == "translation" else "deg")
    field(
        group, name, value, units, transformation_type=kind, vector=vector, depends_on=on, **attrs
    )


def nx(parent: h5py.Group, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def instrument(file: h5py.File) -> tuple[h5py.Group, h5py.Group]:
    entry = nx(file, "entry", "NXentry")
    group = nx(entry, "instrument", "NXinstrument")
    field(nx(group, "beam", "NXbeam"), "incident_wavelength", WAVELENGTH_M * 1e10, "angstrom")
    return group, nx(group, "detector", "NXdetector")


def expected_q(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """q in 1/Å of points (…, 3) in NeXus' laboratory: 4π sin(θ)/λ with 2θ from the beam, z."""
    two_theta = np.arctan2(np.hypot(positions[..., 0], positions[..., 1]), positions[..., 2])
    return np.asarray(4 * np.pi * np.sin(two_theta / 2) / (WAVELENGTH_M * 1e10))


def pixel_centres(rotation: Rotation, shift: Any, *, right: float, down: float) -> Any:
    """Place each pixel's centre: first as on a detector at the origin, then turned and moved."""
    row, column = np.indices(SHAPE) + 0.5
    local = np.stack([right * column * SIZES[1], down * row * SIZES[0], np.zeros(SHAPE)], axis=-1)
    return rotation.apply(local.reshape(-1, 3)).reshape(*SHAPE, 3) + shift


@pytest.mark.parametrize(("right", "down"), [(-1, -1), (1, -1), (1, 1), (-1, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_module_on_a_chain_of_rotations_and_translations(
    tmp_path: Path, seed: int, right: float, down: float
) -> None:
    """In any of the four ways a picture can lie; q and polarisation are those of its pixels."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-25, 25, 3)
    shift = [*rng.uniform(-0.02, 0.02, 2), 0.15]
    offset = rng.uniform(-0.003, 0.003, 3)
    path = tmp_path / "nxmx.h5"
    with h5py.File(path, "w") as file:
        _, detector = instrument(file)
        chain = nx(detector, "transformations", "NXtransformations")
        axis(chain, "z", shift[2] * 1e3, "translation", [0, 0, 1], ".", units="mm")
        axis(chain, "x", shift[0], "translation", [1, 0, 0], "z")
        axis(chain, "y", -shift[1] * 1e6, "translation", [0, -1, 0], "x", units="um")
        axis(
            chain,
            "tilt",
            angles[0],
            "rotation",
            [1, 0, 0],
            "/entry/instrument/detector/transformations/y",
        )
        axis(chain, "swing", np.radians(angles[1]), "rotation", [0, 1, 0], "tilt", units="rad")
        axis(chain, "turn", -angles[2], "rotation", [0, 0, -1], "swing")
        module = nx(detector, "module", "NXdetector_module")
        on = "/entry/instrument/detector/transformations/turn"
        axis(module, "module_offset", 1.0, "translation", offset, on)
        axis(
            module, "fast_pixel_direction", SIZES[1], "translation", [right, 0, 0], "module_offset"
        )
        axis(module, "slow_pixel_direction", SIZES[0], "translation", [0, down, 0], "module_offset")
        detector["pixel_mask"] = np.zeros(SHAPE, "u4")
    geometry = read_nexus_geometry(path)
    assert geometry.shape == SHAPE
    assert geometry.pixel_size_m == pytest.approx(SIZES)
    rotation = (
        Rotation.from_rotvec(np.radians(angles[0]) * np.array([1, 0, 0]))
        * Rotation.from_rotvec(np.radians(angles[1]) * np.array([0, 1, 0]))
        * Rotation.from_rotvec(np.radians(angles[2]) * np.array([0, 0, 1]))
    )
    positions = pixel_centres(rotation, rotation.apply(offset) + shift, right=right, down=down)
    assert np.allclose(geometry.q_map(), expected_q(positions), rtol=1e-10)
    directions = positions / np.linalg.norm(positions, axis=-1, keepdims=True)
    assert np.allclose(geometry.polarization_map(1.0), 1 - directions[..., 0] ** 2, atol=1e-10)


def test_pixel_offsets_are_centres(tmp_path: Path) -> None:
    path = tmp_path / "offsets.h5"
    with h5py.File(path, "w") as file:
        _, detector = instrument(file)
        chain = nx(detector, "transformations", "NXtransformations")
        axis(chain, "distance", 0.2, "translation", [0, 0, 1], ".")
        axis(chain, "arm", 10.0, "rotation", [0, 1, 0], "distance")
        detector["depends_on"] = "transformations/arm"
        field(detector, "x_pixel_offset", -(np.arange(SHAPE[1]) - 12) * SIZES[1] * 1e3, "mm")
        field(detector, "y_pixel_offset", -(np.arange(SHAPE[0]) - 7) * SIZES[0] * 1e3, "mm")
    geometry = read_nexus_geometry(path)
    rotation = Rotation.from_rotvec([0, np.radians(10), 0])
    start = rotation.apply([12.5 * SIZES[1], 7.5 * SIZES[0], 0]) + np.array([0, 0, 0.2])
    positions = pixel_centres(rotation, start, right=-1, down=-1)
    assert np.allclose(geometry.q_map(), expected_q(positions), rtol=1e-10)


def eiger_master(path: Path, **changes: Any) -> Path:
    """The fields of a master file that concern the geometry; a change of None leaves one out."""
    fields: dict[str, Any] = {
        "beam_center_x": (15.5, "pixel"),
        "beam_center_y": (10.5, "pixel"),
        "detector_distance": (0.2, "m"),
        "x_pixel_size": (75e-6, "m"),
        "y_pixel_size": (75e-6, "m"),
        **changes,
    }
    with h5py.File(path, "w") as file:
        _, detector = instrument(file)
        for name, value in fields.items():
            if value is not None:
                field(detector, name, *value)
        specific = detector.create_group("detectorSpecific")
        specific["x_pixels_in_detector"], specific["y_pixels_in_detector"] = SHAPE[1], SHAPE[0]
    return path


def test_eigers_master_file_is_an_upright_detector(tmp_path: Path) -> None:
    """Beam centre 15.5 is the centre of column 15."""
    geometry = read_nexus_geometry(eiger_master(tmp_path / "x_master.h5"))
    expected = Geometry.from_beam_center(
        shape=SHAPE, pixel_size_m=(75e-6, 75e-6), distance_m=0.2, beam_center_px=(10.0, 15.0),
        wavelength_m=WAVELENGTH_M,
    )  # fmt: skip
    assert np.allclose(geometry.q_map(), expected.q_map(), rtol=1e-12, atol=1e-15)
    assert geometry.q_map()[10, 15] == pytest.approx(0, abs=1e-12)
    assert (geometry.rot1_rad, geometry.rot2_rad) == pytest.approx((0, 0), abs=1e-15)
    assert geometry.poni1_m == pytest.approx(expected.poni1_m)
    assert geometry.poni2_m == pytest.approx(expected.poni2_m)


def test_units_are_honoured(tmp_path: Path) -> None:
    one = read_nexus_geometry(eiger_master(tmp_path / "a.h5"))
    other = read_nexus_geometry(
        eiger_master(
            tmp_path / "b.h5", detector_distance=(200.0, "mm"), x_pixel_size=(75.0, "um"),
            beam_center_x=(15.5 * 75e-6, "m"),
        )
    )  # fmt: skip
    assert np.allclose(one.q_map(), other.q_map(), rtol=1e-12, atol=1e-15)


def test_poni_that_pyfai_notes_beside_its_results(tmp_path: Path) -> None:
    """A file that pyFAI itself writes."""
    from pyFAI.detectors import Detector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    from pyFAI.io.nexus import save_NXmonpd

    integrator = AzimuthalIntegrator(
        0.3, 0.01, 0.02, 0.1, -0.2, 0.3, wavelength=WAVELENGTH_M,
        detector=Detector(100e-6, 75e-6, max_shape=SHAPE, orientation=3),
    )  # fmt: skip
    result = integrator.integrate1d(np.ones(SHAPE), 10, unit="2th_deg", error_model="poisson")
    save_NXmonpd(str(tmp_path / "result.nxs"), result)
    geometry = read_nexus_geometry(tmp_path / "result.nxs")
    assert np.allclose(geometry.q_map(), integrator.center_array(SHAPE, unit="q_A^-1"), rtol=1e-9)
    assert (geometry.rot1_rad, geometry.rot3_rad) == (0.1, 0.3)


def skewed(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        _, detector = instrument(file)
        module = nx(detector, "module", "NXdetector_module")
        axis(module, "module_offset", 0.2, "translation", [0, 0, 1], ".")
        axis(module, "fast_pixel_direction", 1e-4, "translation", [-1, 0, 0], "module_offset")
        axis(module, "slow_pixel_direction", 1e-4, "translation", [0.1, -1, 0], "module_offset")
        detector["pixel_mask"] = np.zeros(SHAPE)
    return path


def endless(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        _, detector = instrument(file)
        chain = nx(detector, "transformations", "NXtransformations")
        axis(chain, "a", 0.2, "translation", [0, 0, 1], "b")
        axis(chain, "b", 0.2, "translation", [0, 0, 1], "a")
        detector["depends_on"] = "transformations/a"
        field(detector, "x_pixel_offset", np.arange(5) * 1e-4, "m")
        field(detector, "y_pixel_offset", np.arange(5) * 1e-4, "m")
    return path


def with_offset(path: Path, **attributes: Any) -> Path:
    """An axis that turns stands beside the beam, as its attribute `offset` tells."""
    with h5py.File(path, "w") as file:
        _, detector = instrument(file)
        chain = nx(detector, "transformations", "NXtransformations")
        axis(chain, "distance", 0.2, "translation", [0, 0, 1], "turn")
        turn = chain.create_dataset("turn", data=0.0)
        turn.attrs.update(
            {"units": "deg", "transformation_type": "rotation", "vector": [0, 1, 0.0]}
        )
        turn.attrs.update({"depends_on": ".", "offset": [10.0, 0, 0], **attributes})
        detector["depends_on"] = "transformations/distance"
        field(detector, "x_pixel_offset", -np.arange(SHAPE[1]) * 1e-4, "m")
        field(detector, "y_pixel_offset", -np.arange(SHAPE[0]) * 1e-4, "m")
    return path


def test_offset_has_a_unit_of_its_own(tmp_path: Path) -> None:
    plain = read_nexus_geometry(with_offset(tmp_path / "0.h5", offset=[0.0, 0, 0]))
    moved = read_nexus_geometry(with_offset(tmp_path / "1.h5", offset_units="mm"))
    assert abs(moved.poni2_m - plain.poni2_m) == pytest.approx(0.01)


def two_detectors(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        group, _ = instrument(file)
        nx(group, "other", "NXdetector")
    return path


def no_nexus(path: Path) -> Path:
    path.write_text("no HDF5")
    return path


@pytest.mark.parametrize(
    ("write", "word"),
    [
        (lambda path: path, "found none"),
        (no_nexus, "expected a NeXus file"),
        (two_detectors, "name the one that is meant"),
        (skewed, "at right angles"),
        (endless, "at most 32 axes"),
        (with_offset, "expected offset_units of .* found deg"),
        (lambda path: with_offset(path, offset_units="furlong"), "found furlong"),
        (lambda path: eiger_master(path, detector_distance=None), "found no detector_distance"),
        (lambda path: eiger_master(path, x_pixel_size=(1.0, "inch")), "found inch"),
        (lambda path: eiger_master(path, detector_distance=(0.0, "m")), "positive distance"),
    ],
)
def test_file_that_will_not_do_is_refused(
    tmp_path: Path, write: Callable[[Path], Path], word: str
) -> None:
    with pytest.raises(FileFormatError, match=word):
        read_nexus_geometry(write(tmp_path / "x.h5"))


def test_detector_of_several_is_named(tmp_path: Path) -> None:
    path = eiger_master(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        nx(file["entry/instrument"], "other", "NXdetector")
    geometry = read_nexus_geometry(path, detector="/entry/instrument/detector")
    assert geometry.shape == SHAPE


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    eiger_master(tmp_path / "secret.h5")
    with h5py.File(tmp_path / "in" / "x.h5", "w") as file:
        file["entry"] = h5py.ExternalLink("../secret.h5", "/entry")
    with pytest.raises(RefusedError, match="it was not followed"):
        read_nexus_geometry(tmp_path / "in" / "x.h5")
