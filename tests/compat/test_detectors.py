"""Detectors, geometry and masks that may be changed, over the frozen core."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import py4xs_geometries

from h5xs_bluesky.compat.py4xs.detector_config import DetectorConfig, create_det_from_attrs
from h5xs_bluesky.compat.py4xs.exp_para import ExpPara, ExpParaLiX
from h5xs_bluesky.compat.py4xs.local import det_names, exp_attr
from h5xs_bluesky.compat.py4xs.mask import Mask
from h5xs_bluesky.errors import ConfigurationError, FileFormatError
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry
from h5xs_bluesky.sim.py4xs_files import py4xs_detectors


def exp_para(place: Py4xsGeometry) -> ExpPara:
    para = ExpParaLiX(place.image_width, place.image_height)
    para.wavelength, para.ratioDw = place.wavelength_angstrom, place.ratio_dw
    para.bm_ctr_x, para.bm_ctr_y, para.flip = place.bm_ctr_x, place.bm_ctr_y, place.flip
    para.det_orient, para.det_tilt = place.det_orient_deg, place.det_tilt_deg
    para.det_phi, para.sample_normal = place.det_phi_deg, place.sample_normal_deg
    return para


@settings(max_examples=60, deadline=None)
@given(py4xs_geometries())
def test_any_place_of_the_picture_scatters_as_the_pixels_do(place: Py4xsGeometry) -> None:
    """Two ways to the same q, Φ and corrections: pyFAI's and the formula."""
    para = exp_para(place)
    q, phi, qr, qn, polarization, solid_angle = para.calc_from_XY(para.X, para.Y, True)
    off = np.abs((phi - para.Phi + 180) % 360 - 180)
    assert np.allclose(q, para.Q, rtol=1e-9, atol=1e-12)
    assert off[q > 1e-3].max(initial=0) < 1e-6
    assert np.allclose(polarization, para.FPol, atol=1e-6)
    assert np.allclose(solid_angle, para.FSA, atol=1e-6)
    clear = (np.abs(np.abs(para.Phi) - 90) > 1e-3) & (q > 1e-3)
    assert np.allclose(qn[clear], para.Qn[clear], atol=1e-9)
    assert np.allclose(qr[clear], para.Qr[clear], atol=1e-7)
    assert np.allclose(np.hypot(qr, qn), q)


@settings(max_examples=60, deadline=None)
@given(py4xs_geometries())
def test_places_are_found_again_from_q_and_azimuth(place: Py4xsGeometry) -> None:
    para = exp_para(place)
    x, y = np.array([3.25, 17.0, 28.6]), np.array([1.0, 20.4, 11.5])
    q, phi, qr, qn = para.calc_from_XY(x, y)
    assert np.allclose(para.calc_from_QPhi(q, phi), (x, y), atol=1e-4)
    found = np.array(para.calc_from_QrQn(qr, qn))
    known = np.isfinite(found).all(axis=0)
    assert np.allclose(found[:, known], np.stack([x, y])[:, known], atol=1e-2)


def test_rays_that_do_not_arrive_have_no_place() -> None:
    (para, _) = (detector.exp_para for detector in py4xs_detectors())
    limit = 4 * np.pi / para.wavelength
    x, y = para.calc_from_QPhi([0.1, limit * 0.9, limit * 1.1], [0.0, 0.0, 0.0])
    assert np.isfinite(x).tolist() == np.isfinite(y).tolist() == [True, False, False]
    x, _ = para.calc_from_QrQn([1e-6], [0.3])
    assert np.isnan(x).all(), "the Ewald sphere keeps clear of the normal"
    x, _ = para.calc_from_QrQn([1e-6], [0.3], flag=True)
    assert np.isfinite(x).all()


def test_coordinates_follow_the_parameters() -> None:
    para = py4xs_detectors()[0].exp_para
    before = para.Q
    assert para.Q is before
    para.bm_ctr_x += 1.0
    para.init_coordinates()
    assert np.allclose(para.Q[:, 1:], before[:, :-1], atol=1e-12)
    assert np.allclose(para.xQ**2 + para.yQ**2, para.Q**2)


def test_parameter_that_is_not_set_is_named() -> None:
    para = ExpPara(10, 12)
    para.wavelength = 0.8
    with pytest.raises(ConfigurationError, match=r"bm_ctr_x.*ratioDw"):
        para.init_coordinates()
    with pytest.raises(ConfigurationError, match="ExpPara"):
        DetectorConfig("_SAXS").to_detector()


