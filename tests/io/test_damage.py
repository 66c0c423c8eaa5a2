"""A damaged file is told at once, and holds no other thread."""

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_beamline import run_documents, small_frames, write_experiment
from small_damage import CUTS, ZEROS, cut, zero
from small_streams import FRAMES, Ioc

from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.errors import FileCutError, FileDamagedError, FrameAbsentError
from h5xs_bluesky.io.damage import damage_of
from h5xs_bluesky.io.experiment import open_for_reading, sample_names
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.opening import _ATTEMPTS, _library_call, open_frames, open_whole
from h5xs_bluesky.io.superblock import expected_and_found_size

_LONGEST_S = 0.5  # between two ticks of 10 ms; for one damaged block HDF5 takes some 0.15 s
_READER = """
    import json, sys, threading, time
    from pathlib import Path
    from h5xs_bluesky.api.info import describe
    from h5xs_bluesky.io.external import AllowedFolders, ExternalDataset

    gaps, last = [0.0], [time.monotonic()]

    def tick():
        while True:
            time.sleep(0.01)
            now = time.monotonic()
            gaps.append(now - last[0])
            last[0] = now

    def frames(path):
        folders = AllowedFolders(permanent=(path.parent,), allowed=())
        dataset = ExternalDataset(path, "FRAMES", folders=folders)
        dataset.frames(dataset.rows(2) - 1, 1, 1)
        return ""

    def experiment(path):
        return "; ".join(sample.problem for sample in describe(path).samples if sample.problem)

    threading.Thread(target=tick, daemon=True).start()
    for line in sys.stdin:
        what, path = json.loads(line)
        gaps[:], last[0] = [0.0], time.monotonic()
        try:
            told = {"frames": frames, "experiment": experiment}[what](Path(path))
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
        time.sleep(0.03)
        print(json.dumps([told, max(gaps)]), flush=True)
"""


@pytest.fixture(scope="module")
def reader() -> "subprocess.Popen[str]":
    """A process that reads what it is told, beside a thread that ticks."""
    script = textwrap.dedent(_READER).replace("FRAMES", FRAMES)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two samples, the same packed, and the file of a detector."""
    folder = tmp_path_factory.mktemp("experiment")
    runs = [
        run_documents(small_frames(5, seed=n), sample_name=name, scan_id=n)
        for n, name in enumerate(["buffer", "water"])
    ]
    write_experiment(folder, *runs)
    pack(folder, folder / "packed.h5")
    ioc = Ioc.of_frames(folder / "detector.h5", np.ones((64, 48), np.int32), swmr=False)
    for number in range(40):
        ioc.write(np.full((64, 48), number, np.int32))
    ioc.file.close()
    return folder


FILES = {
    "experiment.h5": ("experiment", "experiment.h5"),
    "packed.h5": ("experiment", "packed.h5"),
    "water/run.h5": ("experiment", "experiment.h5"),
    "water/processed.h5": ("experiment", "experiment.h5"),
    "detector.h5": ("frames", "detector.h5"),
}


@pytest.mark.alone
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_told_and_other_threads_go_on(
    folder: Path, reader: "subprocess.Popen[str]", name: str
) -> None:
    what, opened = FILES[name]
    path = folder / name
    whole = path.read_bytes()
    told: dict[str, str] = {}
    longest = 0.0
    try:
        for damage, do in {**CUTS, **ZEROS}.items():
            _replace(path, whole, do)
            told[damage], gap = _ask(reader, what, folder / opened)
            longest = max(longest, gap)
    finally:
        _replace(path, whole)
    assert longest < _LONGEST_S, told
    silent = [damage for damage in CUTS if not told[damage]]
    assert not silent, told
    assert all("truncated file" in told[damage] for damage in CUTS) or what == "frames", told
    assert told["zeros but for the superblock"], told
    assert _ask(reader, what, folder / opened)[0] == ""


def _replace(path: Path, content: bytes, damage: Callable[[Path], None] | None = None) -> None:
    new = path.with_name("new.tmp")
    new.write_bytes(content)
    if damage is not None:
        damage(new)
    new.replace(path)


def _ask(process: "subprocess.Popen[str]", what: str, path: Path) -> tuple[str, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([what, str(path)]) + "\n")
    process.stdin.flush()
    told, gap = json.loads(process.stdout.readline())
    return told, gap


def test_hdf5_gives_up_soon_in_what_is_opened_and_what_that_links(tmp_path: Path) -> None:
    assert _library_call() is not None
    with h5py.File(tmp_path / "linked.h5", "w", libver=("v110", "v110")) as file:
        file["numbers"] = np.arange(1000)
    with h5py.File(tmp_path / "links.h5", "w", libver=("v110", "v110")) as file:
        file["there"] = h5py.ExternalLink("linked.h5", "/")
    with open_frames(tmp_path / "links.h5") as file:
        for each in (file, file["there"].file):
            assert _attempts(each) == _ATTEMPTS


def _attempts(file: h5py.File) -> int:
    import ctypes

    get = ctypes.PyDLL(h5py.h5p.__file__).H5Pget_metadata_read_attempts
    get.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_uint)]
    found = ctypes.c_uint()
    assert get(file.id.get_access_plist().id, ctypes.byref(found)) >= 0
    return found.value


def test_other_samples_are_read_beside_a_damaged_one(folder: Path) -> None:
    path = folder / "water" / "run.h5"
    whole = path.read_bytes()
    try:
        for damage in (*CUTS.values(), *ZEROS.values()):
            _replace(path, whole, damage)
            with open_for_reading(folder / "experiment.h5") as file:
                assert "buffer" in sample_names(file)
    finally:
        _replace(path, whole)


def test_file_being_written_is_never_taken_for_one_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "grows.h5"
    script = """
        import sys, time, h5py, numpy as np
        with h5py.File(sys.argv[1], "w", libver=("v110", "v110")) as file:
            rows = file.create_dataset("rows", (0, 64), "f8", chunks=(1, 64), maxshape=(None, 64))
            file.swmr_mode = True
            print("ready", flush=True)
            end = time.monotonic() + 2
            while time.monotonic() < end:
                rows.resize(len(rows) + 1, 0)
                rows[-1] = 1
                file.flush()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        looks = 0
        while writer.poll() is None:
            expected, found = expected_and_found_size(path)
            assert expected <= found
            if looks % 3 == 0:
                with open_whole(path) as file:
                    len(file["rows"])
            looks += 1
    assert looks > 100


