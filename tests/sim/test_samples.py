import numpy as np
import pytest

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim.profiles import water
from h5xs_bluesky.sim.samples import SAMPLES, Beam, Condition, Sample

PROTEIN = SAMPLES[2]


def test_the_protein_is_damaged_at_the_end_and_more_and_more() -> None:
    harm = [condition.aggregated for condition in PROTEIN.conditions(12)]
    assert harm[:9] == [0.0] * 9
    assert 0 < harm[9] < harm[10] < harm[11]


def test_a_bubble_passes_in_one_frame_and_lets_more_of_the_beam_through() -> None:
    filled = [condition.filling for condition in PROTEIN.conditions(12)]
    assert sum(filling < 1 for filling in filled) == 1
    assert PROTEIN.transmission(min(filled)) > 1.1 * PROTEIN.transmission()


@pytest.mark.parametrize("frames", [1, 5])
def test_short_series_have_no_mishaps(frames: int) -> None:
    assert PROTEIN.conditions(frames) == [Condition()] * frames


@pytest.mark.parametrize("frames", [6, 7, 12, 100])
def test_there_is_one_condition_for_each_frame(frames: int) -> None:
    for sample in SAMPLES:
        assert len(sample.conditions(frames)) == frames


def test_transmission_follows_the_law_of_absorption() -> None:
    sample = Sample(
        name="x", title="x", matrix=water, thickness_cm=0.2, attenuation_per_cm=3.0, exposure_s=1.0
    )
    assert sample.transmission() == pytest.approx(np.exp(-0.6))
    assert sample.transmission(0.5) == pytest.approx(np.exp(-0.3))


def test_the_beam_decays_until_the_ring_is_refilled() -> None:
    beam = Beam(photons_per_s=1e6, drift=0.1, refill_frames=4)
    photons = [beam.photons(number, exposure_s=2.0) for number in range(5)]
    assert photons[0] == photons[4] == 2e6
    assert photons[0] > photons[1] > photons[2] > photons[3] > 0.9 * 2e6


def test_an_impossible_condition_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="filling"):
        Condition(filling=1.5)
