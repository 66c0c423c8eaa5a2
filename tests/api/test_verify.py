"""Results are made again from raw frames, and compared."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_beamline import SAXS, run_documents, small_beamline, small_detector, small_frames
from small_monitors import METADATA, add_readings, own_streams

from h5xs_bluesky import h5xs, schema
from h5xs_bluesky.api.verify import Verified, verify
from h5xs_bluesky.config import ReductionOptions
from h5xs_bluesky.errors import SampleNotFoundError
from h5xs_bluesky.io.py4xs_files import detectors_to_json
from h5xs_bluesky.reduction.similarity import SelectionOptions

Play = Callable[..., Path]


def outcomes(path: Path, *samples: str, **options: Any) -> dict[str, str]:
    return {found.sample: found.outcome for found in verify(path, samples or None, **options)}


def only(path: Path, sample: str) -> Verified:
    (found,) = verify(path, sample)
    return found


def test_results_of_a_live_reduction_are_made_again_to_the_last_bit(experiment: Path) -> None:
    expected = {"buffer": "identical", "lysozyme": "identical", "nothing": "nothing"}
    assert outcomes(experiment) == outcomes(experiment.parent) == expected
    found = only(experiment, "lysozyme")
    assert (found.frames, found.differences, found.changes) == (8, {}, {})


def test_results_stay_verifiable_after_a_recalibration(play: Play) -> None:
    rng = np.random.default_rng(0)
    saxs = replace(
        small_detector("_SAXS", SAXS, distance_m=0.5),
        flat=rng.uniform(0.9, 1.1, (64, 48)),
        dark=rng.uniform(0, 1, (64, 48)),
    )
    path = play(run_documents(small_frames(3)), detectors=(saxs,))
    moved = replace(
        saxs, geometry=replace(saxs.geometry, distance_m=0.6), mask=~saxs.mask, flat=None, dark=None
    )
    with h5py.File(path, "r+") as file:
        file.attrs["detectors"] = detectors_to_json([moved])
    assert h5xs(path).detectors[0].geometry.distance_m == 0.6
    assert outcomes(path) == {"water": "identical"}
    for name in path.parent.glob("*.flat.*.npy"):
        name.unlink()
    found = only(path, "water")
    assert found.outcome == "cannot"
    assert "flat" in found.reason


def test_buffer_subtracted_later_leaves_the_provenance_of_the_frames_alone(play: Play) -> None:
    sample = run_documents(small_frames(3, seed=1), sample_name="lysozyme", buffer="buffer")
    path = play(sample)
    moved = [small_detector("_SAXS", SAXS, distance_m=0.51)]
    with h5py.File(path, "r+") as file:
        file.attrs["detectors"] = detectors_to_json(moved)
    play(run_documents(small_frames(3, seed=2), sample_name="buffer"))
    with h5py.File(path) as file:
        assert "subtracted" in file["lysozyme/processed"]
    assert outcomes(path) == {"lysozyme": "identical", "buffer": "identical"}


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        ([1, 1, 0, 1, 1, 1, 1, 0], "some frames"),
        ([1] * 8, "all frames, though the statistics reject one"),
    ],
)
def test_selection_of_the_user_is_kept_when_verified(
    experiment: Path, selection: list[int], reason: str
) -> None:
    dt = h5xs(experiment)
    dt.average_d1s("lysozyme", selection=selection)
    assert outcomes(experiment, "lysozyme") == {"lysozyme": "identical"}, reason


def test_frames_measured_again_may_be_kept_by_the_user(play: Play) -> None:
    path = play(
        run_documents(small_frames(3), seq_nums=[1, 2, 2]),
        selection=SelectionOptions(method="all"),
    )
    h5xs(path).average_d1s("water", selection=[True] * 3)
    assert outcomes(path) == {"water": "identical"}


def test_averages_of_an_earlier_reduction_are_verified_with_the_options_of_then_and_now(
    experiment: Path,
) -> None:
    with h5py.File(experiment, "r+") as file:
        values = json.loads(file.attrs["beamline"])
        values["selection"]["method"] = "all"
        values["reduction"]["estimator"] = "unweighted"
        file.attrs["beamline"] = json.dumps(values)
    dt = h5xs(experiment)
    dt.average_d1s("lysozyme", filter_data=True)
    with h5py.File(experiment) as file:
        assert file["lysozyme/processed"].attrs["selected"].all()
    assert outcomes(experiment, "lysozyme") == {"lysozyme": "identical"}


def test_limit_on_the_distance_is_noted(experiment: Path) -> None:
    h5xs(experiment).average_d1s("lysozyme", filter_data=True, max_distance=2.0)
    assert outcomes(experiment, "lysozyme") == {"lysozyme": "identical"}


@pytest.mark.parametrize("sc_factor", [0.9, "auto", None])
def test_several_buffers_and_their_factor_are_verified(play: Play, sc_factor: Any) -> None:
    path = play(
        run_documents(small_frames(3, seed=1, mean=20.0), sample_name="b1"),
        run_documents(small_frames(2, seed=2, mean=20.0), sample_name="b2"),
        run_documents(small_frames(3, seed=3, mean=60.0), sample_name="s"),
        reduction=ReductionOptions(water_q_range=(0.1, 0.18)),
    )
    h5xs(path).subtract_buffer("s", sc_factor=sc_factor, buffer_list={"s": ["b1", "b2"]})
    with h5py.File(path) as file:
        assert file["s/reduction/subtracted"].attrs["buffer"] == "b1  b2"
    assert set(outcomes(path).values()) == {"identical"}


@pytest.mark.parametrize("statistics", [True, False])
def test_average_that_the_water_peak_weighs_anew_is_verified(
    experiment: Path, statistics: bool
) -> None:
    """The frames were selected while the monitor told the beam."""
    dt = h5xs(experiment)
    if not statistics:
        dt.average_d1s("lysozyme", selection=[1, 1, 1, 0, 1, 1, 1, 0])
    dt.set_trans("water", q_start=0.1, q_end=0.18)
    assert set(outcomes(experiment).values()) == {"identical", "nothing"}
    dt.set_trans("external", calc_water_peak=True)
    assert set(outcomes(experiment).values()) == {"identical", "nothing"}


def test_monitors_that_run_on_their_own_are_integrated_again(play: Play) -> None:
    documents = run_documents(small_frames(4), monitors={}, exposure_time=0.5)
    times = np.arange(99, 108, 0.05)
    for number in (1, 2):
        field = f"em{number}"
        values = 1000.0 + number * times
        documents = add_readings(documents, f"{field}_monitor", field, times=times, values=values)
    path = play(documents, monitors=own_streams(), metadata=METADATA)
    with h5py.File(path) as file:
        assert np.isfinite(file["water/reduction/transmitted_sigma"][()]).all()
    assert outcomes(path) == {"water": "identical"}


def test_detectors_and_monitors_given_by_the_user_are_noted(experiment: Path) -> None:
    dt = h5xs(experiment, transField="em1")
    dt.load_data(detectors=[small_detector("_SAXS", SAXS, distance_m=0.7)], samples="lysozyme")
    assert sorted(dt.d1s["lysozyme"]) == ["_SAXS", "merged"]
    assert dt.get_d1("lysozyme").trans == 1000.0
    assert outcomes(experiment, "lysozyme") == {"lysozyme": "identical"}


def test_sidecar_of_a_foreign_file_is_verified(tmp_path: Path) -> None:
    beamline = small_beamline()
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("water/primary/data")
        file["water"].attrs["start"] = '{"time": 1.0, "uid": "abc"}'
        data[SAXS] = np.stack([frame[SAXS] for frame in small_frames(3)])
    setup = [beamline.detectors[:1], beamline.qgrid]
    h5xs(path, setup).load_data()
    assert outcomes(path) == {"water": "identical"}


def test_run_that_goes_on_is_verified_as_far_as_it_is_reduced(
    running: Callable[[int], Path],
) -> None:
    path = running(3)
    found = only(path, "water")
    assert (found.outcome, found.frames, found.differences) == ("identical", 3, {})


def changed(path: Path, dataset: str, factor: float) -> None:
    with h5py.File(path, "r+") as file:
        file[dataset][...] = file[dataset][()] * factor


def noted_version(path: Path, version: str) -> None:
    with h5py.File(path, "r+") as file:
        group = file["reduction/provenance"]
        versions = {**json.loads(group["versions"][()]), "numpy": version}
        del group["versions"]
        group["versions"] = np.bytes_(json.dumps(versions).encode())


@pytest.mark.parametrize(
    ("version", "factor", "expected", "reason"),
    [
        (None, 1 + 4e-16, "differs", "the same versions give the same bits"),
        ("1.0", 1 + 4e-16, "equal", "other versions round otherwise"),
        ("1.0", 1.0, "identical", "they need not"),
        ("1.0", 1 + 1e-11, "differs", "that is more than rounding"),
    ],
)
def test_curve_that_was_changed_is_found(
    experiment: Path, version: str | None, factor: float, expected: str, reason: str
) -> None:
    processed = experiment.parent / "buffer" / "processed.h5"
    changed(processed, "processed/averaged", factor)
    if version is not None:
        noted_version(processed, version)
    found = only(experiment, "buffer")
    assert found.outcome == expected, reason
    assert set(found.differences) == (set() if factor == 1 else {"processed/averaged"})
    assert all(factor - 1 > off / 2 > (factor - 1) / 8 for off in found.differences.values())
    assert set(found.changes) == (set() if version is None else {"numpy"})


def test_numpy_in_place_of_the_compiled_loop_is_a_change_of_version(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from h5xs_bluesky.config import beamline as module
    from h5xs_bluesky.io import provenance
    from h5xs_bluesky.reduction.integration.integrate import make_integrator

    def plain(*arguments: Any, **_: Any) -> Any:
        return make_integrator(*arguments, engine="numpy")

    versions = {**provenance.current_versions(), "compiled loop": "no"}
    monkeypatch.setattr(module, "make_integrator", plain)
    monkeypatch.setattr(provenance, "current_versions", lambda: versions)
    found = only(experiment, "buffer")
    assert found.outcome in ("equal", "identical")
    assert found.changes == {"compiled loop": ("yes", "no")}


SCALARS = [
    ("reduction/averaged", "trans", "reduction/averaged@trans"),
    ("reduction/averaged", "trans_sigma", "reduction/averaged@trans_sigma"),
    ("reduction/subtracted", "sc_factor", "processed@sc_factor"),  # it is subtracted with
    ("reduction/subtracted", "automatic", "reduction/subtracted@sc_factor"),
    ("processed", "sc_factor", "processed@sc_factor"),
    ("processed/averaged", "trans", "processed/averaged@trans"),
]


@pytest.mark.parametrize(("member", "name", "difference"), SCALARS)
def test_number_that_was_changed_is_found_and_the_other_samples_are_told(
    play: Play, member: str, name: str, difference: str
) -> None:
    path = play(
        run_documents(small_frames(3, seed=1, mean=20.0), sample_name="buffer"),
        run_documents(small_frames(3, seed=2, mean=60.0), sample_name="lysozyme", buffer="buffer"),
        reduction=ReductionOptions(water_q_range=(0.1, 0.18)),
    )
    with h5py.File(path.parent / "lysozyme" / "processed.h5", "r+") as file:
        attrs = file[member].attrs
        value = attrs[name]
        attrs[name] = ~value if isinstance(value, np.bool_) else value * 1.01
    found = {each.sample: each for each in verify(path)}
    assert found["buffer"].outcome == "identical"
    assert found["lysozyme"].outcome == "differs"
    assert difference in found["lysozyme"].differences


def test_number_that_other_versions_round_otherwise_is_equal(experiment: Path) -> None:
    processed = experiment.parent / "lysozyme" / "processed.h5"
    noted_version(processed, "1.0")
    with h5py.File(processed, "r+") as file:
        file["reduction/averaged"].attrs["trans"] *= 1 + 1e-15
    found = only(experiment, "lysozyme")
    assert found.outcome == "equal"
    assert set(found.differences) == {"reduction/averaged@trans"}


def test_text_that_was_changed_is_an_infinite_difference(experiment: Path) -> None:
    with h5py.File(experiment.parent / "lysozyme" / "processed.h5", "r+") as file:
        file["reduction/selection/reason"][7] = "transmission"
    found = only(experiment, "lysozyme")
    assert (found.outcome, found.differences) == (
        "differs",
        {"reduction/selection/reason": float("inf")},
    )


def without_provenance(folder: Path) -> None:
    with h5py.File(folder / "processed.h5", "r+") as file:
        del file["reduction/provenance"]


def reduced_elsewhere(folder: Path) -> None:
    with h5py.File(folder / "processed.h5", "r+") as file:
        del file["reduction"]


def with_other_run(folder: Path) -> None:
    with h5py.File(folder / "processed.h5", "r+") as file:
        del file["reduction/provenance/run_uid"]
        file["reduction/provenance/run_uid"] = np.bytes_(b"another")


def without_detectors(folder: Path) -> None:
    with h5py.File(folder / "processed.h5", "r+") as file:
        del file["reduction/provenance/detectors"]


def without_frames(folder: Path) -> None:
    for path in folder.glob("primary.*_image.h5"):
        path.unlink()


def with_damaged_provenance(folder: Path) -> None:
    with h5py.File(folder / "processed.h5", "r+") as file:
        del file["reduction/provenance/configuration"]
        file["reduction/provenance/configuration"] = np.bytes_(b"{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (without_provenance, "buffer: expected the provenance"),
        (reduced_elsewhere, r"'merged'] that were reduced elsewhere"),
        (with_other_run, "expected the frames of run 'another'"),
        (without_detectors, "expected detectors and q-grid"),
        (without_frames, "found none: nothing to reduce"),
        (with_damaged_provenance, "expected an NXprocess"),
    ],
)
def test_reason_is_given_why_a_sample_cannot_be_verified(
    experiment: Path, harm: Callable[[Path], None], message: str
) -> None:
    harm(experiment.parent / "buffer")
    found = only(experiment, "buffer")
    assert found.outcome == "cannot"
    assert message in found.reason


def test_frames_that_were_never_reduced_are_told(experiment: Path) -> None:
    with h5py.File(experiment.parent / "buffer" / "processed.h5", "r+") as file:
        for name in ("_SAXS/accumulators", "_WAXS/accumulators", "transmitted", "incident"):
            values = file[f"reduction/{name}"][:3]
            del file[f"reduction/{name}"]
            file[f"reduction/{name}"] = values
        del file["reduction/superseded"]
    assert "found 3" in only(experiment, "buffer").reason


def test_unknown_sample_and_file_are_errors(experiment: Path) -> None:
    with pytest.raises(SampleNotFoundError, match="lysozyme"):
        verify(experiment, "lysozim")
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        verify(experiment.parent / "none.h5")


def test_provenance_is_an_nxprocess_that_tells_everything(experiment: Path) -> None:
    with h5py.File(experiment) as file:
        group = file["lysozyme/reduction/provenance"]
        assert group.attrs["NX_class"] == b"NXprocess"
        assert set(group) == {
            *("sequence_index", "program", "version", "date", "processor", "run_uid", "versions"),
            *("configuration", "detectors"),
        }
        start = json.loads(file["lysozyme"].attrs[schema.START])
        assert group["run_uid"][()].decode() == start["uid"]
        versions = json.loads(group["versions"][()])
        assert {"numpy", "pyFAI", "h5py", "h5xs_bluesky", "compiled loop"} <= set(versions)
        configuration = json.loads(group["configuration"][()])
        assert set(configuration["detectors"]["_SAXS"]) >= {"geometry", "mask_sha256"}
        averaging = json.loads(file["lysozyme/reduction/averaging/configuration"][()])
        assert averaging["selection"]["method"] == "cormap"
