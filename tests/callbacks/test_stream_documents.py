"""Frames in files of other writers: announced by documents, found, linked or copied, reduced."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import event_model
import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest
from numpy.typing import NDArray
from small_beamline import SAXS, SHAPES, WAXS, run_documents, small_beamline, small_frames
from small_streams import FRAMES, Documents, Ioc, StreamedRun, file_of

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import Output, Roots
from h5xs_bluesky.errors import FrameAbsentError, ReductionError
from h5xs_bluesky.io.frames import read_frame
from h5xs_bluesky.io.journal import read_journal
from h5xs_bluesky.io.repair import repair_experiment

KEYS = {SAXS: (1, *SHAPES[SAXS]), WAXS: (1, *SHAPES[WAXS])}
MONITORS = {"em1": 1000.0, "em2": 800.0}


def stack(count: int, field: str = SAXS, *, seed: int = 0) -> NDArray[np.int32]:
    return np.stack([frame[field] for frame in small_frames(count, seed=seed)])


def live_at(folder: Path, *, wait_s: float = 5.0, **changes: Any) -> LiveReduction:
    beamline = small_beamline(output=Output(max_wait_s=wait_s), **changes)
    return LiveReduction(beamline, folder / "experiment")


def send(live: LiveReduction, *documents: Documents) -> None:
    for part in documents:
        for name, doc in part:
            live(name, doc)


def finished(live: LiveReduction) -> Mapping[str, Any]:
    """Wait for the end and give the status of the only run."""
    assert live.wait(30)
    (run,) = live.status()["runs"]
    live.close()
    return dict(run)


@pytest.fixture
def opened() -> Iterator[Callable[..., Ioc]]:
    """Open files as an IOC, which are closed in the end."""
    iocs: list[Ioc] = []

    def new(*args: Any, **kwargs: Any) -> Ioc:
        iocs.append(Ioc.of_frames(*args, **kwargs))
        return iocs[-1]

    yield new
    for ioc in iocs:
        ioc.close()


def step_scan(folder: Path, count: int, **start: Any) -> list[Documents]:
    """A step scan: each event is announced before it comes, and brings the monitors itself."""
    run = StreamedRun(KEYS, values=tuple(MONITORS), **start)
    documents = [run.begin()]
    for field in KEYS:
        path = file_of(folder / f"{field}.h5", stack(count, field))
        documents.append(run.resource(field, path))
    for number in range(count):
        documents += [run.datum(field, number, number + 1) for field in KEYS]
        documents.append(run.event(number + 1, **MONITORS))
    return [*documents, run.end()]


def fly_scan(folder: Path, count: int, *, per_event: int = 1, **start: Any) -> list[Documents]:
    """A fly scan: no events; the monitors lie in a file, too. WAXS is announced in larger steps."""
    keys = {name: (per_event, *shape[1:]) for name, shape in KEYS.items()}
    run = StreamedRun({**keys, **dict.fromkeys(MONITORS, (per_event,))}, **start)
    documents = [run.begin()]
    for field in KEYS:
        path = file_of(folder / f"{field}.h5", stack(count, field))
        documents.append(run.resource(field, path))
    monitors = Ioc(folder / "monitors.h5", {f"/{name}": ((), "f8") for name in MONITORS})
    for name, value in MONITORS.items():
        monitors.write(np.full(count, value), f"/{name}")
        documents.append(run.resource(name, monitors.path, f"/{name}"))
    monitors.close()
    events = count // per_event
    steps = range(0, events, 2)
    documents += [run.datum(SAXS, first, min(first + 2, events)) for first in steps]
    documents += [run.datum(name, 0, events) for name in (WAXS, *MONITORS)]
    return [*documents, run.end()]


def results(experiment: Path, sample: str = "water") -> dict[str, NDArray[Any]]:
    """All that a sample's frames, curves and monitors are, as a client reads them."""
    with h5py.File(experiment / "experiment.h5", "r", swmr=True) as file:
        group = file[sample]
        found = {f"raw {field}": group[f"primary/data/{field}"][()] for field in KEYS}
        found |= {name: data[()] for name, data in group["processed"].items()}
        found |= {name: group[f"primary/data/{name}"][()] for name in MONITORS}
        found["seq_num"] = group["primary/seq_num"][()]
        for name in ("transmitted", "incident"):
            found[f"at frames {name}"] = group[f"reduction/{name}"][()]
    return found


def test_same_scan_in_every_form_gives_the_same_frames_and_curves(tmp_path: Path) -> None:
    forms = {
        "arrays in events": [run_documents(small_frames(7), monitors=MONITORS)],
        "stream documents, step": step_scan(tmp_path / "step" / "files", 7),
        "stream documents, fly": fly_scan(tmp_path / "fly" / "files", 7),
    }
    found = {}
    for form, documents in forms.items():
        roots = Roots(permanent=(tmp_path,))
        live = live_at(tmp_path / form, roots=roots)
        send(live, *documents)
        run = finished(live)
        assert (run["received"], run["acknowledged"], run["reduced"]) == (14, 14, 14), form
        assert run["errors"] == run["warnings"] == [], form
        found[form] = results(tmp_path / form / "experiment")
    first, *others = found.values()
    for other in others:
        assert first.keys() == other.keys()
        for name, values in first.items():
            assert np.array_equal(values, other[name], equal_nan=True), name


