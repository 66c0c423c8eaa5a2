"""An experiment in one file: the same numbers, and nothing outside it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest
from small_beamline import (
    SAXS,
    SHAPES,
    WAXS,
    run_documents,
    small_beamline,
    small_detector,
    small_frames,
)
from small_streams import StreamedRun, file_of

from h5xs_bluesky import Data1d, h5xs
from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.api.verify import verify
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import Monitors, Roots
from h5xs_bluesky.errors import (
    ConfigurationError,
    FileFormatError,
    RefusedError,
    SampleNotFoundError,
)

Play = Callable[..., Path]


def contents(path: Path) -> dict[str, Any]:
    """Everything in a file, through its links: arrays by path, attributes after an "@"."""
    found: dict[str, Any] = {}

    def add(member: Any, name: str) -> None:
        for key, value in member.attrs.items():
            found[f"{name}@{key}"] = value
        if isinstance(member, h5py.Dataset):
            found[name] = member[()]
        else:
            for below in member:
                add(member[below], f"{name}/{below}")

    with h5py.File(path) as file:
        add(file, "")
    return found


def same(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    exact = one.dtype.kind not in "fc"
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=not exact)


def assert_no_links(path: Path) -> None:
    def check(group: h5py.Group) -> None:
        for name in group:
            assert isinstance(group.get(name, getlink=True), h5py.HardLink), name
            if isinstance(group[name], h5py.Group):
                check(group[name])
            else:
                assert not group[name].is_virtual
                assert not group[name].external

    with h5py.File(path) as file:
        check(file)


def assert_same_curves(one: Path, other: Path) -> None:
    first, second = h5xs(one, read_only=True), h5xs(other, read_only=True)
    assert first.samples == second.samples
    for reload in (False, True):
        for dt in (first, second):
            dt.load_data() if reload else dt.load_d1s()
        for sample in first.samples:
            assert first.header(sample) == second.header(sample)
            assert first.d1s[sample].keys() == second.d1s[sample].keys()
            for name, curves in first.d1s[sample].items():
                others = second.d1s[sample][name]
                for d1, d2 in zip(_list(curves), _list(others), strict=True):
                    assert same(d1.data, d2.data), (sample, name)
                    assert same(d1.err, d2.err), (sample, name)
                    assert same(d1.trans, d2.trans), (sample, name)


def _list(curves: Data1d | list[Data1d]) -> list[Data1d]:
    return [curves] if isinstance(curves, Data1d) else curves


def odd_run() -> Any:
    """A resumed plan with texts, a matrix, a list of another length each time, a baseline."""
    frames = small_frames(4)
    events = [
        {**frame, "text": f"line {i}", "matrix": np.full((2, 3), float(i)), "ragged": [1.0] * i}
        for i, frame in enumerate(frames)
    ]
    documents = run_documents(events, seq_nums=[1, 2, 2, 3], sample_name="odd")
    run = json.loads(json.dumps(documents[0][1]))["uid"]
    baseline = {
        "uid": f"{run}-b",
        "run_start": run,
        "name": "baseline",
        "time": 1.0,
        "data_keys": {"energy": {"source": "t", "dtype": "number", "shape": []}},
        "configuration": {},
        "hints": {},
        "object_keys": {},
    }
    reading = {
        "uid": f"{run}-e",
        "descriptor": baseline["uid"],
        "time": 2.0,
        "seq_num": 1,
        "data": {"energy": 12.0},
        "timestamps": {"energy": 2.0},
        "filled": {},
    }
    return [documents[0], ("descriptor", baseline), ("event", reading), *documents[1:]]


@pytest.mark.parametrize("keep", [False, True])
def test_packed_file_has_all_that_the_experiment_shows(
    play: Play, tmp_path: Path, keep: bool
) -> None:
    buffer = run_documents(small_frames(3, seed=1), sample_name="buffer")
    sample = run_documents(small_frames(3, seed=2), sample_name="protein", buffer="buffer")
    path = play(buffer, sample, odd_run(), run_documents([], sample_name="nothing"))
    packed = tmp_path / "p" / "packed.h5"
    packed.parent.mkdir()
    done = pack(path, packed, keep_compression=keep)
    assert [(each.sample, each.frames) for each in done] == [
        ("buffer", 6),
        ("protein", 6),
        ("odd", 8),
        ("nothing", 0),
    ]
    before, after = contents(path), contents(packed)
    assert {name for name in before if name not in after} == set()
    assert {name for name in before if not same(before[name], after[name])} == set()
    assert all("/positions" in name for name in set(after) - set(before))
    assert {"/odd/baseline/data/energy", "/odd/primary/superseded"} <= set(after)
    assert_no_links(packed)
    assert_same_curves(path, packed)
    assert {each.outcome for each in verify(packed)} == {"identical", "nothing"}
    with h5py.File(packed) as file:
        data = file["odd/primary/data/saxs_image"]
        assert data.chunks == (1, 64, 48)
        assert (data.compression == "gzip") != keep
        assert data.shuffle != keep


def test_frames_are_copied_byte_for_byte_where_their_compression_is_kept(
    play: Play, tmp_path: Path
) -> None:
    path = play(run_documents(small_frames(2)))
    pack(path, tmp_path / "packed.h5", keep_compression=True)
    name = "water/primary/data/waxs_image"
    with h5py.File(path) as one, h5py.File(tmp_path / "packed.h5") as other:
        for row in range(2):
            chunks = [f[name].id.read_direct_chunk((row, 0, 0)) for f in (one, other)]
            assert chunks[0] == chunks[1]


def test_plain_h5py_reads_a_packed_file(play: Play, tmp_path: Path) -> None:
    pack(play(run_documents(small_frames(2))), tmp_path / "packed.h5")
    script = """
