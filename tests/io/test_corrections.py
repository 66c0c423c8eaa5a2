"""Flats and darks are kept beside the experiment's file, and only taken as what they were."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_beamline import SAXS, SHAPES, WAXS, run_documents, small_beamline, small_frames

from h5xs_bluesky import Beamline, h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.config import ReductionOptions
from h5xs_bluesky.errors import ConfigurationError, FileFormatError
from h5xs_bluesky.io.corrections import digest, load_corrections, save_corrections


def corrected_beamline(**changes: Any) -> Beamline:
    """Two detectors, one with a flat and a dark."""
    beamline = small_beamline()
    saxs, waxs = beamline.detectors
    rng = np.random.default_rng(0)
    saxs = replace(
        saxs,
        flat=rng.uniform(0.8, 1.2, SHAPES[SAXS]),
        dark=rng.uniform(0, 2, SHAPES[SAXS]),
        dark_variance=rng.uniform(0, 0.1, SHAPES[SAXS]),
    )
    return replace(beamline, detectors=(saxs, waxs), **changes)


def test_corrections_come_back_as_they_were(tmp_path: Path) -> None:
    (saxs, waxs) = corrected_beamline().detectors
    save_corrections(tmp_path, [saxs, waxs])
    assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == [
        "dark", "dark_variance", "flat",
    ]  # fmt: skip
    digests = {name: digest(array) for name, array in saxs.corrections.items()}
    found = load_corrections(tmp_path, "_SAXS", digests)
    assert all(np.array_equal(array, found[name]) for name, array in saxs.corrections.items())


def test_file_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    detectors = corrected_beamline().detectors
    save_corrections(tmp_path, detectors)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    save_corrections(tmp_path, detectors)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda path: path.unlink(), "calibrate the detector again"),
        (lambda path: np.save(path, np.zeros((2, 2))), "found another"),
        (lambda path: np.save(path, np.array([{}])), "allow_pickle=False"),
        (lambda path: path.write_bytes(b"no array"), "expected an array"),
    ],
)
def test_file_that_is_not_what_its_digest_says_is_refused(
    tmp_path: Path, spoil: Any, word: str
) -> None:
    saxs = corrected_beamline().detectors[0]
    save_corrections(tmp_path, [saxs])
    assert saxs.flat is not None
    (path,) = tmp_path.glob("*.flat.*")
    spoil(path)
    with pytest.raises(FileFormatError, match=word):
        load_corrections(tmp_path, "_SAXS", {"flat": digest(saxs.flat)})


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 63, "Z" * 64])
def test_digest_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFormatError, match="expected the digest"):
        load_corrections(tmp_path, "_SAXS", {"flat": name})


@pytest.mark.parametrize(
    "options",
    [
        ReductionOptions(),
        ReductionOptions(splitting="bbox", polarization=0.9),
        ReductionOptions(estimator="unweighted", error_model="azimuthal", dezinger=8.0),
    ],
)
def test_live_and_offline_curves_are_the_same_with_corrections_and_options(
    tmp_path: Path, options: ReductionOptions
) -> None:
    live = LiveReduction(corrected_beamline(reduction=options), tmp_path)
    for name, doc in run_documents(small_frames(4)):
        live(name, doc)
    live.wait()
    (status,) = live.status()["runs"]
    live.close()
    assert (status["reduced"], status["errors"]) == (8, [])
    dt = h5xs(tmp_path / "experiment.h5", read_only=True)
    dt.load_d1s("water")
    names = ("_SAXS", "_WAXS", "merged")
    made_live = {name: [curve.data for curve in dt.d1s["water"][name]] for name in names}
    dt.load_data(update_only=False)
    for name in names:
        offline = [curve.data for curve in dt.d1s["water"][name]]
        assert np.array_equal(made_live[name], offline, equal_nan=True)
    plain = LiveReduction(small_beamline(reduction=options), tmp_path / "plain")
    for name, doc in run_documents(small_frames(4)):
        plain(name, doc)
    plain.wait()
    plain.close()
    other = h5xs(tmp_path / "plain" / "experiment.h5", read_only=True)
    other.load_d1s("water")
    assert not np.allclose(
        made_live["_SAXS"][0], other.d1s["water"]["_SAXS"][0].data, equal_nan=True
    )
    assert np.array_equal(
        made_live["_WAXS"][0], other.d1s["water"]["_WAXS"][0].data, equal_nan=True
    )


def test_experiment_that_was_moved_without_its_flat_says_so(tmp_path: Path) -> None:
    live = LiveReduction(corrected_beamline(), tmp_path)
    for name, doc in run_documents(small_frames(1)):
        live(name, doc)
    live.close()
    next(tmp_path.glob("_SAXS.flat.*")).unlink()
    with pytest.raises(FileFormatError, match="copy the file from where the experiment was"):
        h5xs(tmp_path / "experiment.h5")


TOML = """
[beamline]
name = "test"
[[detectors]]
extension = "_SAXS"
data_key = "x"
model = "own"
flat = "flat.npy"
dark = "dark.npz"
dark_variance = "variance.tif"
[detectors.geometry]
shape = [20, 30]
pixel_size_m = [1e-4, 1e-4]
beam_center_px = [10, 15]
distance_m = 1.0
wavelength_angstrom = 1.0
[qgrid]
linear = { start = 0.001, stop = 0.1, bins = 10 }
[reduction]
splitting = "bbox"
estimator = "unweighted"
error_model = "azimuthal"
dezinger = 6
"""


def test_flat_dark_and_options_from_toml(tmp_path: Path) -> None:
    from fabio.tifimage import TifImage

    rng = np.random.default_rng(1)
    flat, dark, variance = rng.uniform(1, 2, (3, 20, 30))
    np.save(tmp_path / "flat.npy", flat)
    np.savez(tmp_path / "dark.npz", dark)
    TifImage(data=variance.astype("f4")).write(str(tmp_path / "variance.tif"))
    (tmp_path / "beamline.toml").write_text(TOML)
    beamline = Beamline.from_toml(tmp_path / "beamline.toml")
    (detector,) = beamline.detectors
    assert np.array_equal(detector.flat, flat)
    assert np.array_equal(detector.dark, dark)
    assert np.allclose(detector.dark_variance, variance)
    options = beamline.reduction
    assert (options.splitting, options.estimator) == ("bbox", "unweighted")
    assert (options.error_model, options.dezinger) == ("azimuthal", 6.0)
    assert beamline.provenance()["detectors"]["_SAXS"]["flat_sha256"] == digest(flat)
    again = Beamline.from_mapping(
        beamline.to_mapping(), detectors=beamline.detectors, qgrid=beamline.qgrid, origin="x"
    )
    assert again.reduction == options
    (tmp_path / "flat.npy").unlink()
    with pytest.raises(ConfigurationError, match=r"detectors\[0\].flat: .*found no file"):
        Beamline.from_toml(tmp_path / "beamline.toml")


def test_detector_without_corrections_needs_no_files(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    for name, doc in run_documents(small_frames(1)):
        live(name, doc)
    live.close()
    assert not list(tmp_path.glob("*.npy"))
    assert WAXS in h5xs(tmp_path / "experiment.h5").detectors[1].data_key