def test_several_frames_of_an_event_stand_at_their_positions(tmp_path: Path) -> None:
    live = live_at(tmp_path, roots=Roots(permanent=(tmp_path,)))
    send(live, *fly_scan(tmp_path / "files", 6, per_event=3))
    run = finished(live)
    assert (run["acknowledged"], run["reduced"], run["errors"]) == (12, 12, [])
    found = results(tmp_path / "experiment")
    one_by_one = live_at(tmp_path / "one", roots=Roots(permanent=(tmp_path,)))
    send(one_by_one, *fly_scan(tmp_path / "more", 6))
    finished(one_by_one)
    expected = results(tmp_path / "one" / "experiment")
    assert np.array_equal(found["merged"], expected["merged"], equal_nan=True)
    assert found["em1"].tolist() == [[1000.0] * 3] * 2
    assert found["seq_num"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("root", "linked", "why"),
    [
        ("permanent", True, "what stays is not copied"),
        ("allowed", False, "what may go away is"),
        ("experiment", True, "the experiment's own folder stays"),
    ],
)
def test_files_are_linked_where_they_stay_and_copied_elsewhere(
    tmp_path: Path, root: str, linked: bool, why: str
) -> None:
    files = tmp_path / ("experiment/ioc" if root == "experiment" else "ioc")
    documents = step_scan(files, 4)
    roots = {} if root == "experiment" else {root: (files,)}
    live = live_at(tmp_path, roots=Roots(**roots))
    send(live, *documents)
    assert finished(live)["reduced"] == 8
    with h5py.File(tmp_path / "experiment/water/primary.saxs_image.h5", "r") as file:
        assert isinstance(file.get("data", getlink=True), h5py.ExternalLink) == linked, why
        assert file["timestamps"].attrs["reconstructed"]
    before = results(tmp_path / "experiment")
    assert np.array_equal(before[f"raw {SAXS}"], stack(4))
    shutil.rmtree(files)
    if not linked:
        assert np.array_equal(results(tmp_path / "experiment")[f"raw {SAXS}"], stack(4))


def test_moved_experiment_opens_completely(tmp_path: Path) -> None:
    live = live_at(tmp_path)
    send(live, *step_scan(tmp_path / "experiment/ioc", 5))
    assert finished(live)["acknowledged"] == 10
    before = results(tmp_path / "experiment")
    shutil.move(tmp_path / "experiment", tmp_path / "elsewhere" / "renamed")
    after = results(tmp_path / "elsewhere" / "renamed")
    assert all(
        np.array_equal(values, after[name], equal_nan=True) for name, values in before.items()
    )
    dt = h5xs(tmp_path / "elsewhere/renamed/experiment.h5", read_only=True)
    dt.load_d1s("water")
    live_curves = [curve.data.copy() for curve in dt.d1s["water"]["merged"]]
    dt.load_data(update_only=False)
    for live_curve, curve in zip(live_curves, dt.d1s["water"]["merged"], strict=True):
        assert np.array_equal(live_curve, curve.data, equal_nan=True)
    assert np.array_equal(dt.get_d2("water", frn=3)["_SAXS"].data, stack(5)[3])


def test_offline_reduction_needs_the_folder_of_linked_frames_outside(tmp_path: Path) -> None:
    """A file cannot say which folders are to be trusted; its reader does."""
    live = live_at(tmp_path, roots=Roots(permanent=(tmp_path / "ioc",)))
    send(live, *step_scan(tmp_path / "ioc", 3))
    assert finished(live)["reduced"] == 6
    path = tmp_path / "experiment/experiment.h5"
    with pytest.raises(PermissionError, match="add theirs to the roots"):
        h5xs(path, read_only=True).get_d2("water")
    dt = h5xs(path, read_only=True, roots=[tmp_path / "ioc"])
    assert np.array_equal(dt.get_d2("water", frn=2)["_SAXS"].data, stack(3)[2])


# What becomes of frames whose file is not as it should be. Each case makes the file, announces
# three events, and gives what the status says: acknowledged, missing, and a word of the error.


def appears_late(path: Path, announce: Callable[[], None]) -> None:
    announce()
    time.sleep(1.0)
    file_of(path, stack(3))


def never_appears(path: Path, announce: Callable[[], None]) -> None:
    announce()


def grows_late(path: Path, announce: Callable[[], None]) -> None:
    ioc = Ioc.of_frames(path, stack(1))
    announce()
    for frame in stack(3):
        time.sleep(0.3)
        ioc.write(frame)
    ioc.close()


def ends_early(path: Path, announce: Callable[[], None]) -> None:
    file_of(path, stack(2))
    announce()


def cut_short(path: Path, announce: Callable[[], None]) -> None:
    file_of(path, stack(3))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    announce()


