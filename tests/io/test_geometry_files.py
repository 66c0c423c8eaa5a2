"""Geometries from PONI files."""

from pathlib import Path

import numpy as np
import pytest
from strategies import TILTED

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.geometry_files import detector_by_name, poni_text, read_poni

POSITION = """Distance: 0.2
Poni1: 0.08
Poni2: 0.07
Rot1: 0.1
Rot2: -0.2
Rot3: 0.3
Wavelength: 1e-10
"""
VERSION_2 = "poni_version: 2\nDetector: Pilatus1M\nDetector_config: {}\n" + POSITION
VERSION_1 = "PixelSize1: 0.000172\nPixelSize2: 0.000172\n" + POSITION


def test_version_2_knows_its_detector(tmp_path: Path) -> None:
    (tmp_path / "a.poni").write_text(VERSION_2)
    geometry = read_poni(tmp_path / "a.poni")
    assert geometry.shape == (1043, 981)
    assert geometry.rot3_rad == 0.3


def test_geometry_written_as_poni_is_the_same_to_us_and_to_pyfai(tmp_path: Path) -> None:
    import pyFAI

    path = tmp_path / "tilted.poni"
    path.write_text(poni_text(TILTED))
    assert read_poni(path) == TILTED
    theirs = pyFAI.load(str(path)).center_array(TILTED.shape, unit="2th_rad")
    np.testing.assert_allclose(theirs, TILTED.two_theta_map(), atol=1e-12)


def test_version_1_needs_the_shape(tmp_path: Path) -> None:
    (tmp_path / "a.poni").write_text(VERSION_1)
    with pytest.raises(FileFormatError, match="shape"):
        read_poni(tmp_path / "a.poni")
    geometry = read_poni(tmp_path / "a.poni", shape=(100, 200))
    assert geometry.shape == (100, 200)
    assert geometry.pixel_size_m == pytest.approx((172e-6, 172e-6))


def test_q_of_a_real_calibration_is_pyfais(h5xs_data: Path) -> None:
    import pyFAI

    path = h5xs_data / "ceo2" / "ceo2.poni"
    theirs = pyFAI.load(str(path)).center_array((1043, 981), unit="q_A^-1")
    ours = read_poni(path, shape=(1043, 981)).q_map()
    assert np.allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "PONI"),
        ("just words", "PONI"),
        (VERSION_2.replace("Wavelength: 1e-10\n", ""), "wavelength"),
        (VERSION_2.replace("Distance: 0.2", "Distance: -0.2"), "positive distance"),
        (VERSION_2.replace("{}", '{"orientation": 1}').replace(": 2\n", ": 2.1\n"), "orientation"),
        (VERSION_2.replace("Pilatus1M", "Nonesuch"), "PONI"),
    ],
)
def test_file_that_will_not_do_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.poni").write_text(text)
    with pytest.raises(FileFormatError, match=said):
        read_poni(tmp_path / "a.poni")


@pytest.mark.parametrize(
    ("model", "shape"),
    [("Pilatus 1M", (1043, 981)), ("Eiger4M", (2167, 2070)), ("home made", None)],
)
def test_detectors_are_known_by_name(model: str, shape: tuple[int, int] | None) -> None:
    found = detector_by_name(model)
    assert (None if found is None else found[0]) == shape
