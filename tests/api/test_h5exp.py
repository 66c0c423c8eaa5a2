"""`h5exp`: detectors saved, read, and calibrated."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline
from small_standard import (
    SAXS_PLACE,
    WAXS_PLACE,
    standard_beamline,
    standard_frames,
)

from h5xs_bluesky import h5exp, h5xs
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import (
    ConfigurationError,
    FileFormatError,
    FileInUseError,
    ReductionError,
    RefusedError,
    SampleNotFoundError,
)
from h5xs_bluesky.io import calibration_files
from h5xs_bluesky.io.geometry_files import read_poni
from h5xs_bluesky.io.replace import FileLock
from h5xs_bluesky.reduction.calibration.cones import beam_center_px
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.qgrid import QGrid

mpl.use("agg")

TRUTHS = {"_SAXS": SAXS_PLACE, "_WAXS": WAXS_PLACE}


def measure(folder: Path, beamline: Beamline, *frames: dict[str, Any], name: str) -> Path:
    live = LiveReduction(beamline, folder)
    try:
        for kind, doc in run_documents(frames, sample_name=name):
            live(kind, doc)
        assert live.wait(30)
    finally:
        live.close()
    return folder / "experiment.h5"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with a standard of two frames, and a sample that shows nothing."""
    folder = tmp_path_factory.mktemp("measured")
    measure(folder, standard_beamline(), *standard_frames(2), name="agbh")
    dark = {key: 0 * frame for key, frame in standard_frames()[0].items()}
    return measure(folder, standard_beamline(), dark, name="dark")


@pytest.fixture
def experiment(measured: Path, tmp_path: Path) -> Path:
    shutil.copytree(measured.parent, tmp_path / "experiment")
    return tmp_path / "experiment" / "experiment.h5"


@pytest.fixture
def unchanged(experiment: Path) -> Iterator[Path]:
    """An experiment that must be the same afterwards, and have no file more."""

    def state() -> dict[str, Any]:
        return {
            str(path): path.read_bytes()
            for path in experiment.parent.iterdir()
            if path.is_file() and path.suffix != ".lock"
        }

    before = state()
    yield experiment
    assert state() == before


def is_true(geometry: Geometry, extension: str, *, rel: float = 5e-4) -> bool:
    truth = TRUTHS[extension]
    return bool(
        geometry.distance_m == pytest.approx(truth.distance_m, rel=rel)
        and beam_center_px(geometry) == pytest.approx(beam_center_px(truth), abs=0.1)
    )


# -- saving and reading


def test_new_file_holds_detectors_and_qgrid_and_nothing_else(tmp_path: Path) -> None:
    beamline = small_beamline()
    path = tmp_path / "new" / "exp.h5"
    h5exp(path, [beamline.detectors, beamline.qgrid.centers])
    with h5py.File(path) as file:
        assert list(file) == []
        assert [d["extension"] for d in json.loads(file.attrs["detectors"])] == ["_SAXS", "_WAXS"]
    found = h5exp(path)
    assert [d.geometry for d in found.detectors] == [d.geometry for d in beamline.detectors]
    np.testing.assert_array_equal(found.read_detectors(), beamline.qgrid.centers)
    assert found.samples == []


def test_detectors_propagate_to_other_objects(tmp_path: Path) -> None:
    beamline = small_beamline()
    setup = h5exp(tmp_path / "exp.h5", [beamline.detectors, beamline.qgrid])
    moved = [replace(d, fix_scale=3.0) for d in setup.detectors]
    setup.detectors = moved
    setup.qgrid = [0.1, 0.2, 0.3]
    assert h5xs(tmp_path / "exp.h5").detectors[0].fix_scale == 1.0
    setup.save_detectors()
    other = h5xs(tmp_path / "exp.h5")
    assert [d.fix_scale for d in other.detectors] == [3.0, 3.0]
    assert other.qgrid == QGrid.from_centers([0.1, 0.2, 0.3])