def not_hdf5(path: Path, announce: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("no HDF5")
    announce()


def vanishes(path: Path, announce: Callable[[], None]) -> None:
    ioc = Ioc.of_frames(path, stack(1))
    ioc.write(stack(1))
    announce()
    time.sleep(0.5)  # the first frame is found
    path.unlink()
    ioc.write(stack(3)[1:])
    ioc.close()


def not_for_many_readers(path: Path, announce: Callable[[], None]) -> None:
    ioc = Ioc.of_frames(path, stack(1), swmr=False)
    ioc.write(stack(3))
    announce()
    time.sleep(0.7)
    ioc.close()


def links_elsewhere(path: Path, announce: Callable[[], None]) -> None:
    secret = file_of(path.parents[2] / "secret.h5", stack(3))
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file[FRAMES] = h5py.ExternalLink(str(secret), FRAMES)
    announce()


def is_stored_elsewhere(path: Path, announce: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            FRAMES, (3, *SHAPES[SAXS]), "u1", external=[("/etc/services", 0, h5py.h5f.UNLIMITED)]
        )
    announce()


def view_of_what_is_not_there(path: Path, announce: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True)
    layout = h5py.VirtualLayout((3, *SHAPES[SAXS]), "i4")
    layout[:] = h5py.VirtualSource(str(path.parent / "gone.h5"), "d", (3, *SHAPES[SAXS]))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset(FRAMES, layout)
    announce()


def cut_short_behind_a_link(path: Path, announce: Callable[[], None]) -> None:
    cut_short(path.parent / "data.h5", lambda: None)
    with h5py.File(path, "w", libver="latest") as file:
        file[FRAMES] = h5py.ExternalLink("data.h5", FRAMES)
    announce()


def cut_short_behind_a_view(path: Path, announce: Callable[[], None]) -> None:
    cut_short(path.parent / "data.h5", lambda: None)
    layout = h5py.VirtualLayout((3, *SHAPES[SAXS]), "i4")
    layout[:] = h5py.VirtualSource("data.h5", FRAMES, (3, *SHAPES[SAXS]))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset(FRAMES, layout)
    announce()


def view_of_a_file_that_comes_late(path: Path, announce: Callable[[], None]) -> None:
    layout = h5py.VirtualLayout((3, *SHAPES[SAXS]), "i4")
    layout[:2] = h5py.VirtualSource("1.h5", FRAMES, (2, *SHAPES[SAXS]))
    layout[2:] = h5py.VirtualSource("2.h5", FRAMES, (1, *SHAPES[SAXS]))
    file_of(path.parent / "1.h5", stack(3)[:2])
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset(FRAMES, layout)
    announce()
    time.sleep(0.7)
    file_of(path.parent / "2.h5", stack(3)[2:])


def set_aside(path: Path) -> tuple[h5py.File, h5py.Dataset]:
    """Make a file whose dataset is long enough from the start, and empty."""
    path.parent.mkdir(parents=True)
    file = h5py.File(path, "w", libver="latest")
    data = file.create_dataset(
        FRAMES, (3, *SHAPES[SAXS]), "i4", maxshape=(None, *SHAPES[SAXS]), chunks=(1, *SHAPES[SAXS])
    )
    file.swmr_mode = True
    return file, data


def is_filled_late(path: Path, announce: Callable[[], None]) -> None:
    file, data = set_aside(path)
    announce()
    for number, frame in enumerate(stack(3)):
        time.sleep(0.3)
        data[number] = frame
        file.flush()
    file.close()


def is_never_filled(path: Path, announce: Callable[[], None]) -> None:
    file, data = set_aside(path)
    data[0] = stack(1)[0]
    file.close()
    announce()


def holds_no_numbers(path: Path, announce: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file[FRAMES] = np.array([[[b"no"]]] * 3, dtype="S2")
    announce()


def has_another_dataset(path: Path, announce: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["other"] = stack(3)
    announce()


@pytest.mark.parametrize(
    ("case", "acknowledged", "word"),
    [
        (appears_late, 3, ""),
        (grows_late, 3, ""),
        (not_for_many_readers, 3, ""),
        (never_appears, 0, "expected a file, found none"),
        (ends_early, 2, "expected 3 rows in /entry/data/data, found 2"),
        (cut_short, 1, "cut short"),
        (not_hdf5, 0, "signature not found"),
        (vanishes, 1, "expected a file, found none"),
        (links_elsewhere, 0, "found a link to"),
        (is_stored_elsewhere, 0, "found a link to '/etc/services'"),
        (cut_short_behind_a_link, 1, "cut short"),
        (cut_short_behind_a_view, 1, "cut short"),
        (view_of_what_is_not_there, 0, "expected its sources, found no"),
        (view_of_a_file_that_comes_late, 3, ""),
        (is_filled_late, 3, ""),
        (is_never_filled, 1, "it is not written yet"),
        (holds_no_numbers, 0, "expected an array of numbers"),
        (has_another_dataset, 0, "expected a dataset"),
    ],
)
def test_file_that_is_not_as_it_should_be(
    tmp_path: Path, case: Callable[..., None], acknowledged: int, word: str
) -> None:
    """The other detector's curves come in any case; nothing is raised; the counts add up."""
    live = live_at(tmp_path, wait_s=2.0, roots=Roots(allowed=(tmp_path / "a" / "ioc",)))
    run = StreamedRun(KEYS, values=tuple(MONITORS))
    path = tmp_path / "a" / "ioc" / "frames.h5"
    other = file_of(tmp_path / "experiment" / "waxs.h5", stack(3, WAXS))

    def announce() -> None:
        send(live, run.begin(), run.resource(SAXS, path), run.resource(WAXS, other))
        for number in range(3):
            send(live, run.datum(SAXS, number, number + 1), run.datum(WAXS, number, number + 1))
            send(live, run.event(number + 1, **MONITORS))
        send(live, run.end())

    case(path, announce)
    status = finished(live)
    assert status["received"] == 6
    assert status["acknowledged"] == status["reduced"] == 3 + acknowledged
    assert (status["missing"], status["lost"], status["queue"]) == (3 - acknowledged, 0, 0)
    assert word in status["last_error"]
    assert bool(status["errors"]) == (acknowledged < 3)
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        curves = file["water/processed/_WAXS"][()]
        assert len(curves) == 3
        assert np.isfinite(curves[:, 0]).any()
        if acknowledged:
            raw = file[f"water/primary/data/{SAXS}"]
            assert np.array_equal(
                [read_frame(raw, n) for n in range(acknowledged)], stack(3)[:acknowledged]
            )
            there = np.isfinite(file["water/processed/_SAXS"][:, 0]).any(axis=1)
            assert there.tolist() == [True] * acknowledged + [False] * (3 - acknowledged)


def test_detector_that_changes_its_frames_gets_a_second_file(tmp_path: Path) -> None:
    """Frames that the geometry does not fit are kept, and told; the others keep their places."""
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    folder = tmp_path / "experiment" / "ioc"
    small = np.ones((1, 30, 40), "i4")
    send(live, run.begin(), run.resource(SAXS, file_of(folder / "1.h5", stack(2))))
    send(live, run.datum(SAXS, 0, 2))
    send(live, run.describe_again({SAXS: (1, 30, 40)}))
    send(
        live, run.resource(SAXS, file_of(folder / "2.h5", small)), run.datum(SAXS, 0, 1, seq_num=3)
    )
    send(live, run.describe_again({SAXS: KEYS[SAXS]}))
    send(live, run.resource(SAXS, file_of(folder / "3.h5", stack(1, seed=9))))
    send(live, run.datum(SAXS, 0, 1, seq_num=4), run.end())
    status = finished(live)
    assert (status["acknowledged"], status["reduced"], status["failed"]) == (4, 3, 1)
    assert "expected a frame of shape (64, 48), found (30, 40)" in status["last_error"]
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        data = file["water/primary/data"]
        assert [data[name].shape for name in sorted(data)] == [
            (2, 64, 48),
            (1, 30, 40),
            (1, 64, 48),
        ]
        there = np.isfinite(file["water/processed/_SAXS"][:, 0]).any(axis=1)
    assert there.tolist() == [True, True, False, True]
    dt = h5xs(tmp_path / "experiment/experiment.h5", read_only=True)
    dt.load_data(update_only=False)
    offline = [np.isfinite(curve.data).any() for curve in dt.d1s["water"]["_SAXS"]]
    assert offline == there.tolist()


def test_descriptors_may_come_late(tmp_path: Path) -> None:
    """Of a stream whose file was told of before it, and of one that begins in mid-run."""
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    start, descriptor = run.begin()
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(4))
    send(live, [start], run.resource(SAXS, path), [descriptor], run.datum(SAXS, 0, 2))
    key = {"source": "x", "dtype": "number", "shape": []}
    late = run.run.compose_descriptor(name="em1_monitor", data_keys={"em1": key})
    send(live, [("descriptor", dict(late.descriptor_doc))])
    for value in range(5):
        event = late.compose_event(data={"em1": value}, timestamps={"em1": float(value)})
        send(live, [("event", dict(event))])
    send(live, run.datum(SAXS, 2, 4), run.end())
    assert finished(live)["reduced"] == 4
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        assert len(file["water/processed/_SAXS"]) == 4
        assert file["water/em1_monitor/data/em1"][()].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (["start", "resource", "datum", "descriptor"], "the descriptor last"),
        (["start", "descriptor", "datum", "resource"], "the resource last"),
        (["start", "datum", "resource", "descriptor"], "the datum first"),
        (["start", "datum", "descriptor", "resource"], "the datum first, the resource last"),
    ],
)
def test_announcement_waits_for_what_it_refers_to(
    tmp_path: Path, order: list[str], why: str
) -> None:
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    start, descriptor = run.begin()
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(4))
    resource = run.resource(SAXS, path)
    early = {
        "start": [start],
        "descriptor": [descriptor],
        "resource": resource,
        "datum": [*run.datum(SAXS, 0, 1), *run.datum(SAXS, 1, 3)],
    }
    send(live, *(early[name] for name in order), run.datum(SAXS, 3, 4), run.end())
    status = finished(live)
    assert (status["received"], status["reduced"], status["errors"]) == (4, 4, []), why
    assert np.array_equal(patterns_of(tmp_path, 4), stack(4))
    assert_offline_is_as_live(tmp_path, 4)


