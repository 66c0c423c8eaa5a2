"""A series behind a column from its file: `process_sec`, `get_sec`, `plot_sec`."""

import logging
import shutil
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pytest
from measured_column import FRAMES, MeasuredColumn
from small_beamline import run_documents, small_frames, write_experiment

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.api.verify import verify
from h5xs_bluesky.errors import FileFormatError, ReductionError, SampleNotFoundError
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions

NUMBERS = ("intensity", "rg", "i0", "buffer_frames", "sample_frames")


@pytest.fixture
def experiment(column: MeasuredColumn, tmp_path: Path) -> Path:
    """A copy of the measured experiment, to write into."""
    folder = shutil.copytree(column.file.parent, tmp_path / "experiment")
    return folder / "experiment.h5"


def test_offline_and_live_give_the_same_numbers(column: MeasuredColumn, experiment: Path) -> None:
    found, live = h5xs(experiment).process_sec(), column.follower.chromatogram
    assert live is not None
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(found, name), getattr(live, name))
    assert found.peaks == live.peaks


def test_the_curve_is_that_of_the_live_run_and_has_the_proteins_radius(
    column: MeasuredColumn, experiment: Path
) -> None:
    dt = h5xs(experiment)
    dt.process_sec("column")
    curve = dt.get_d1("column", "subtracted")
    ((_, live),) = column.events("subtracted")
    np.testing.assert_allclose(curve.data, live["I"], atol=1e-9 * np.nanmax(live["I"]))
    np.testing.assert_allclose(curve.err, live["sigma"], rtol=1e-9)
    radius, tolerance = column.setup.guinier_radius_angstrom
    fit = curve.guinier()
    assert abs(fit.rg - radius) < tolerance
    assert fit.rg_sigma < 0.2


def test_what_is_found_is_true(column: MeasuredColumn, experiment: Path) -> None:
    found = h5xs(experiment).process_sec()
    assert found.main is not None
    assert abs(found.main.position - column.protein.argmax()) < 2
    buffer, sample = found.buffer_frames, found.sample_frames
    assert not (buffer & sample).any()
    assert max(column.protein[buffer].max(), column.aggregate[buffer].max()) < 1e-6
    assert column.aggregate[sample].max() < 0.01
    assert sample.sum() >= FRAMES // 24


def test_results_are_saved_and_verified_and_exported(experiment: Path, tmp_path: Path) -> None:
    found = h5xs(experiment).process_sec()
    dt = h5xs(experiment)
    stored = dt.get_sec("column")
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(stored, name), getattr(found, name))
    assert (stored.peaks, stored.options, stored.beam) == (found.peaks, found.options, found.beam)
    (verified,) = verify(experiment)
    assert (verified.outcome, verified.differences) == ("identical", {})
    (path,) = dt.export_d1s("column", tmp_path / "out")
    text = path.read_text()
    count = found.buffer_frames.sum()
    first, last = np.flatnonzero(found.buffer_frames)[[0, -1]]
    assert f"buffer: {count} of the frames {first} to {last} of column" in text
    np.testing.assert_allclose(np.loadtxt(path)[:, 1], dt.get_d1("column", "subtracted").data)
    dt.export_nxcansas("column", tmp_path / "out")


def test_a_packed_file_has_it_all(experiment: Path, tmp_path: Path) -> None:
    found = h5xs(experiment).process_sec()
    pack(experiment, tmp_path / "packed.h5")
    packed = h5xs(tmp_path / "packed.h5")
    np.testing.assert_array_equal(packed.get_sec("column").rg, found.rg)
    assert verify(tmp_path / "packed.h5")[0].outcome == "identical"


def test_given_frames_win_and_are_remembered(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.process_sec(buffer_frames=range(5, 25), sample_frames=[FRAMES // 2 + 8, FRAMES // 2 + 9])
    stored = h5xs(experiment).get_sec()
    assert np.flatnonzero(stored.buffer_frames).tolist() == list(range(5, 25))
    assert stored.sample_frames.sum() == 2
    assert (stored.buffer_given, stored.sample_given) == (True, True)
    assert verify(experiment)[0].outcome == "identical"


def test_an_average_of_other_frames_drops_the_chromatogram(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.process_sec()
    dt.average_d1s("column", selection=np.arange(FRAMES) > 20)
    with pytest.raises(ReductionError, match=r"column: expected a chromatogram.*process_sec"):
        dt.get_sec("column")
    assert "subtracted" not in h5xs(experiment).d1s.get("column", {})


def test_frames_reduced_again_keep_it(experiment: Path) -> None:
    dt = h5xs(experiment)
    found = dt.process_sec()
    dt.load_data()
    np.testing.assert_array_equal(dt.get_sec().rg, found.rg)


def test_options_are_kept_with_the_result(experiment: Path) -> None:
    options = ChromatographyOptions(q_range=(0.015, 0.2), most_buffer=20)
    h5xs(experiment).process_sec(options=options)
    stored = h5xs(experiment).get_sec()
    assert stored.options == options
    assert stored.buffer_frames.sum() <= 20


def test_an_end_above_the_buffer_is_told(
    experiment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    top = FRAMES // 2 + FRAMES // 15
    with caplog.at_level(logging.WARNING):
        h5xs(experiment, read_only=True).process_sec(
            buffer_frames=range(top - 2, top + 2), sample_frames=range(10)
        )
    assert "below its buffer" in caplog.text


def test_the_picture_shows_frames_ranges_curve_and_fit(experiment: Path) -> None:
    dt = h5xs(experiment)
    found = dt.process_sec()
    figure = dt.plot_sec("column")
    frames, curve, guinier, radius = figure.axes
    assert frames.get_xlabel() == "frame"
    assert frames.get_ylabel().startswith("I(0) (")
    assert radius.get_ylabel() == "Rg (Å)"
    assert curve.get_xlabel() == "q (Å⁻¹)"
    assert guinier.get_xlabel() == "q² (10⁻³ Å⁻²)"
    legend = [text.get_text() for text in frames.get_legend().get_texts()]
    sample = np.flatnonzero(found.sample_frames)
    assert f"sample, {len(sample)} frames from {sample[0]} to {sample[-1]}" in legend
    plt.close(figure)


def test_a_damaged_chromatogram_is_named(experiment: Path) -> None:
    h5xs(experiment).process_sec()
    with h5py.File(experiment.parent / "column" / "processed.h5", "r+") as file:
        file["reduction/chromatogram"].attrs["configuration"] = "nonsense"
    with pytest.raises(FileFormatError, match=r"reduction/chromatogram.*process_sec"):
        h5xs(experiment).get_sec()


@pytest.mark.parametrize(
    ("frames", "message", "why"),
    [
        (20, "water: expected a peak in the series, found none", "buffer alone"),
        (1, "water: expected a series of at least 3 frames", "one frame"),
    ],
)
def test_what_is_no_series_is_refused(tmp_path: Path, frames: int, message: str, why: str) -> None:
    dt = h5xs(write_experiment(tmp_path, run_documents(small_frames(frames))))
    with pytest.raises(ReductionError, match=message):
        dt.process_sec("water")
    with pytest.raises(ReductionError, match="water: expected a chromatogram, found none"):
        dt.plot_sec("water")
    with pytest.raises(SampleNotFoundError, match="nothing"):
        dt.process_sec("nothing")


def test_frames_have_to_be_reduced_first(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, run_documents([]))
    with pytest.raises(ReductionError, match=r"water: expected reduced frames.*load_data"):
        h5xs(path).process_sec("water")
