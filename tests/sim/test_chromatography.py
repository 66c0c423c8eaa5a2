from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim.chromatography import COLUMN, Eluted, fouled_capillary, sec_beamline
from h5xs_bluesky.sim.profiles import water


@pytest.mark.parametrize("frames", [60, 600])
def test_the_concentration_is_one_at_the_peak_and_has_a_tail(frames: int) -> None:
    concentration = Eluted(profile=water, at=0.5, width=0.02, tail=0.03).concentration(frames)
    assert concentration.shape == (frames,)
    assert concentration.max() == 1
    front, tail = (np.flatnonzero(concentration > 0.01)[end] for end in (0, -1))
    peak = concentration.argmax()
    assert 0.5 < peak / frames < 0.53
    assert tail - peak > 1.5 * (peak - front)


def test_the_aggregate_comes_first_and_overlaps() -> None:
    amounts = COLUMN.amounts(600)
    protein, aggregate = amounts[:, 2], amounts[:, 3]
    assert aggregate.argmax() < protein.argmax() - 30
    assert ((protein > 0.01) & (aggregate > 0.01)).sum() > 5
    assert amounts[:50, 2:].max() < 1e-9


def test_what_stays_on_the_capillary_grows_with_what_has_passed() -> None:
    fouling = replace(COLUMN, fouling=fouled_capillary).amounts(300)[:, 4]
    assert (np.diff(fouling) >= 0).all()
    assert fouling[0] < 1e-6
    assert fouling[-1] == pytest.approx(1)


def test_frames_follow_the_concentration_and_the_beam(tmp_path: Path) -> None:
    setup = sec_beamline(tmp_path, seed=1)
    (detector,) = setup.beamline.detectors
    shots = list(setup.samples[0].shots(40))
    used = ~detector.mask
    counts = np.array([shot.frames[detector.data_key][used].sum() for shot in shots])
    beams = np.array([shot.transmitted for shot in shots])
    per_photon = counts / beams
    assert abs(per_photon.argmax() - COLUMN.amounts(40)[:, 2].argmax()) <= 1
    assert per_photon[:10].std() < 2e-3 * per_photon[:10].mean()
    assert beams[-1] < 0.995 * beams[0], "the beam falls over the whole series"


def test_equal_seeds_give_equal_frames(tmp_path: Path) -> None:
    first, second = (next(sec_beamline(tmp_path, seed=3).samples[0].shots(5)) for _ in range(2))
    np.testing.assert_array_equal(first.frames["fast_image"], second.frames["fast_image"])


@pytest.mark.parametrize("name", ["width", "tail"])
def test_a_peak_has_a_width_and_a_tail(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"positive {name}, found 0"):
        replace(COLUMN.protein, **{name: 0.0})