def test_announcement_that_refers_to_nothing_is_told_and_left_out(tmp_path: Path) -> None:
    """Live, and when the run is repaired; it stays in the journal."""
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(3))
    send(live, run.begin(), run.resource(SAXS, path), run.datum(SAXS, 0, 1))
    ((name, odd),) = run.datum(SAXS, 1, 2)
    send(live, [(name, {**odd, "stream_resource": "unknown"})], run.datum(SAXS, 2, 3), run.end())
    status = finished(live)
    assert status["errors"] == ["stream_datum: expected its stream_resource 'unknown', found none"]
    assert (status["acknowledged"], status["reduced"]) == (2, 2)
    sample = tmp_path / "experiment/water"
    names = [name for name, _ in read_journal(sample / "documents.msgpack")]
    assert names.count("stream_datum") == 3
    (sample / "run.h5").unlink()
    (repaired,) = repair_experiment(tmp_path / "experiment")
    assert (repaired.problem, repaired.frames) == ("", {SAXS: 3})
    assert repaired.left_out == tuple(status["errors"])


@pytest.mark.parametrize("empty_at", [0, 2, 3])
def test_stream_datum_without_events_promises_nothing(tmp_path: Path, empty_at: int) -> None:
    """Before, between and after the others; a detector that was asked too early sends it."""
    live = live_at(tmp_path, wait_s=20.0)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(3))
    send(live, run.begin(), run.resource(SAXS, path))
    for number in range(3):
        if number == empty_at:
            send(live, run.datum(SAXS, number, number))
        send(live, run.datum(SAXS, number, number + 1))
    if empty_at == 3:
        send(live, run.datum(SAXS, 3, 3))
    began = time.monotonic()
    send(live, run.end())
    status = finished(live)
    assert (status["reduced"], status["missing"], status["errors"]) == (3, 0, [])
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("documents", "word"),
    [
        (lambda run: run.resource(SAXS, "file://elsewhere/data/x.h5"), "file://localhost"),
        (lambda run: run.resource(SAXS, "http://localhost/x.h5"), "file://localhost"),
        (lambda run: run.resource(SAXS, "file://localhost/etc/passwd"), "expected a file inside"),
        (lambda run: run.resource(SAXS, "file://localhost/tmp/../etc/x"), "expected a file inside"),
    ],
)
def test_uri_that_leads_elsewhere_is_refused(
    tmp_path: Path, documents: Callable[[StreamedRun], Documents], word: str
) -> None:
    live = live_at(tmp_path, wait_s=0.2)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    send(live, run.begin(), documents(run), run.datum(SAXS, 0, 1), run.end())
    status = finished(live)
    assert word in status["last_error"]
    assert status["acknowledged"] == 0