import h5py, sys
with h5py.File(sys.argv[1]) as file:
    print(int(file["water/primary/data/saxs_image"][1].sum()), "hdf5plugin" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "packed.h5")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(small_frames(2)[1][SAXS].sum()), "False"]


def test_some_samples_can_be_chosen(experiment: Path, tmp_path: Path) -> None:
    pack(experiment.parent, tmp_path / "packed.h5", ["lysozyme"])
    assert h5xs(tmp_path / "packed.h5").samples == ["lysozyme"]
    with pytest.raises(SampleNotFoundError, match=r"\['buffer', 'lysozyme', 'nothing'\]"):
        pack(experiment, tmp_path / "other.h5", "lysozim")
    assert not (tmp_path / "other.h5").exists()
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        pack(tmp_path / "none.h5", tmp_path / "other.h5")


def test_file_that_is_there_is_replaced_only_on_request(experiment: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.h5"
    packed.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        pack(experiment, packed)
    assert packed.read_text() == "mine"
    pack(experiment, packed, overwrite=True)
    assert h5xs(packed).samples == h5xs(experiment).samples
    with pytest.raises(FileExistsError, match="name another"):
        pack(experiment, experiment, overwrite=True)


def test_run_that_goes_on_is_packed_as_far_as_it_is(
    running: Callable[[int], Path], tmp_path: Path, caplog: Any
) -> None:
    path = running(3)
    pack(path, tmp_path / "packed.h5")
    assert "still being measured" in caplog.text
    dt = h5xs(tmp_path / "packed.h5")
    dt.load_d1s()
    assert len(dt.d1s["water"]["merged"]) == 3
    assert [found.outcome for found in verify(tmp_path / "packed.h5")] == ["identical"]


def test_packed_file_can_be_packed_again(experiment: Path, tmp_path: Path) -> None:
    pack(experiment, tmp_path / "one.h5", py4xs=True)
    pack(tmp_path / "one.h5", tmp_path / "two.h5")
    one, two = contents(tmp_path / "one.h5"), contents(tmp_path / "two.h5")
    assert one.keys() == two.keys()
    assert {name for name in one if not same(one[name], two[name])} == set()


def test_flats_and_darks_are_packed_once_and_found_wherever_the_file_is(
    play: Play, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    flat, dark = rng.uniform(0.9, 1.1, (64, 48)), rng.uniform(0, 1, (64, 48))
    saxs = replace(small_detector("_SAXS", SAXS, distance_m=0.5), flat=flat, dark=dark)
    runs = [run_documents(small_frames(2, seed=i), sample_name=f"s{i}") for i in range(3)]
    path = play(*runs, detectors=(saxs,))
    packed = tmp_path / "elsewhere" / "packed.h5"
    packed.parent.mkdir()
    pack(path, packed)
    shutil.rmtree(path.parent / "s0")
    for file in path.parent.glob("*.npy"):
        file.unlink()
    dt = h5xs(packed)
    assert np.array_equal(dt.detectors[0].flat, flat)
    assert {found.outcome for found in verify(packed)} == {"identical"}
    with h5py.File(packed) as file:
        groups = [file[sample]["corrections"] for sample in ("s0", "s1", "s2")]
        assert all(len(group) == 2 for group in groups)
        places = {h5py.h5o.get_info(group[name].id).addr for group in groups for name in group}
    assert len(places) == 2


def fly_scan(tmp_path: Path) -> Path:
    """Frames of stream documents that stay in the files of their writers."""
    ioc = tmp_path / "ioc"
    stacks = {key: np.ones((5, *shape), np.int32) * 7 for key, shape in SHAPES.items()}
    files = {key: file_of(ioc / f"{key}.h5", stack) for key, stack in stacks.items()}
    run = StreamedRun({key: (1, *shape) for key, shape in SHAPES.items()}, sample_name="fly")
    live = LiveReduction(small_beamline(roots=Roots(permanent=(ioc,))), tmp_path / "e")
    documents = run.begin()
    for key, path in files.items():
        documents += run.resource(key, path) + run.datum(key, 0, 4)  # the fifth was not announced
    for name, doc in documents + run.end():
        live(name, doc)
    assert live.wait(30)
    live.close()
    return tmp_path / "e" / "experiment.h5"


def test_frames_in_files_of_others_are_packed_if_their_folder_is_allowed(tmp_path: Path) -> None:
    path = fly_scan(tmp_path)
    packed = tmp_path / "packed.h5"
    with pytest.raises(RefusedError, match="add theirs to the roots"):
        pack(path, packed)
    assert not list(tmp_path.glob("*packed*")), "nothing is left behind"
    pack(path, packed, roots=[tmp_path / "ioc"])
    assert_no_links(packed)
    with h5py.File(packed) as file:
        assert file["fly/primary/data/saxs_image"].shape == (4, 64, 48)
        assert (file["fly/primary/data/saxs_image"][()] == 7).all()
        assert file["fly/primary/timestamps/saxs_image"].shape == (4,)
    assert [found.outcome for found in verify(packed)] == ["identical"]


def foreign(path: Path) -> h5py.File:
    """Make a file like the ancestor's, with things in it that we do not know."""
    file = h5py.File(path, "w", libver="latest")
    data = file.create_group("water/primary/data")
    file["water"].attrs["start"] = '{"time": 1.0, "uid": "abc"}'
    data[SAXS] = np.stack([frame[SAXS] for frame in small_frames(3)])[None]
    data["em2"] = [1.0, 2.0, 3.0]
    file["water/primary/timestamps/em2"] = [4.0, 5.0, 6.0]
    file["water/primary/timestamps/" + SAXS] = [[4.0, 5.0, 6.0]]
    file["water/processed/old"] = np.ones((2, 25))
    beamline = small_beamline()
    file.attrs["qgrid"], file.attrs["run_type"] = beamline.qgrid.centers, "sol"
    return file


def test_sidecar_is_merged_and_unknown_members_survive(tmp_path: Path) -> None:
    path, packed = tmp_path / "theirs.h5", tmp_path / "packed.h5"
    with foreign(path) as file:
        file[".empty/primary/data/x"] = 3
        file["overall/map"] = np.zeros((300, 300))
        file["overall"].attrs["note"] = "n"
        file["water/hplc/data"] = np.array(["a", "b"], dtype=h5py.string_dtype())
        file["water/qphi/merged/d"] = np.arange(6.0).reshape(2, 3)
        file["water/none"] = h5py.Empty("f8")
        file["water/flags"] = np.array([True, False])
        file["water/one"] = 1.5
    beamline = small_beamline()
    dt = h5xs(path, [beamline.detectors[:1], beamline.qgrid])
    dt.load_data(samples="water")
    pack(path, packed)
    before, after = contents(path), contents(packed)
    kept = {name for name in before if "/processed" not in name}
    assert {name for name in kept if name not in after} == set()
    assert {name for name in kept if not same(before[name], after[name])} == set()
    with h5py.File(packed) as file:
        assert isinstance(file["water/none"][()], h5py.Empty)
        assert file["overall/map"].compression == "gzip"
        assert set(file["water/processed"]) == {"_SAXS", "merged", "old"}, "beside the sidecar's"
    again = h5xs(packed, [beamline.detectors[:1], beamline.qgrid])
    again.load_d1s("water")
    for one, other in zip(dt.d1s["water"]["merged"], again.d1s["water"]["merged"], strict=True):
        assert same(one.data, other.data)


def through_a_circle(file: h5py.File, _: Path) -> None:
    file["water/loop"] = h5py.SoftLink("/water")


def through_a_link_out(file: h5py.File, outside: Path) -> None:
    file["water/x"] = h5py.ExternalLink(str(outside / "o.h5"), "/d")


def through_a_view_out(file: h5py.File, outside: Path) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(outside / "o.h5"), "d", (3,))
    file["water/primary/data"].create_virtual_dataset("x", layout)


def through_raw_storage_out(file: h5py.File, outside: Path) -> None:
    file["water"].create_dataset("x", (8,), "u1", external=[(str(outside / "o.h5"), 0, 8)])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (through_a_circle, "in a circle"),
        (through_a_link_out, "o.h5"),
        (through_a_view_out, "o.h5"),
        (through_raw_storage_out, "o.h5"),
    ],
)
def test_what_lies_outside_is_never_packed(
    tmp_path: Path, harm: Callable[[h5py.File, Path], None], message: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with h5py.File(outside / "o.h5", "w") as file:
        file["d"] = np.arange(3.0)
    inside = tmp_path / "inside"
    inside.mkdir()
    with foreign(inside / "f.h5") as file:
        harm(file, outside)
    with pytest.raises(RefusedError, match=message):
        pack(inside / "f.h5", inside / "packed.h5")
    assert [path.name for path in inside.iterdir()] == ["f.h5"]


def test_views_and_links_inside_become_data_and_dead_links_are_left_out(
    tmp_path: Path, caplog: Any
) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(tmp_path / "o.h5", "w") as other:
        other["d"] = np.arange(3.0)
    with foreign(path) as file:
        through_a_view_out(file, tmp_path)
        file["water/soft"] = h5py.SoftLink("/water/primary/data/em2")
        file["water/dead"] = h5py.SoftLink("/nowhere")
        file["water/reference"] = file["water"].ref
        file["water"].attrs["reference"] = file["water"].ref
        file["water/kind"] = np.dtype("f8")
    pack(path, tmp_path / "packed.h5")
    assert_no_links(tmp_path / "packed.h5")
    with h5py.File(tmp_path / "packed.h5") as file:
        assert file["water/primary/data/x"][()].tolist() == [0, 1, 2]
        assert file["water/soft"][()].tolist() == [1, 2, 3]
        assert {"dead", "reference", "kind"}.isdisjoint(file["water"])
        assert "reference" not in file["water"].attrs
    for word in ("dead", "reference", "kind"):
        assert word in caplog.text


def test_view_of_files_that_are_not_there_is_an_error(tmp_path: Path) -> None:
    with foreign(tmp_path / "f.h5") as file:
        through_a_view_out(file, tmp_path)
    with pytest.raises(FileFormatError, match=r"found no .*o\.h5"):
        pack(tmp_path / "f.h5", tmp_path / "packed.h5")


def named(play: Play, *names: str) -> Path:
    """Measure a run with detectors whose extensions and fields are these."""
    detectors = tuple(
        small_detector(f"_{name}", SAXS, distance_m=0.5, data_key=name) for name in names
    )
    frames = [{name: small_frames(1, seed=i)[0][SAXS] for name in names} for i in range(2)]
    monitors = Monitors(incident="i0", transmitted="it")
    return play(
        run_documents(frames, monitors={"i0": 10.0, "it": 8.0}, buffer="b"),
        run_documents([], sample_name="nothing"),
        detectors=detectors,
        monitors=monitors,
    )


def test_names_for_py4xs_are_added_and_marked(play: Play, tmp_path: Path) -> None:
    path = named(play, "pil1M", "other")
    packed = tmp_path / "packed.h5"
    done = pack(path, packed, py4xs=True)
    assert [bool(each.left_out) for each in done] == [False, True]
    with h5py.File(packed) as file:
        water = file["water"]
        assert json.loads(water.attrs["py4xs_added"]) == list(done[0].added)
        for name in done[0].added:
            assert name in water or name.startswith(("start: ", "descriptors: "))
        assert water["primary/data/pil1M_image"] == water["primary/data/pil1M"]
        assert water["primary/data/em2_sum_all_mean_value"] == water["primary/data/it"]
        assert water["processed/_WAXS1"] == water["processed/_other"]
        entries = json.loads(file.attrs["detectors"])
        assert [entry["extension"] for entry in entries] == ["_SAXS", "_WAXS1"]
        start = json.loads(water.attrs["start"])
        assert (start["num_points"], start["beamline_id"]) == (2, "small")
        assert start["energy"]["energy"] == pytest.approx(12398.4, abs=0.1)
        assert "buffer" not in water.attrs
        assert water.attrs["h5xs_buffer"] == "b"
    dt = h5xs(packed, read_only=True)
    assert [detector.extension for detector in dt.detectors] == ["_pil1M", "_other"]
    original = h5xs(path, read_only=True)
    for each in (dt, original):
        each.load_data(samples="water")
    assert dt.d1s["water"].keys() == original.d1s["water"].keys()
    for one, other in zip(dt.d1s["water"]["merged"], original.d1s["water"]["merged"], strict=True):
        assert same(one.data, other.data)
        assert one.trans == 8.0


def test_more_detectors_than_py4xs_knows_are_refused(play: Play, tmp_path: Path) -> None:
    path = named(play, "a", "b", "c", "d")
    with pytest.raises(ConfigurationError, match="at most 3"):
        pack(path, tmp_path / "packed.h5", py4xs=True)
    assert not (tmp_path / "packed.h5").exists()
    assert len(pack(path, tmp_path / "packed.h5")) == 2


def test_frames_that_are_missing_are_told_when_packing_for_py4xs(
    play: Play, tmp_path: Path, caplog: Any
) -> None:
    frames: list[Any] = small_frames(3)
    del frames[1][WAXS]
    path = play(run_documents(frames))
    pack(path, tmp_path / "packed.h5", py4xs=True)
    assert "frames of _WAXS are missing" in caplog.text
    pack(path, tmp_path / "plain.h5")
    assert_same_curves(path, tmp_path / "plain.h5")