def test_half_of_a_big_file_is_told_by_its_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "big.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["numbers"] = np.zeros(4_000_000)
    cut(path, 0.6)
    began = time.monotonic()
    with pytest.raises(FileCutError, match=r"big.h5: truncated file: expected 32\d+ bytes"):
        open_whole(path)
    assert time.monotonic() - began < 1


def test_what_is_there_of_a_linked_file_that_was_cut_is_given(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "linked.h5", "w", libver="latest") as file:
        file["group/numbers"] = np.arange(10)
        file.create_dataset("first", data=np.arange(10))
        file["frames"] = np.ones((400, 8, 8))
        file["last"] = np.arange(1000)
    with h5py.File(tmp_path / "links.h5", "w") as file:
        for name in ("group", "first", "frames", "last"):
            file[name] = h5py.ExternalLink("linked.h5", name)
    cut(tmp_path / "linked.h5", 0.7)
    with open_whole(tmp_path / "links.h5") as file:
        first = follow(file, "first", roots=[tmp_path])
        assert first is not None
        np.testing.assert_array_equal(first[()], np.arange(10))
        assert follow(file, "frames", roots=[tmp_path]) is not None
        with pytest.raises(FrameAbsentError, match="cut short"):
            follow(file, "last", roots=[tmp_path])
        with pytest.raises(FileCutError):
            follow(file, "group", roots=[tmp_path])


def test_link_to_a_name_that_is_not_there_leads_nowhere_and_one_to_damage_is_told(
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "linked.h5", "w", libver=("v110", "v110")) as file:
        file["numbers"] = np.arange(1000)
    with h5py.File(tmp_path / "links.h5", "w", libver=("v110", "v110")) as file:
        file["there"] = h5py.ExternalLink("linked.h5", "numbers")
        file["not"] = h5py.ExternalLink("linked.h5", "other")
        file["no file"] = h5py.ExternalLink("gone.h5", "numbers")
    with open_whole(tmp_path / "links.h5") as file:
        assert follow(file, "not", roots=[tmp_path]) is None
        assert follow(file, "no file", roots=[tmp_path]) is None
    zero(tmp_path / "linked.h5", 0, 0.1)
    with (
        open_whole(tmp_path / "links.h5") as file,
        pytest.raises(FileDamagedError, match=r"linked\.h5"),
    ):
        follow(file, "there", roots=[tmp_path])


def test_all_damage_to_names_and_texts_is_found(folder: Path) -> None:
    assert damage_of(folder / "water" / "processed.h5") == ""
    path = folder / "water" / "processed.h5"
    whole = path.read_bytes()
    try:
        for name, damage in CUTS.items():
            _replace(path, whole, damage)
            assert "truncated file" in damage_of(path), name
        _replace(path, whole, ZEROS["zeros in the middle"])
        assert "processed.h5" in damage_of(path)
    finally:
        _replace(path, whole)


def test_heap_of_texts_that_has_no_end_is_told_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["text"] = "x" * 1000
    data = path.read_bytes()
    begin = data.index(b"GCOL")
    path.write_bytes(data[: begin + 16] + bytes(2000) + data[begin + 2016 :])
    with pytest.raises(FileDamagedError, match=f"expected strings at byte {begin}, found zeros"):
        open_whole(path)