def test_link_in_the_file_system_that_leads_out_is_refused(tmp_path: Path) -> None:
    secret = file_of(tmp_path / "secret.h5", stack(1))
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "innocent.h5").symlink_to(secret)
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    send(live, run.begin(), run.resource(SAXS, tmp_path / "experiment" / "innocent.h5"))
    send(live, run.datum(SAXS, 0, 1), run.end())
    assert "expected a file inside" in finished(live)["last_error"]


def test_files_of_kinds_that_are_not_known_are_told(tmp_path: Path) -> None:
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    ((name, resource),) = run.resource(SAXS, tmp_path / "x.tif")
    resource["mimetype"] = "multipart/related;type=image/tiff"
    send(live, run.begin(), [(name, resource)], run.datum(SAXS, 0, 1), run.end())
    assert "expected a file of type 'application/x-hdf5'" in finished(live)["last_error"]


def test_detector_whose_files_are_not_known_does_not_hold_the_others(tmp_path: Path) -> None:
    live = live_at(tmp_path, wait_s=60.0)
    run = StreamedRun(KEYS)
    ((name, resource),) = run.resource(SAXS, tmp_path / "x.tif")
    resource["mimetype"] = "multipart/related;type=image/tiff"
    waxs = file_of(tmp_path / "experiment" / "waxs.h5", stack(2, WAXS))
    send(live, run.begin(), [(name, resource)], run.resource(WAXS, waxs))
    for number in range(2):
        send(live, run.datum(SAXS, number, number + 1), run.datum(WAXS, number, number + 1))
    assert live.wait(20)
    status = live.status()
    assert (status["reduced"], status["missing"]) == (2, 2)
    send(live, run.end())
    assert len(finished(live)["errors"]) == 1