def test_reading_detectors_gives_up_what_was_not_saved(tmp_path: Path) -> None:
    beamline = small_beamline()
    setup = h5exp(tmp_path / "exp.h5", [beamline.detectors, beamline.qgrid])
    setup.detectors = setup.detectors[:1]
    setup.read_detectors()
    assert len(setup.detectors) == 2


def test_saving_into_an_experiment_keeps_samples_and_the_rest(experiment: Path) -> None:
    before = h5xs(experiment)
    h5exp(experiment, [before.detectors[:1], before.qgrid])
    after = h5xs(experiment)
    assert after.samples == before.samples == ["agbh", "dark"]
    assert [d.extension for d in after.detectors] == ["_SAXS"]
    with h5py.File(experiment) as file:
        assert json.loads(file.attrs["beamline"])["monitors"]["transmitted"] == "em2"
        assert file.attrs["trans"] == "0,em2"


def test_open_file_is_the_new_one_after_saving(experiment: Path) -> None:
    setup = h5exp(experiment)
    setup.explicit_open()
    setup.detectors = setup.detectors[:1]
    setup.save_detectors()
    assert setup.fh5 is not None
    assert len(json.loads(setup.fh5.attrs["detectors"])) == 1
    setup.explicit_close()


def test_experiment_made_for_its_detectors_gets_the_rest_from_the_first_run(
    tmp_path: Path,
) -> None:
    beamline = standard_beamline()
    h5exp(tmp_path / "experiment.h5", [beamline.detectors[:1], beamline.qgrid])
    path = measure(tmp_path, beamline, standard_frames()[0], name="agbh")
    dt = h5xs(path)
    assert [d.extension for d in dt.detectors] == ["_SAXS"]
    assert dt.get_d1("agbh").trans == 800.0


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"experiment file at .*nothing.h5"):
        h5exp(tmp_path / "nothing.h5")


def test_file_without_detectors_is_told(tmp_path: Path) -> None:
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(FileFormatError, match="root attribute 'detectors'"):
        h5exp(tmp_path / "empty.h5")


def test_file_that_holds_samples_itself_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "packed.h5"
    with h5py.File(path, "w") as file:
        file.create_group("lysozyme")
    before = path.read_bytes()
    beamline = small_beamline()
    with pytest.raises(RefusedError, match="'lysozyme' in the file itself"):
        h5exp(path, [beamline.detectors, beamline.qgrid])
    assert path.read_bytes() == before


def test_read_only_experiment_is_not_changed(unchanged: Path) -> None:
    setup = h5exp(unchanged, read_only=True)
    for change in (
        setup.save_detectors,
        lambda: setup.recalibrate("agbh"),
        lambda: h5exp(unchanged, [setup.detectors, setup.qgrid], read_only=True),
    ):
        with pytest.raises(RefusedError, match="read-only"):
            change()


def test_setup_of_other_than_detectors_and_qgrid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[detectors, qgrid\], found 1 items"):
        h5exp(tmp_path / "exp.h5", [small_beamline().detectors])


# -- recalibrating


def test_both_detectors_are_found_and_saved(experiment: Path) -> None:
    found = h5exp(experiment).recalibrate("agbh", tilt=True)
    assert sorted(found) == ["_SAXS", "_WAXS"]
    saved = {d.extension: d for d in h5xs(experiment).detectors}
    for extension, one in found.items():
        assert is_true(one.geometry, extension)
        assert saved[extension].geometry == one.geometry
        assert saved[extension].fix_scale == one.detector.fix_scale
        assert one.frames == 2
    ratio = found["_SAXS"].geometry.distance_m / found["_WAXS"].geometry.distance_m
    assert saved["_WAXS"].fix_scale == pytest.approx(ratio**2, rel=1e-12)
    assert saved["_SAXS"].fix_scale == 1.0


