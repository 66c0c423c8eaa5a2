"""A series frame by frame: the same numbers as in the end, as soon as the buffer is known."""

import numpy as np
import pytest
from small_elution import Q, series

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import analyse_elution
from h5xs_bluesky.reduction.chromatography.running import ElutionPoint, RunningElution

FRAMES = 200


def run(running: RunningElution, frames: int = FRAMES) -> list[ElutionPoint]:
    measured = series(FRAMES, counts=0.01).frames
    return [
        running.add(
            measured.curves[number],
            beam=measured.beam[number],
            beam_sigma=measured.beam_sigma[number],
        )
        for number in range(frames)
    ]


@pytest.fixture(scope="module")
def whole() -> tuple[RunningElution, list[ElutionPoint]]:
    running = RunningElution(Q)
    return running, run(running)


def test_each_frame_has_its_radius_at_once_and_the_end_is_that_of_offline(
    whole: tuple[RunningElution, list[ElutionPoint]],
) -> None:
    running, points = whole
    rg = np.array([point.rg for point in points])
    final = running.finish()
    offline = analyse_elution(series(FRAMES, counts=0.01).frames)
    for name in ("intensity", "rg", "i0", "buffer_frames", "sample_frames"):
        np.testing.assert_array_equal(getattr(final, name), getattr(offline, name))
    np.testing.assert_array_equal(
        np.array([point.intensity for point in points]), offline.intensity
    )
    sample = final.sample_frames
    assert np.abs(rg[sample, 0] - final.rg[sample, 0]).max() < 0.5 * final.rg[sample, 1].min()
    assert np.isfinite(rg[:, 0]).sum() >= 0.9 * np.isfinite(final.rg[:, 0]).sum()


def test_the_buffer_grows_and_stops_where_something_elutes(
    whole: tuple[RunningElution, list[ElutionPoint]],
) -> None:
    _, points = whole
    sizes = [point.buffer for point in points]
    assert sizes[5] == 0
    assert 10 <= sizes[20] <= 21
    assert sizes[60] > sizes[20]
    aggregate = int(series(FRAMES).amounts[:, 3].argmax())
    assert max(sizes[aggregate:]) <= aggregate


def test_before_the_buffer_is_known_there_is_only_the_intensity() -> None:
    (first,) = run(RunningElution(Q), 1)
    assert np.isfinite(first.intensity).all()
    assert np.isnan([*first.rg, *first.i0]).all()


def test_a_missing_frame_has_nothing_and_disturbs_nothing() -> None:
    running = RunningElution(Q)
    point = running.add(np.full((2, len(Q)), np.nan), beam=np.nan, beam_sigma=np.nan)
    assert np.isnan([*point.intensity, *point.rg, *point.i0]).all()
    points = run(running, 115)
    assert np.isfinite(points[112].rg[0])
    assert len(running) == 116


def test_a_series_that_is_cut_short_is_an_error_in_the_end() -> None:
    running = RunningElution(Q)
    run(running, 40)
    with pytest.raises(ReductionError, match="expected a peak"):
        running.finish()
