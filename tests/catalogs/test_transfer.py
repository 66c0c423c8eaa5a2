"""Runs from every store give what they gave live, but for what the store has lost."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames, write_experiment
from stored_runs import Recording, station_beamline

from h5xs_bluesky import h5xs
from h5xs_bluesky.catalogs import StoredOutcome, from_catalog
from h5xs_bluesky.errors import CatalogError, ConfigurationError, RunNotFoundError

STORES = ("journals", "tiled", "databroker")
NOT_KEPT = {("databroker", "paused files")}  # left out of that fixture: it could not give it back
ARRAYS = ("arrays", "paused", "aborted")
FILES = ("step", "flown", "paused files")

# What differs from the live sample, by store and kind of run, and why; all else is equal. The
# attribute `origin`, and the dates of the reductions, always do.
_NO_FILES = {"@descriptors": "data keys no longer say external: the frames are in the experiment"}
_FRAME_TIMES = {
    f"primary/timestamps/{name}": "Tiled keeps no times of what is in files: those of the events"
    for name in ("saxs", "waxs", "saxs-sum", "waxs-sum")
}
DIFFERENT: dict[str, dict[str, dict[str, str]]] = {
    "journals": {
        **{key: {} for key in ARRAYS},
        **dict.fromkeys(FILES, _NO_FILES),
    },
    "tiled": {
        **{
            key: {
                "primary/data/saxs dtype": "an array without dtype_numpy is kept as float64",
                "primary/data/waxs dtype": "an array without dtype_numpy is kept as float64",
                "@descriptors": "TiledWriter writes the dtypes into them that it guesses",
            }
            for key in ARRAYS
        },
        **{key: {**_NO_FILES, **_FRAME_TIMES} for key in FILES},
        "flown": {
            **_NO_FILES,
            **_FRAME_TIMES,
            "primary/time": "rows that no event came for have no time in Tiled",
        },
    },
    "databroker": {
        key: {
            "primary/data/saxs dtype": "arrays in events are lists there: int64",
            "primary/data/waxs dtype": "arrays in events are lists there: int64",
        }
        for key in ARRAYS
    },
}


Replayed = Callable[[str], tuple[Path, list[StoredOutcome]]]


@pytest.fixture(scope="module")
def replayed(store: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Give, for a store, the experiment made of it, and what became of the runs."""

    @cache
    def replay(name: str) -> tuple[Path, list[StoredOutcome]]:
        folder = tmp_path_factory.mktemp(name)
        return folder, from_catalog(store(name), None, folder, station_beamline())

    return replay


def members(sample: h5py.Group, prefix: str = "") -> dict[str, Any]:
    """All datasets, their dtypes, and all attributes of a sample, by path."""
    found = {f"{prefix}@{key}": value for key, value in sample.attrs.items()}
    for name, member in sample.items():
        if isinstance(member, h5py.Group):
            found |= members(member, f"{prefix}{name}/")
        elif name != "date":
            found[prefix + name] = member[()]
            found[f"{prefix}{name} dtype"] = member.dtype
            found |= {f"{prefix}{name}@{key}": value for key, value in member.attrs.items()}
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.dtype):
        return bool(one == other)
    one, other = np.asarray(one), np.asarray(other)
    numbers = one.dtype.kind in "biuf" and other.dtype.kind in "biuf"
    return np.array_equal(one, other, equal_nan=numbers)


@pytest.mark.parametrize(
    ("store_name", "sample"),
    [(store, sample) for store, runs in DIFFERENT.items() for sample in runs],
)
def test_stored_run_equals_the_live_one(
    recording: Recording, replayed: Replayed, store_name: str, sample: str
) -> None:
    folder, _ = replayed(store_name)
    with (
        h5py.File(recording.folder / "experiment.h5", "r", swmr=True) as live_file,
        h5py.File(folder / "experiment.h5", "r", swmr=True) as stored_file,
    ):
        live, stored = members(live_file[sample]), members(stored_file[sample])
    assert len(live["processed/merged"]) in (2, 3, 4, 6)
    assert np.isfinite(live["processed/averaged"]).any()
    stored.pop("@origin")
    assert stored.keys() == live.keys()
    different = {name for name in live if not same(live[name], stored[name])}
    assert different == set(DIFFERENT[store_name][sample])