def test_what_was_found_lies_beside_the_experiment(experiment: Path) -> None:
    one = h5exp(experiment).recalibrate("agbh", detectors="_SAXS")["_SAXS"]
    assert one.files is not None
    assert read_poni(one.files.poni) == one.geometry
    record = json.loads(one.files.record.read_text(encoding="utf-8"))
    assert record["calibrant"] == "AgBh"
    assert record["parameters"] == ["distance_m", "poni1_m", "poni2_m"]
    assert record["geometry"]["distance_m"] == one.geometry.distance_m
    np.testing.assert_array_equal(record["covariance"], one.result.fit.covariance)
    assert [ring["ring"] for ring in record["rings"]][:3] == [1, 2, 3]
    assert max(abs(ring["relative"]) for ring in record["rings"]) < 0.005
    assert min(mpl.image.imread(one.files.picture).shape[:2]) > 500


def test_second_calibration_leaves_the_files_of_the_first(experiment: Path) -> None:
    setup = h5exp(experiment)
    for _ in range(2):
        setup.recalibrate("agbh", detectors="_SAXS")
    assert len(list(experiment.parent.glob("_SAXS.calibration.*.poni"))) == 2


def test_next_run_is_reduced_with_the_new_detectors(experiment: Path) -> None:
    old = {d.extension: d.geometry for d in h5xs(experiment).detectors}
    live = LiveReduction(standard_beamline(), experiment.parent)
    try:
        h5exp(experiment).recalibrate("agbh", tilt=True)
        for kind, doc in run_documents(standard_frames(), sample_name="next"):
            live(kind, doc)
        assert live.wait(30)
    finally:
        live.close()
    dt = h5xs(experiment)
    provenance = json.loads(h5py.File(experiment)["next/reduction/provenance/configuration"][()])[
        "detectors"
    ]
    for detector in dt.detectors:
        used = provenance[detector.extension]["geometry"]
        assert used["distance_m"] == detector.geometry.distance_m
        assert used["distance_m"] != old[detector.extension].distance_m
    assert ring_position(dt, "next") == pytest.approx(2 * np.pi / 58.38, rel=2e-3)
    assert ring_position(dt, "agbh") != pytest.approx(2 * np.pi / 58.38, rel=1e-2)


def ring_position(dt: h5xs, sample: str) -> float:
    """q of the maximum near silver behenate's first ring."""
    curve = dt.get_d1(sample, "_SAXS")
    near = (curve.qgrid > 0.09) & (curve.qgrid < 0.125)
    weight = np.where(near, curve.data - np.nanmedian(curve.data[near]), 0.0).clip(0)
    return float(np.nansum(weight * curve.qgrid) / np.nansum(weight))


def test_scale_that_somebody_fixed_stays(experiment: Path) -> None:
    setup = h5exp(experiment)
    saxs, waxs = setup.detectors
    setup.detectors = [saxs, replace(waxs, fix_scale=2.5)]
    setup.save_detectors()
    found = setup.recalibrate("agbh", tilt=True)
    assert found["_WAXS"].detector.fix_scale == 2.5


def test_one_detector_alone_can_be_calibrated(experiment: Path) -> None:
    before = {d.extension: d for d in h5xs(experiment).detectors}
    found = h5exp(experiment).recalibrate("agbh", detectors=["_SAXS"])
    assert list(found) == ["_SAXS"]
    after = {d.extension: d for d in h5xs(experiment).detectors}
    assert is_true(after["_SAXS"].geometry, "_SAXS")
    assert after["_WAXS"].geometry == before["_WAXS"].geometry
    assert after["_WAXS"].fix_scale != before["_WAXS"].fix_scale  # relative to the first


def test_dry_run_changes_nothing(unchanged: Path) -> None:
    setup = h5exp(unchanged, read_only=True)
    found = setup.recalibrate("agbh", detectors="_SAXS", dry_run=True)
    assert is_true(found["_SAXS"].geometry, "_SAXS")
    assert found["_SAXS"].files is None
    assert not is_true(setup.detectors[0].geometry, "_SAXS")


