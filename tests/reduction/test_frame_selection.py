"""Frames are selected as stated: whole series of simulated frames through the real reduction.

The environment variable H5XS_SERIES sets how many undamaged series are judged; 500 by default.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from simulated_frames import simulate, truth

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.similarity import SelectionOptions

SERIES = int(os.environ.get("H5XS_SERIES", "500"))
FRAMES = 10
BINS = 120
NOISE = 0.002  # of a monitor's reading, relative

Parts = dict[str, Accumulators]


def sample(parts: Parts, trans: NDArray[np.float64]) -> ReducedSample:
    count = len(trans)
    return ReducedSample(
        detectors=parts,
        transmitted=trans,
        incident=np.full(count, np.nan),
        superseded=np.zeros(count, bool),
    )


def selected(reduced: ReducedSample, **options: float) -> ReducedSample:
    return reduced.averaged(
        replace(SelectionOptions(), **options),
        q=truth(30.0, bins=BINS).integrators["_SAXS"].qgrid.centers,
        relative_uncertainty=NOISE,
    )


def readings(beams: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return 800 * beams * rng.normal(1, NOISE, beams.size)


def damaged(beams: NDArray[np.float64], harm: NDArray[np.float64], *, seed: int) -> Parts:
    """Simulate frames of which a part, `harm`, scatters as aggregates do: steeply."""
    rng = np.random.default_rng(seed)
    intact = simulate(truth(30.0, bins=BINS), beams.size, rng=rng, beams=beams)
    steep = simulate(truth(30.0, slope=20.0, bins=BINS), beams.size, rng=rng, beams=beams * harm)
    return {
        name: replace(
            intact[name],
            signal=intact[name].signal + steep[name].signal,
            variance=intact[name].variance + steep[name].variance,
        )
        for name in intact
    }


@pytest.mark.parametrize("significance", [0.01, 0.05])
def test_undamaged_series_lose_frames_as_rarely_as_stated(significance: float) -> None:
    """Of 500 series with monitor noise, drift and counting statistics, no more than stated."""
    rng = np.random.default_rng(1)
    beams = np.tile(np.linspace(1.02, 0.98, FRAMES), SERIES)
    parts = {n: p.to_array() for n, p in series_of_frames().items()}
    trans = readings(beams, rng)
    lost = 0
    for number in range(SERIES):
        here = slice(number * FRAMES, (number + 1) * FRAMES)
        one = {name: Accumulators.from_array(array[here]) for name, array in parts.items()}
        found = selected(sample(one, trans[here]), significance=significance)
        assert found.selection is not None
        lost += not found.selection.kept.all()
    error = np.sqrt(significance * (1 - significance) / SERIES)
    assert lost / SERIES < significance + 3 * error


_SERIES: Parts = {}


def series_of_frames() -> Parts:
    if not _SERIES:
        beams = np.tile(np.linspace(1.02, 0.98, FRAMES), SERIES)
        _SERIES.update(
            simulate(truth(10.0, bins=BINS), beams.size, rng=np.random.default_rng(0), beams=beams)
        )
    return _SERIES


@pytest.mark.parametrize("seed", range(5))
def test_bubble_is_found_by_its_transmission(seed: int) -> None:
    beams = np.linspace(1.02, 0.98, FRAMES)
    rng = np.random.default_rng(seed)
    parts = simulate(truth(30.0, bins=BINS), FRAMES, rng=rng, beams=beams * (np.arange(10) != 4))
    beams[4] *= 1.25  # nothing in the way
    found = selected(sample(parts, readings(beams, np.random.default_rng(seed))))
    assert found.selection is not None
    assert found.selection.reason == ("",) * 4 + ("transmission",) + ("",) * 5


@pytest.mark.parametrize("seed", range(5))
def test_damaged_tail_is_found(seed: int) -> None:
    """The last third aggregates, up to 40 % of the scattering at low angles."""
    harm = np.concatenate([np.zeros(8), np.linspace(0.1, 0.4, 4)])
    beams = np.ones(12)
    parts = damaged(beams, harm, seed=seed)
    found = selected(sample(parts, readings(beams, np.random.default_rng(seed))))
    assert found.selection is not None
    assert found.selection.kept[:8].all()
    assert not found.selection.kept[8:].any()
    assert set(found.selection.reason[8:]) == {"cormap"}


@pytest.mark.parametrize("seed", range(5))
def test_beam_dump_is_found_and_what_came_before_it_is_averaged(seed: int) -> None:
    """The monitor shows it; without monitors, the curves do: 1 % of the beam is left."""
    beams = np.where(np.arange(12) < 8, 1.0, 0.01)
    parts = simulate(truth(30.0, bins=BINS), 12, rng=np.random.default_rng(seed), beams=beams)
    for trans in (readings(beams, np.random.default_rng(seed)), np.full(12, np.nan)):
        found = selected(sample(parts, trans))
        assert found.selection is not None
        assert found.selection.kept.tolist() == [True] * 8 + [False] * 4


def test_series_that_is_mostly_damaged_keeps_what_agrees() -> None:
    """Nothing tells which of two states is the right one: the larger group is kept."""
    harm = np.array([0.0] * 4 + [0.4] * 8)
    found = selected(sample(damaged(np.ones(12), harm, seed=0), np.full(12, np.nan)))
    assert found.selection is not None
    assert found.selection.kept.tolist() == [False] * 4 + [True] * 8


def test_distance_is_one_for_frames_that_agree_and_can_be_limited() -> None:
    """The largest distance is a limit of one's own, whatever the significance."""
    harm = np.concatenate([np.zeros(10), [0.02, 0.3]])
    parts = damaged(np.ones(12), harm, seed=3)
    trans = np.full(12, np.nan)
    found = selected(sample(parts, trans)).selection
    assert found is not None
    others = np.delete(np.arange(10), found.reference)
    assert found.distance[others].mean() == pytest.approx(1, abs=0.25)
    assert np.isnan(found.distance[found.reference])
    assert found.distance[11] > 10
    limited = selected(sample(parts, trans), significance=1e-9, max_distance=8.0).selection
    assert limited is not None
    assert limited.reason[11] in ("distance", "cormap")
    assert limited.kept[:10].all()
    strict = selected(sample(parts, trans), significance=1e-9, max_distance=0.2).selection
    assert strict is not None
    assert set(np.delete(strict.reason, strict.reference)) <= {"distance", "cormap"}