def test_repeated_rows_and_subtraction_are_among_what_is_equal(recording: Recording) -> None:
    with h5py.File(recording.folder / "experiment.h5", "r", swmr=True) as file:
        for sample in ("paused", "paused files"):
            assert file[sample]["primary/seq_num"][()].tolist() == [1, 2, 2, 3]
            assert file[sample]["primary/superseded"][()].tolist() == [False, True, False, False]
            assert "subtracted" in file[sample]["processed"]
        assert json.loads(file["aborted"].attrs["stop"])["exit_status"] == "abort"


def test_databroker_cannot_give_back_what_ophyd_async_announced(replayed: Replayed) -> None:
    _, done = replayed("databroker")
    failed = [each for each in done if each.outcome == "failed"]
    assert len(failed) == 2
    for each in failed:
        assert "databroker does not keep" in each.reason
        assert "take this run from Tiled" in each.reason
        assert (each.sample, each.folder) == ("", None)
    folder, _ = replayed("databroker")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(ARRAYS)


def test_store_and_losses_stand_in_the_sample(replayed: Replayed) -> None:
    folder, done = replayed("tiled")
    with h5py.File(folder / "experiment.h5", "r", swmr=True) as file:
        origin = json.loads(file["flown"].attrs["origin"])
    (flown,) = [each for each in done if each.sample == "flown"]
    assert origin["source"].startswith("http://127.0.0.1")
    assert "api_key" not in origin["source"]
    assert origin["lost"] == list(flown.lost)
    assert flown.lost == (
        "uids of events",
        "times of frames in files: that of their event",
        "times of rows without events: NaN",
        "sequence numbers of rows without events: counted from 1",
    )


@pytest.mark.parametrize("store_name", STORES)
def test_runs_that_are_there_are_left_alone(
    store: Callable[[str], Any], replayed: Replayed, recording: Recording, store_name: str
) -> None:
    folder, _ = replayed(store_name)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}
    uids = [recording.uid("arrays"), recording.uid("aborted")]
    done = from_catalog(
        store(store_name), uids, folder
    )  # the configuration is the experiment's own
    assert [(each.sample, each.outcome) for each in done] == [
        ("arrays", "there"),
        ("aborted", "there"),
    ]
    assert done[0].reason == "the experiment has it"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")} == before


