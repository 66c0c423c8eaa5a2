import time
from pathlib import Path

import numpy as np
import pytest

from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.sim.beamline import (
    SimulatedBeamline,
    exposures_beamline,
    simulated_beamline,
)

SAXS, WAXS = "pil1M_image", "pilW1_image"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedBeamline:
    return simulated_beamline(tmp_path_factory.mktemp("simulated"), seed=1)


def test_what_is_written_is_a_complete_configuration(tmp_path: Path) -> None:
    simulated_beamline(tmp_path)
    beamline = Beamline.from_toml(tmp_path / "beamline.toml")
    assert [detector.extension for detector in beamline.detectors] == ["_SAXS", "_WAXS"]
    assert beamline.detectors[1].fix_scale == pytest.approx((2.2 / 0.4) ** 2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "beamline.toml",
        "saxs_mask.npz",
        "waxs_mask.npz",
        "waxs.poni",
    }


def test_the_detectors_overlap_and_reach_the_water_peak(simulated: SimulatedBeamline) -> None:
    saxs, waxs = (
        detector.geometry.q_map()[~detector.mask] for detector in simulated.beamline.detectors
    )
    assert saxs.min() < 0.016
    assert waxs.min() < 0.25 < 0.45 < saxs.max()
    assert waxs.max() > 2.2


def test_each_sample_gives_as_many_exposures_as_asked_for(simulated: SimulatedBeamline) -> None:
    assert [sample.name for sample in simulated.samples] == ["agbh", "buffer", "protein"]
    for sample in simulated.samples:
        shots = list(sample.shots(2))
        assert len(shots) == 2
        for shot in shots:
            assert {key: frame.shape for key, frame in shot.frames.items()} == {
                SAXS: (1043, 981),
                WAXS: (619, 487),
            }
            assert all(frame.dtype == np.int32 for frame in shot.frames.values())
            assert 0 < shot.transmitted < shot.incident


def test_equal_seeds_give_equal_frames(tmp_path: Path) -> None:
    first, second = (
        next(simulated_beamline(tmp_path, seed=5).samples[1].shots(1)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.frames[SAXS], second.frames[SAXS])
    np.testing.assert_array_equal(first.frames[WAXS], second.frames[WAXS])


def test_faulty_pixels_are_all_masked(simulated: SimulatedBeamline) -> None:
    frames = next(simulated.samples[1].shots(1)).frames
    for detector in simulated.beamline.detectors:
        frame = frames[detector.data_key]
        assert detector.mask[frame < 0].all()
        assert {-1, -2} <= set(frame[detector.mask].tolist())
        assert frame[~detector.mask].max() < 10_000


def test_the_monitors_follow_the_frames(simulated: SimulatedBeamline) -> None:
    """Counts per transmitted photon stay the same while the beam decays."""
    detector = simulated.beamline.detectors[1]
    first, *_, last = simulated.samples[1].shots(5)
    assert last.transmitted < 0.998 * first.transmitted
    ratios = [shot.frames[WAXS][~detector.mask].sum() / shot.transmitted for shot in (first, last)]
    assert ratios[0] == pytest.approx(ratios[1], rel=2e-3)


def test_a_frame_is_simulated_quickly(simulated: SimulatedBeamline) -> None:
    shots = simulated.samples[2].shots(4)
    next(shots)  # which also makes the expected images
    took = []
    for _ in range(3):
        began = time.process_time()
        next(shots)
        took.append(time.process_time() - began)
    assert min(took) < 0.3


def test_exposures_are_split_into_frames_that_add_up(tmp_path: Path, h5xs_data: Path) -> None:
    setup = exposures_beamline(tmp_path, h5xs_data)
    assert [sample.name for sample in setup.samples] == ["agbh", "buffer", "sample"]
    standard = setup.samples[0]
    assert standard.frame_s(3) == pytest.approx(20.0)
    original = standard.originals[SAXS]
    total = np.sum([shot.frames[SAXS] for shot in standard.shots(3)], axis=0)
    np.testing.assert_array_equal(total[original >= 0], original[original >= 0])
    np.testing.assert_array_equal(total[original < 0], 3 * original[original < 0])


def test_the_sample_names_its_buffer(tmp_path: Path, h5xs_data: Path) -> None:
    setup = exposures_beamline(tmp_path, h5xs_data / "saxs")
    assert [sample.metadata.get("buffer") for sample in setup.samples] == [None, None, "buffer"]


def test_missing_exposures_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"mask\.npz: expected a mask, found no file"):
        exposures_beamline(tmp_path, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "found no file"),
        (b"no picture", "found an error"),
    ],
)
def test_unreadable_exposures_are_named(
    tmp_path: Path, picture: bytes | None, message: str
) -> None:
    np.savez(tmp_path / "mask.npz", mask=np.zeros((1043, 981), bool))
    if picture is not None:
        (tmp_path / "agbh.tif").write_bytes(picture)
    with pytest.raises(FileFormatError, match=rf"agbh\.tif: expected an exposure, {message}"):
        exposures_beamline(tmp_path, tmp_path)