@pytest.mark.parametrize(
    ("beam", "expected_m"),
    [
        ({"energy": 15.0}, 0.8265613228880018e-10),
        ({"energy": None}, 1e-10),
    ],
    ids=["energy", "not known"],
)
def test_wavelength_is_taken_over_and_the_distance_makes_up_for_it(
    unchanged: Path, beam: dict[str, float], expected_m: float
) -> None:
    found = h5exp(unchanged).recalibrate("agbh", detectors="_SAXS", dry_run=True, **beam)
    geometry = found["_SAXS"].geometry
    assert geometry.wavelength_m == pytest.approx(expected_m, rel=1e-12)
    product = geometry.wavelength_m * geometry.distance_m
    assert product == pytest.approx(1e-10 * SAXS_PLACE.distance_m, rel=0.005)


def test_wavelength_holds_for_all_detectors(experiment: Path) -> None:
    h5exp(experiment).recalibrate("agbh", wavelength=0.99, detectors="_SAXS")
    lengths = [d.geometry.wavelength_m for d in h5xs(experiment).detectors]
    assert lengths == pytest.approx([0.99e-10, 0.99e-10])


def test_single_frame_and_background_can_be_named(unchanged: Path) -> None:
    background = {"_SAXS": np.ones(SAXS_PLACE.shape)}
    found = h5exp(unchanged).recalibrate(
        "agbh", detectors="_SAXS", frn=1, bkg=background, dry_run=True
    )
    assert found["_SAXS"].frames == 1
    assert is_true(found["_SAXS"].geometry, "_SAXS")


def test_standard_may_lie_in_another_file(unchanged: Path, tmp_path: Path) -> None:
    other = measure(tmp_path / "other", standard_beamline(), standard_frames()[0], name="behenate")
    for how in ({}, {"sn": "behenate"}):
        found = h5exp(unchanged).recalibrate(other, detectors="_SAXS", dry_run=True, **how)
        assert is_true(found["_SAXS"].geometry, "_SAXS")
        assert found["_SAXS"].standard == f"{other}: behenate"


def test_standard_may_lie_in_a_file_of_other_origin(unchanged: Path, tmp_path: Path) -> None:
    path = tmp_path / "ancestor.h5"
    with h5py.File(path, "w") as file:
        sample = file.create_group("AgBH")
        sample.attrs["start"] = '{"uid": "x", "time": 1.0}'
        sample["primary/data/saxs_image"] = standard_frames()[0]["saxs_image"][None, None]
    found = h5exp(unchanged).recalibrate(path, detectors="_SAXS", dry_run=True)
    assert is_true(found["_SAXS"].geometry, "_SAXS")


def test_standard_may_be_a_picture(unchanged: Path, tmp_path: Path) -> None:
    path = tmp_path / "agbh.tif"
    fabio.tifimage.TifImage(data=standard_frames()[0]["saxs_image"]).write(str(path))
    found = h5exp(unchanged).recalibrate(path, detectors="_SAXS", dry_run=True)
    assert is_true(found["_SAXS"].geometry, "_SAXS")
    with pytest.raises(ConfigurationError, match="one detector that took this picture"):
        h5exp(unchanged).recalibrate(path)


def test_ancestors_arguments_are_taken(unchanged: Path) -> None:
    found = h5exp(unchanged).recalibrate(
        unchanged, 12.4, [5, 20], False, {"_SAXS": "Pilatus1M"}, {}, "/tmp",
        detectors="_SAXS", dry_run=True,
    )  # fmt: skip
    assert found["_SAXS"].standard.endswith(": agbh")