@pytest.mark.parametrize("store_name", STORES)
def test_uid_that_is_not_there_is_told_with_those_that_are(
    store: Callable[[str], Any], recording: Recording, tmp_path: Path, store_name: str
) -> None:
    with pytest.raises(RunNotFoundError) as found:
        from_catalog(store(store_name), ["0123456789"], tmp_path / "new", station_beamline())
    assert f"{recording.uid('aborted')[:8]} (aborted)" in str(found.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("store_name", STORES)
@pytest.mark.parametrize(
    ("filters", "samples"),
    [
        ({"sample": "paused"}, ["paused"]),
        ({"plan": "count"}, ["arrays"]),
        ({"plan": "grid_scan"}, []),
        ({"where": {"holder": "A"}}, ["arrays", "step"]),
        ({"where": {"holder": "A"}, "plan": "scan"}, ["step"]),
        ({"where": {"purpose.kind": "test"}}, ["arrays"]),
        (
            {"since": "time of flown", "until": "time of aborted"},
            ["flown", "paused", "paused files"],
        ),
        ({"until": "2026-01-01"}, []),
    ],
)
def test_filters_choose(
    store: Callable[[str], Any],
    recording: Recording,
    tmp_path: Path,
    store_name: str,
    filters: dict[str, Any],
    samples: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is chosen is looked at, and not transferred again."""
    chosen: list[str] = []
    monkeypatch.setattr(
        "h5xs_bluesky.catalogs.transfer._Transfer.all",
        lambda self, folders: chosen.extend(folders) or [],
    )
    times = {
        key: recording.runs[value.removeprefix("time of ")][0][1]["time"]
        for key, value in filters.items()
        if isinstance(value, str) and value.startswith("time of ")
    }
    from_catalog(store(store_name), None, tmp_path, station_beamline(), **{**filters, **times})
    kept = [sample for sample in samples if (store_name, sample) not in NOT_KEPT]
    assert chosen == [recording.uid(sample) for sample in kept]


def test_samples_of_a_holder_go_into_one_place(recording: Recording, tmp_path: Path) -> None:
    done = from_catalog(recording.folder, None, tmp_path, station_beamline(), group_by="holder")
    assert [each.folder.parent.name for each in done if each.folder] == ["A", "A", *["B"] * 4]
    assert sorted(h5xs(tmp_path / "A" / "experiment.h5", read_only=True).samples) == [
        "arrays",
        "step",
    ]
    again = from_catalog(recording.folder, None, tmp_path, station_beamline(), group_by="holder")
    assert {each.outcome for each in again} == {"there"}


def test_runs_without_the_key_to_group_by_are_told(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected the key 'proposal'"):
        from_catalog(recording.folder, None, tmp_path, station_beamline(), group_by="proposal")
    assert list(tmp_path.iterdir()) == []


def test_beginning_of_a_uid_is_enough(
    store: Callable[[str], Any], recording: Recording, tmp_path: Path
) -> None:
    for name in STORES:
        (done,) = from_catalog(
            store(name), [recording.uid("arrays")[:8]], tmp_path / name, station_beamline()
        )
        assert (done.uid, done.outcome) == (recording.uid("arrays"), "reduced")


def test_second_interface_of_databroker_gives_the_same(
    store: Callable[[str], Any], recording: Recording, tmp_path: Path
) -> None:
    uids = [recording.uid("aborted")]
    curves = []
    for name, catalog in (("v1", store("databroker")), ("v2", store("databroker").v2)):
        from_catalog(catalog, uids, tmp_path / name, station_beamline())
        with h5py.File(tmp_path / name / "experiment.h5", "r", swmr=True) as file:
            curves.append(file["aborted/processed/averaged"][()])
    assert np.array_equal(*curves, equal_nan=True)


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="expected a client of Tiled, a Broker"):
        from_catalog(object(), None, tmp_path, station_beamline())
    with pytest.raises(FileNotFoundError, match=r"documents\.msgpack"):
        from_catalog(tmp_path, None, tmp_path, station_beamline())
    with pytest.raises(CatalogError, match="profile:nowhere: it cannot be opened"):
        from_catalog("profile:nowhere", None, tmp_path, station_beamline())
    with pytest.raises(ConfigurationError, match="name a TOML file"):
        from_catalog(tmp_path, None, tmp_path)


def test_several_runs_whose_uids_begin_alike_are_told(tmp_path: Path) -> None:
    runs = [run_documents(small_frames(1), sample_name=name) for name in ("one", "two", "three")]
    for documents, uid in zip(runs, ("abc-1", "abc-2", "b"), strict=True):
        documents[0][1]["uid"] = uid
        for _, doc in documents[1:]:
            if "run_start" in doc:
                doc["run_start"] = uid
    live = write_experiment(tmp_path / "live", *runs).parent
    with pytest.raises(RunNotFoundError, match=r"'abc', found 2: .* give more of the uid") as found:
        from_catalog(live, ["abc"], tmp_path / "new", small_beamline())
    assert "abc-1 (one)" in str(found.value)
    assert "abc-2 (two)" in str(found.value)
    assert "three" not in str(found.value)


def test_buffer_that_was_not_taken_is_told(tmp_path: Path) -> None:
    buffer = run_documents(small_frames(3), sample_name="water", scan_id=1)
    sample = run_documents(small_frames(3, seed=1), sample_name="protein", buffer="water")
    live = write_experiment(tmp_path / "live", buffer, sample).parent
    uids = [run[0][1]["uid"] for run in (sample, buffer)]
    (alone,) = from_catalog(live, uids[:1], tmp_path / "new", small_beamline())
    assert alone.reason == "the experiment has no water: to subtract it, add its uid"
    added = from_catalog(live, uids, tmp_path / "new")
    assert sorted(each.outcome for each in added) == ["reduced", "there"]
    assert not any("add its uid" in each.reason for each in added)
    assert h5xs(tmp_path / "new" / "experiment.h5").get_d1("protein", "subtracted") is not None