def test_detector_is_given_for_frames_as_they_are_stored() -> None:
    config = py4xs_detectors()[1]
    config.flat = np.arange(243 * 195, dtype=float).reshape(243, 195) + 1
    config.dark = 2.5
    detector = config.to_detector()
    place = config.exp_para.place
    assert detector.geometry.shape == (195, 243)
    assert np.array_equal(place.flipped(detector.mask), config.exp_para.mask.map)
    assert np.array_equal(place.flipped(detector.flat), config.flat)
    assert np.allclose(place.flipped(detector.geometry.q_map()), config.exp_para.Q)
    assert (detector.dark == 2.5).all()
    assert config.s2d_distance == pytest.approx(detector.geometry.distance_m * 1e3)
    assert detector.data_key == det_names[0]["_WAXS2"] == "pilW2_image"
    config.dark = np.zeros(7)
    with pytest.raises(ConfigurationError, match=r"shape \(243, 195\)"):
        config.to_detector()


def test_field_of_a_detector_that_lix_does_not_have_must_be_named() -> None:
    para = py4xs_detectors()[0].exp_para
    with pytest.raises(ConfigurationError, match="data_key"):
        DetectorConfig("_front", para).to_detector()
    assert DetectorConfig("_front", para, data_key="eiger").to_detector().data_key == "eiger"


def test_bad_pixels_are_left_out_as_py4xs_does_it() -> None:
    para = ExpPara(20, 10)
    DetectorConfig("_SAXS", para, bad_pixels=[[3, 4], [15, 16]])
    assert np.argwhere(para.mask.map).tolist() == [[3, 15], [4, 16]]


def test_packed_detector_is_the_same_when_unpacked() -> None:
    for config in py4xs_detectors():
        packed = config.pack_dict()
        assert set(exp_attr) < set(packed["exp_para"])
        again = create_det_from_attrs(packed)
        assert again.exp_para.place == config.exp_para.place
        assert np.array_equal(again.exp_para.mask.map, config.exp_para.mask.map)
        assert again.fix_scale == config.fix_scale
        again.exp_para.mask.set_bit(0, 0)  # a mask that was read may be changed


def test_described_detector_is_itself_until_it_is_changed() -> None:
    """To the last bit: also what py4xs has no name for."""
    original = py4xs_detectors()[1].to_detector()
    for flip in (0, 1, -2):
        config = DetectorConfig.from_detector(original, flip=flip)
        again = config.to_detector()
        assert again.geometry == original.geometry
        assert np.array_equal(again.mask, original.mask)
        config.exp_para.ratioDw *= 1.01
        config.exp_para.mask.set_bit(1, 2)
        moved = config.to_detector()
        assert moved.geometry.distance_m == pytest.approx(original.geometry.distance_m * 1.01)
        assert moved.mask.sum() == original.mask.sum() + 1


def test_surface_in_the_beam_is_described_both_ways() -> None:
    config = py4xs_detectors()[0]
    assert config.to_detector().orientation.incident_angle_deg is None
    config.exp_para.grazing_incident, config.exp_para.incident_angle = True, 0.35
    config.exp_para.sample_normal = 4.0
    detector = config.to_detector()
    assert detector.orientation.incident_angle_deg == 0.35
    assert detector.orientation.sample_normal_deg == 4.0
    phi = detector.orientation.azimuth_deg(detector.geometry.chi_map())
    assert np.abs((phi - config.exp_para.Phi + 180) % 360 - 180).max() < 1e-9
    again = DetectorConfig.from_detector(detector)
    assert again.exp_para.incident_angle == 0.35
    assert np.allclose(again.exp_para.Qn, config.exp_para.Qn)
    again.exp_para.sample_normal = 5.0
    assert again.to_detector().orientation.sample_normal_deg == 5.0


def test_mask_is_read_drawn_and_changed(tmp_path: Path) -> None:
    (tmp_path / "mask.txt").write_text("c 10 5 3\nr 3 3 2 4 0\n")
    mask = Mask(20, 12)
    mask.read_file(tmp_path / "mask.txt")
    drawn = mask.map.copy()
    assert drawn[5, 10]
    assert not drawn[11, 19]
    mask.invert()
    assert np.array_equal(mask.map, ~drawn)
    mask.reload()
    assert np.array_equal(mask.map, drawn)
    assert mask.val(5, 10)
    mask.clear_bit(5, 10)
    assert not mask.val(5, 10)
    mask.clear()
    mask.add_item("c", [10, 5, 3])
    mask.add_item("r", [3, 3, 2, 4, 0])
    assert np.array_equal(mask.map, drawn)


def test_mask_from_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.full((12, 20), 100, np.uint8)
    picture[2, 3] = 255
    Image.fromarray(picture).save(tmp_path / "mask.tif")
    mask = Mask(20, 12)
    mask.read_from_8bit_tif(tmp_path / "mask.tif")
    assert np.argwhere(mask.map).tolist() == [[2, 3]]
    with pytest.raises(FileFormatError, match="shape"):
        Mask(5, 5).read_from_8bit_tif(tmp_path / "mask.tif")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda mask: mask.read_file("nowhere.txt"), "no file"),
        (lambda mask: mask.add_item("c", [1, 2]), "3 numbers"),
        (lambda mask: mask.add_item("x", [1, 2]), "a shape of"),
    ],
)
def test_mask_says_what_it_expects(use: object, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        use(Mask(5, 5))  # type: ignore[operator]