def test_figure_can_be_drawn_anew(unchanged: Path) -> None:
    found = h5exp(unchanged).recalibrate("agbh", detectors="_SAXS", dry_run=True)
    figure = found["_SAXS"].plot()
    axes = {each.get_xlabel(): each for each in figure.axes}
    assert {"column (pixels)", "q (Å⁻¹)", "azimuth φ (°)"} <= set(axes)
    result = found["_SAXS"].result
    row, column = result.beam_center_px
    first, second = (
        places[result.fit.used] / size - 0.5
        for places, size in zip(
            (result.fit.points.first_m, result.fit.points.second_m),
            result.geometry.pixel_size_m,
            strict=True,
        )
    )
    counter_clockwise = np.degrees(np.arctan2(row - first, second - column))
    shown = [each for each in axes["azimuth φ (°)"].get_lines() if each.get_marker() == "."]
    drawn = np.concatenate([each.get_xdata() for each in shown])
    assert np.allclose(np.sort(drawn), np.sort(counter_clockwise), atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fn_std": "sugar"}, SampleNotFoundError, r"one of the samples \['agbh', 'dark'\]"),
        ({"fn_std": "nowhere.h5", "sn": "agbh"}, ConfigurationError, "expected a file with"),
        ({"fn_std": "dark"}, ReductionError, "dark: nothing is changed: _SAXS: .*_WAXS: "),
        ({"energy": 30}, ConfigurationError, r"from 5 to 20 keV \(e_range\), found 30 keV"),
        ({"energy": 10, "wavelength": 1.0}, ConfigurationError, "either energy or wavelength"),
        ({"wavelength": -1.0}, ConfigurationError, "positive wavelength"),
        ({"calibrant": "sugar"}, ConfigurationError, "one of pyFAI's calibrants"),
        ({"detectors": "_MAXS"}, ConfigurationError, r"\['_SAXS', '_WAXS'\], found \['_MAXS'\]"),
        ({"detectors": []}, ConfigurationError, "expected some of the detectors"),
        ({"frn": 7}, IndexError, "agbh _SAXS: expected a frame below 2, found 7"),
        ({"bkg": {"_MAXS": 0}}, ConfigurationError, r"found \['_MAXS'\]"),
        (
            {"bkg": {"_SAXS": np.zeros((3, 3))}},
            ReductionError,
            "agbh _SAXS: expected a background of shape",
        ),
    ],
)
def test_calibration_that_cannot_be_is_refused_and_changes_nothing(
    unchanged: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    setup = h5exp(unchanged)
    before = [d.geometry for d in setup.detectors]
    with pytest.raises(error, match=message):
        setup.recalibrate(**{"fn_std": "agbh", **arguments})
    assert [d.geometry for d in setup.detectors] == before


def test_detector_without_rings_stops_the_others_and_is_named(
    unchanged: Path, tmp_path: Path
) -> None:
    frames = standard_frames()[0]
    frames["waxs_image"] = 0 * frames["waxs_image"]
    other = measure(tmp_path / "other", standard_beamline(), frames, name="agbh")
    with pytest.raises(ReductionError, match=r"_WAXS: .*; _SAXS could be calibrated alone"):
        h5exp(unchanged).recalibrate(other)


def test_detector_without_frames_is_named(unchanged: Path, tmp_path: Path) -> None:
    frames = {"saxs_image": standard_frames()[0]["saxs_image"]}
    other = measure(tmp_path / "other", standard_beamline(), frames, name="agbh")
    with pytest.raises(ReductionError, match="agbh _WAXS: expected frames in primary/data/waxs"):
        h5exp(unchanged).recalibrate(other)


def test_frames_of_another_shape_are_refused(unchanged: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.tif"
    fabio.tifimage.TifImage(data=np.ones((20, 30), np.int32)).write(str(path))
    with pytest.raises(ReductionError, match="_SAXS: expected a frame of shape"):
        h5exp(unchanged).recalibrate(path, detectors="_SAXS")


def locked(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr("h5xs_bluesky.io.experiment._LOCK_TIMEOUT_S", 0.05)
    lock = FileLock(experiment.parent / "experiment.lock")
    lock.acquire()
    return lock.release


def full_disk(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def fail(geometry: Geometry) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibration_files, "poni_text", fail)
    return lambda: None


@pytest.mark.parametrize(
    ("fault", "error"), [(locked, FileInUseError), (full_disk, OSError)], ids=["lock", "disk"]
)
def test_calibration_that_cannot_be_saved_leaves_no_trace(
    unchanged: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[..., Callable[[], None]],
    error: type[Exception],
) -> None:
    setup = h5exp(unchanged)
    before = [d.geometry for d in setup.detectors]
    end = fault(unchanged, monkeypatch)
    with pytest.raises(error):
        setup.recalibrate("agbh", detectors="_SAXS")
    end()
    assert [d.geometry for d in setup.detectors] == before