def area_detector_run(path: Path, *, datum_first: bool, per_point: int = 1) -> Documents:
    """A run of three points as areaDetector's file plugin is told of by resource and datum."""
    run = event_model.compose_run(metadata={"sample_name": "water", "scan_id": 7})
    key = {"source": "x", "dtype": "array", "shape": [64, 48], "external": "FILESTORE:"}
    number = {"source": "x", "dtype": "number", "shape": []}
    keys = {SAXS: key, "em1": number, "em2": number}
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    resource = run.compose_resource(
        spec="AD_HDF5",
        root=str(path.parent),
        resource_path=path.name,
        resource_kwargs={"frame_per_point": per_point},
    )
    documents: Documents = [
        ("start", dict(run.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
        ("resource", dict(resource.resource_doc)),
    ]
    for point in range(3):
        datum = resource.compose_datum(datum_kwargs={"point_number": point})
        event = stream.compose_event(
            data={SAXS: datum["datum_id"], **MONITORS},
            timestamps=dict.fromkeys(keys, 1.0),
            filled={SAXS: False},
        )
        pair: Documents = [("datum", dict(datum)), ("event", dict(event))]
        documents += pair if datum_first else pair[::-1]
    return [*documents, ("stop", dict(run.compose_stop()))]


@pytest.mark.parametrize("per_point", [1, 2])
@pytest.mark.parametrize("datum_first", [True, False])
def test_files_of_areadetector(tmp_path: Path, datum_first: bool, per_point: int) -> None:
    path = file_of(tmp_path / "experiment" / "ad.h5", stack(3 * per_point))
    live = live_at(tmp_path)
    send(live, area_detector_run(path, datum_first=datum_first, per_point=per_point))
    run = finished(live)
    assert (run["acknowledged"], run["reduced"], run["errors"]) == (3 * per_point,) * 2 + ([],)
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        frames = file[f"water/primary/data/{SAXS}"][()]
        assert np.array_equal(frames, stack(3 * per_point))
        assert len(file["water/processed/_SAXS"]) == 3 * per_point
        assert file["water/primary/data/em2"][()].tolist() == [800.0] * 3


def test_closing_gives_up_what_is_not_there_at_once(tmp_path: Path) -> None:
    live = live_at(tmp_path, wait_s=60.0)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    send(live, run.begin(), run.resource(SAXS, tmp_path / "experiment" / "never.h5"))
    send(live, run.datum(SAXS, 0, 1), run.end())
    began = time.monotonic()
    live.close()
    assert time.monotonic() - began < 5
    (status,) = live.status()["runs"]
    assert status["missing"] == 1
    assert "found none; we were closed" in status["last_error"]


def test_runs_with_files_may_interleave(tmp_path: Path) -> None:
    live = live_at(tmp_path, roots=Roots(permanent=(tmp_path,)))
    runs = [
        step_scan(tmp_path / str(number), 5, sample_name=f"sample {number}") for number in range(3)
    ]
    for parts in zip(*runs, strict=True):
        send(live, *parts)
    assert live.wait(30)
    assert [run["reduced"] for run in live.status()["runs"]] == [10, 10, 10]
    live.close()
    for number in range(3):
        found = results(tmp_path / "experiment", f"sample {number}")
        assert np.array_equal(found[f"raw {SAXS}"], stack(5))


@pytest.mark.alone
def test_scan_is_not_held_by_a_file_that_does_not_come(tmp_path: Path) -> None:
    live = live_at(tmp_path, wait_s=1.5)
    run = StreamedRun({SAXS: KEYS[SAXS]}, values=tuple(MONITORS))
    began = time.monotonic()
    send(live, run.begin(), run.resource(SAXS, tmp_path / "experiment" / "never.h5"))
    for number in range(50):
        send(live, run.datum(SAXS, number, number + 1), run.event(number + 1, **MONITORS))
    send(live, run.end())
    assert time.monotonic() - began < 0.5
    status = finished(live)
    assert (status["missing"], status["acknowledged"]) == (50, 0)
    assert time.monotonic() - began < 5


def test_file_is_read_while_another_process_writes_it(tmp_path: Path) -> None:
    """Each frame's curve is there before the writer goes on to the next frame."""
    path = tmp_path / "experiment" / "ioc.h5"
    script = """
        import sys
        import numpy as np
        from pathlib import Path
        from small_streams import Ioc
        frames = np.load(sys.argv[2])
        ioc = Ioc.of_frames(Path(sys.argv[1]), frames)
        for frame in frames:
            input()
            ioc.write(frame)
            print("written", flush=True)
        input()
        ioc.close()
    """
    frames = stack(4)
    np.save(tmp_path / "frames.npy", frames)
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path), str(tmp_path / "frames.npy")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        send(live, run.begin(), run.resource(SAXS, path))
        for number in range(4):
            writer.stdin.write("\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            send(live, run.datum(SAXS, number, number + 1))
            assert live.wait(10)
            assert live.status()["reduced"] == number + 1
        send(live, run.end())
        writer.stdin.write("\n")
        writer.stdin.close()
    assert finished(live)["errors"] == []
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        assert np.array_equal(file[f"water/primary/data/{SAXS}"][()], frames)


def test_repaired_run_keeps_the_links_of_a_dead_writer(tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        sys.argv[1]
        from test_stream_documents import live_at, send, step_scan
        live = live_at(Path(sys.argv[1]))
        *documents, stop = step_scan(Path(sys.argv[1]) / "experiment/ioc", 6)
        send(live, *documents)
        assert live.wait(20)
        print(live.status()["acknowledged"], flush=True)
        time.sleep(60)
    """
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests / 'callbacks'}"},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "12\n"
        writer.kill()
    (sample,) = repair_experiment(tmp_path / "experiment")
    assert sample.problem == ""
    assert sample.frames == {SAXS: 6, WAXS: 6}
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        group = file["water/primary"]
        assert np.array_equal(group[f"data/{SAXS}"][()], stack(6))
        assert group["data/em2"][()].tolist() == [800.0] * 6
        assert group["seq_num"][()].tolist() == list(range(1, 7))
    dt = h5xs(tmp_path / "experiment/experiment.h5")
    dt.load_data()
    assert len(dt.d1s["water"]["merged"]) == 6


def test_repair_leaves_the_file_of_a_living_detector_alone(
    tmp_path: Path, opened: Callable[..., Ioc]
) -> None:
    """Even where that lies in the sample's own folder."""
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    send(live, run.begin())
    assert live.wait(10)
    ioc = opened(tmp_path / "experiment" / "water" / "ioc-7.h5", stack(1))
    ioc.write(stack(2))
    send(live, run.resource(SAXS, ioc.path), run.datum(SAXS, 0, 2), run.end())
    assert finished(live)["reduced"] == 2
    before = ioc.path.read_bytes()[:100]
    (sample,) = repair_experiment(tmp_path / "experiment")
    assert (sample.problem, sample.files) == ("", ())
    assert ioc.path.read_bytes()[:100] == before
    ioc.write(stack(1))


def test_rows_that_a_link_skips_have_no_position(tmp_path: Path) -> None:
    """As where a detector had written frames before the run began."""
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(6))
    send(live, run.begin(), run.resource(SAXS, path))
    send(live, run.datum(SAXS, 3, 4, seq_num=1), run.datum(SAXS, 5, 6, seq_num=2), run.end())
    assert finished(live)["reduced"] == 2
    with h5py.File(tmp_path / "experiment/water/primary.saxs_image.h5", "r") as file:
        assert file["position"][()].tolist() == [-1, -1, -1, 0, -1, 1]
    dt = h5xs(tmp_path / "experiment/experiment.h5", read_only=True)
    assert np.array_equal(dt.get_d2("water", frn=0)["_SAXS"].data, stack(6)[3])
    assert np.array_equal(dt.get_d2("water", frn=1)["_SAXS"].data, stack(6)[5])
    dt.load_data(update_only=False)
    assert len(dt.d1s["water"]["merged"]) == 2


def patterns_of(folder: Path, count: int) -> list[NDArray[Any]]:
    dt = h5xs(folder / "experiment/experiment.h5", read_only=True)
    return [dt.get_d2("water", frn=number)["_SAXS"].data for number in range(count)]


def assert_offline_is_as_live(folder: Path, count: int) -> None:
    dt = h5xs(folder / "experiment/experiment.h5", read_only=True)
    dt.load_d1s("water")
    live_curves = [curve.data.copy() for curve in dt.d1s["water"]["_SAXS"]]
    assert np.isfinite(live_curves).any(axis=1).all()
    dt.load_data(update_only=False)
    assert np.array_equal(
        live_curves, [curve.data for curve in dt.d1s["water"]["_SAXS"]], equal_nan=True
    )
    assert len(live_curves) == count


@pytest.mark.parametrize(
    ("steps", "frames", "files", "why"),
    [
        ([(2, 4, 1), (0, 2, 3)], [2, 3, 0, 1], 1, "backwards in the file"),
        ([(0, 2, 1), (0, 2, 3)], [0, 1, 0, 1], 2, "frames that belong to two rows each"),
        ([(1, 2, 1), (0, 3, 2), (2, 4, 5)], [1, 0, 1, 2, 2, 3], 3, "and some of them again"),
    ],
)
def test_announcements_may_go_anywhere_in_a_file(
    tmp_path: Path, steps: list[tuple[int, int, int]], frames: list[int], files: int, why: str
) -> None:
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(4))
    send(live, run.begin(), run.resource(SAXS, path))
    for first, stop, seq_num in steps:
        send(live, run.datum(SAXS, first, stop, seq_num=seq_num))
    send(live, run.end())
    status = finished(live)
    assert (status["acknowledged"], status["reduced"]) == (len(frames),) * 2
    assert np.array_equal(patterns_of(tmp_path, len(frames)), stack(4)[frames]), why
    assert len(list((tmp_path / "experiment/water").glob("primary.*.h5"))) == files
    assert_offline_is_as_live(tmp_path, len(frames))


def remove(path: Path) -> None:
    path.unlink()


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("view", [True, False])
@pytest.mark.parametrize(
    ("damage", "left", "why"),
    [(cut_in_half, 1, "it was cut short"), (remove, 0, "expected its sources, found no")],
)
def test_frames_that_vanish_later_are_told_and_good_curves_stay(
    tmp_path: Path,
    view: bool,
    damage: Callable[[Path], None],
    left: int,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "experiment"
    source = file_of(folder / "d.h5", stack(3))
    target = source
    if view:
        target = folder / "master.h5"
        layout = h5py.VirtualLayout((3, *SHAPES[SAXS]), "i4")
        layout[:] = h5py.VirtualSource("d.h5", FRAMES, (3, *SHAPES[SAXS]))
        with h5py.File(target, "w", libver="latest") as file:
            file.create_virtual_dataset(FRAMES, layout)
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    send(live, run.begin(), run.resource(SAXS, target), run.datum(SAXS, 0, 3), run.end())
    assert finished(live)["reduced"] == 3
    with h5py.File(folder / "experiment.h5", "r") as file:
        before = file["water/processed/_SAXS"][()]
    kept = source.read_bytes()
    damage(source)
    dt = h5xs(folder / "experiment.h5")
    for number in range(left):
        assert np.array_equal(dt.get_d2("water", frn=number)["_SAXS"].data, stack(3)[number])
    for number in range(left, 3):
        with pytest.raises((FrameAbsentError, IndexError), match=f"{why}|found no frames"):
            dt.get_d2("water", frn=number)
    dt.load_data()
    if view or left:
        there = [np.isfinite(curve.data).any() for curve in dt.d1s["water"]["_SAXS"]]
        assert there == [True] * left + [False] * (3 - left)
        assert f"{3 - left} frames that its file has reduced were not found" in caplog.text
    with suppress(ReductionError):  # no frame is left
        dt.average_d1s("water")
        assert dt.get_d1("water", "averaged") is not None
    with h5py.File(folder / "experiment.h5", "r") as file:
        assert np.array_equal(file["water/processed/_SAXS"][()], before, equal_nan=True)
    source.write_bytes(kept)
    dt.load_data()
    assert all(np.isfinite(curve.data).any() for curve in dt.d1s["water"]["_SAXS"])


def test_our_reading_does_not_lock_a_detector_out(tmp_path: Path) -> None:
    """A file that is not written in the mode for many readers may be opened again by its writer."""
    path = tmp_path / "experiment" / "ioc.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file.create_dataset(FRAMES, data=stack(3), maxshape=(None, *SHAPES[SAXS]), chunks=True)
    live = live_at(tmp_path)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    send(live, run.begin(), run.resource(SAXS, path), run.datum(SAXS, 0, 3))
    assert live.wait(10)
    with h5py.File(path, "r+") as file:  # it would say: unable to lock file
        data = file[FRAMES]
        data.resize(4, axis=0)
        data[3] = stack(1)[0]
    send(live, run.datum(SAXS, 3, 4), run.end())
    assert finished(live)["reduced"] == 4


def documents_with_datums(
    path: Path, datums: list[str], *, datum_first: bool = True, told: tuple[str, ...] = ("a",)
) -> Documents:
    """Events that name datums, of which those told of come; datum "a" is point 0, and so on."""
    run = event_model.compose_run(metadata={"sample_name": "water", "scan_id": 7})
    key = {"source": "x", "dtype": "array", "shape": [1, 64, 48], "external": "FILESTORE:"}
    stream = run.compose_descriptor(name="primary", data_keys={SAXS: key})
    resource = run.compose_resource(
        spec="AD_HDF5",
        root=str(path.parent),
        resource_path=path.name,
        resource_kwargs={"frame_per_point": 1},
    )
    coming: Documents = []
    for name in told:
        datum = resource.compose_datum(datum_kwargs={"point_number": ord(name) - ord("a")})
        coming.append(("datum", {**datum, "datum_id": name}))
    events: Documents = [
        (
            "event",
            dict(
                stream.compose_event(
                    data={SAXS: name}, timestamps={SAXS: 1.0}, filled={SAXS: False}, validate=False
                )
            ),
        )
        for name in datums
    ]
    return [
        ("start", dict(run.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
        ("resource", dict(resource.resource_doc)),
        *((*coming, *events) if datum_first else (*events, *coming)),
        ("stop", dict(run.compose_stop())),
    ]


@pytest.mark.parametrize("datum_first", [True, False])
@pytest.mark.parametrize(
    ("datums", "found", "why"),
    [
        (["a", "a", "a"], 3, "one datum for three events"),
        (["a", "x", "y"], 1, "datums that never come"),
        (["b", "a"], 2, "backwards"),
    ],
)
def test_every_event_has_its_datum_or_is_told(
    tmp_path: Path, datum_first: bool, datums: list[str], found: int, why: str
) -> None:
    path = file_of(tmp_path / "experiment" / "ad.h5", stack(2))
    live = live_at(tmp_path)
    told = ("a", "b") if "b" in datums else ("a",)
    send(live, documents_with_datums(path, datums, datum_first=datum_first, told=told))
    status = finished(live)
    missing = len(datums) - found
    assert (status["received"], status["acknowledged"]) == (len(datums), found), why
    assert (status["reduced"], status["missing"], status["queue"]) == (found, missing, 0)
    assert bool(status["errors"]) == bool(missing)
    if not missing:
        points = [ord(name) - ord("a") for name in datums]
        assert np.array_equal(patterns_of(tmp_path, found), stack(2)[points])
        assert_offline_is_as_live(tmp_path, found)


def test_detector_that_stays_silent_does_not_hold_the_curves_of_others(tmp_path: Path) -> None:
    """It is told, and waited for again once it speaks."""
    live = live_at(tmp_path, wait_s=1.0)
    run = StreamedRun({WAXS: KEYS[WAXS]}, values=(SAXS, *MONITORS))
    waxs = file_of(tmp_path / "experiment" / "waxs.h5", stack(6, WAXS))
    send(live, run.begin(), run.resource(WAXS, waxs))
    for number in range(3):
        send(live, run.event(number + 1, **{SAXS: stack(6)[number], **MONITORS}))
    assert live.wait(10)
    status = live.status()["runs"][0]
    assert status["reduced"] == 3
    assert any("heard nothing of it for 1 s" in warning for warning in status["warnings"])
    for number in range(3, 6):
        send(live, run.datum(WAXS, number, number + 1))
        send(live, run.event(number + 1, **{SAXS: stack(6)[number], **MONITORS}))
    send(live, run.end())
    status = finished(live)
    assert (status["received"], status["acknowledged"], status["missing"]) == (12, 9, 3)
    assert status["errors"] == [
        f"{WAXS}: expected to be told where that of every event is, heard nothing of 3 events"
    ]
    with h5py.File(tmp_path / "experiment/experiment.h5", "r", swmr=True) as file:
        assert len(file["water/processed/_SAXS"]) == 6


@pytest.mark.parametrize(
    ("indices", "seq_nums", "found", "word"),
    [
        ((0, 3), (1, 2), 1, "found 3 indices and 1 numbers"),
        ((0, 1), (1, 4), 1, "found 1 indices and 3 numbers"),
        ((-2, 1), (1, 4), 0, "expected indices from 0 on, found -2"),
    ],
)
def test_announcement_that_does_not_add_up_is_told(
    tmp_path: Path, indices: tuple[int, int], seq_nums: tuple[int, int], found: int, word: str
) -> None:
    live = live_at(tmp_path, wait_s=2.0)
    run = StreamedRun({SAXS: KEYS[SAXS]})
    path = file_of(tmp_path / "experiment" / "ioc.h5", stack(3))
    resource = run.resource(SAXS, path)
    ((name, doc),) = run.datum(SAXS, 0, 3)
    for key, (first, stop) in (("indices", indices), ("seq_nums", seq_nums)):
        doc[key] = {"start": first, "stop": stop}
    send(live, run.begin(), resource, [(name, doc)], run.end())
    status = finished(live)
    assert status["acknowledged"] == found
    assert any(word in error for error in status["errors"])


def test_scan_is_not_held_by_copies_of_frames_whose_events_are_to_come(tmp_path: Path) -> None:
    """They may take half of the room; frames in the events have the other half."""
    ram = tmp_path / "ram"
    output = Output(max_wait_s=30.0, max_pending_mb=1, max_block_s=0.5)
    beamline = small_beamline(monitors=None, output=output, roots=Roots(allowed=(ram,)))
    live = LiveReduction(beamline, tmp_path / "experiment")
    count = 150
    run = StreamedRun({SAXS: KEYS[SAXS]}, values=(WAXS,))
    path = file_of(ram / "saxs.h5", stack(count))
    send(live, run.begin(), run.resource(SAXS, path), run.datum(SAXS, 0, count))
    time.sleep(0.5)  # the room is as full as it gets
    for number, frame in enumerate(stack(count, WAXS)):
        send(live, run.event(number + 1, **{WAXS: frame}))  # it would raise
    send(live, run.end())
    status = finished(live)
    assert (status["acknowledged"], status["reduced"], status["lost"]) == (2 * count,) * 2 + (0,)


def test_run_with_a_file_for_every_event_keeps_few_of_them_open(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from small_streams import StreamedRun, file_of
        from test_stream_documents import KEYS, SAXS, finished, live_at, send, stack
        folder, count = Path(sys.argv[1]), 150
        for number in range(count):
            file_of(folder / "experiment" / f"{number}.h5", stack(1, seed=number))
        resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
        live = live_at(folder)
        run = StreamedRun({SAXS: KEYS[SAXS]})
        send(live, run.begin())
        for number in range(count):
            send(live, run.resource(SAXS, folder / "experiment" / f"{number}.h5"))
            send(live, run.datum(SAXS, 0, 1, seq_num=number + 1))
        send(live, run.end())
        status = finished(live)
        print(status["acknowledged"], status["reduced"], status["errors"])
    """
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests / 'callbacks'}"},
    )
    assert done.stdout == "150 150 []\n", done.stderr
    dt = h5xs(tmp_path / "experiment/experiment.h5", read_only=True)
    assert np.array_equal(dt.get_d2("water", frn=149)["_SAXS"].data, stack(1, seed=149)[0])
