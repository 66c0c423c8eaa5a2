"""Files without Bluesky become an experiment like one that was measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage
from numpy.typing import NDArray
from small_beamline import SAXS, WAXS, run_documents, small_beamline, small_frames
from typer.testing import CliRunner

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.callbacks.import_files import import_files
from h5xs_bluesky.cli import app
from h5xs_bluesky.errors import FileFormatError, FrameAbsentError, RefusedError

COUNT = 5


def frames_of(field: str = SAXS) -> NDArray[np.int32]:
    return np.stack([frame[field] for frame in small_frames(COUNT)])


def pictures(kind: Callable[..., Any], suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = [folder / f"frame_{number:03}{suffix}" for number in range(COUNT)]
        for path, frame in zip(paths, frames_of(), strict=True):
            kind(data=frame).write(str(path))
        return paths

    return write


def many_in_one_picture(folder: Path) -> list[Path]:
    first, *others = frames_of()
    series = EdfImage(data=first)
    for frame in others:
        series.append_frame(data=frame)
    series.write(str(folder / "series.edf"))
    assert fabio.open(str(folder / "series.edf")).nframes == COUNT
    return [folder / "series.edf"]


def eiger(folder: Path) -> list[Path]:
    """A master file links to files of some frames each."""
    parts = np.split(frames_of(), [2, 4])
    with h5py.File(folder / "x_master.h5", "w") as master:
        data = master.create_group("entry/data")
        for number, part in enumerate(parts, start=1):
            name = f"x_data_{number:06}.h5"
            with h5py.File(folder / name, "w") as file:
                file.create_dataset(
                    "entry/data/data",
                    data=part.astype("u4"),
                    chunks=(1, *part.shape[1:]),
                    **hdf5plugin.Bitshuffle(cname="lz4"),
                )
            data[f"data_{number:06}"] = h5py.ExternalLink(name, "entry/data/data")
    return [folder / "x_master.h5"]


def nexus(folder: Path) -> list[Path]:
    """The attributes say which data are meant, whatever they are called."""
    with h5py.File(folder / "scan.nxs", "w") as file:
        file.attrs["default"] = "measurement"
        group = file.create_group("measurement")
        group.attrs["default"] = "pictures"
        data = group.create_group("pictures")
        data.attrs["signal"] = "counts"
        data["counts"] = frames_of()
        data["time"] = np.arange(COUNT)
    return [folder / "scan.nxs"]


def named(folder: Path) -> list[Path]:
    with h5py.File(folder / "own.h5", "w") as file:
        file["somewhere/else"] = frames_of()
        file["somewhere/not"] = np.zeros((2, 30, 30))
    return [folder / "own.h5"]


def four_dimensions(folder: Path) -> list[Path]:
    with h5py.File(folder / "own.h5", "w") as file:
        file["somewhere/else"] = frames_of().reshape(1, COUNT, 64, 48)
    return [folder / "own.h5"]


def two_files(folder: Path) -> list[Path]:
    for name, part in (("1.h5", frames_of()[:2]), ("2.h5", frames_of()[2:])):
        with h5py.File(folder / name, "w") as file:
            file["entry/data/data"] = part
    return [folder / "1.h5", folder / "2.h5"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float64]:
    """The curves of the same frames from a scan."""
    folder = tmp_path_factory.mktemp("measured")
    live = LiveReduction(small_beamline(monitors=None), folder)
    for name, doc in run_documents([{SAXS: frame} for frame in frames_of()], monitors={}):
        live(name, doc)
    live.wait()
    live.close()
    with h5py.File(folder / "experiment.h5", "r") as file:
        curves: NDArray[np.float64] = file["water/processed/_SAXS"][()]
    return curves


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (pictures(TifImage, ".tif"), {}),
        (pictures(CbfImage, ".cbf"), {}),
        (pictures(EdfImage, ".edf"), {}),
        (many_in_one_picture, {}),
        (eiger, {}),
        (nexus, {}),
        (two_files, {}),
        (named, {"dataset": "/somewhere/else"}),
        (four_dimensions, {"dataset": "somewhere/else"}),
        (eiger, {"dataset": "entry/data/data_000001", "frames": 2}),
    ],
)
def test_frames_are_reduced_as_if_measured(
    tmp_path: Path,
    write: Callable[[Path], list[Path]],
    options: dict[str, Any],
    expected: NDArray[np.float64],
) -> None:
    others = {key: value for key, value in options.items() if key != "frames"}
    frames = options.get("frames", COUNT)
    beamline = small_beamline(monitors=None)
    (run,) = import_files(
        write(tmp_path), tmp_path / "experiment", beamline, sample="lysozyme", **others
    )
    assert (run["reduced"], run["errors"]) == (frames, [])
    with h5py.File(tmp_path / "experiment" / "experiment.h5", "r") as file:
        group = file["lysozyme"]
        assert np.array_equal(group[f"primary/data/{SAXS}"][()], frames_of()[:frames])
        assert np.array_equal(group["processed/_SAXS"][()], expected[:frames], equal_nan=True)
        start = json.loads(group.attrs["start"])
    assert start["plan_name"] == "import"
    assert start["sample_name"] == "lysozyme"
    assert start["imported_from"]


def ancestor(folder: Path, *, monitor_points: int = COUNT) -> Path:
    """A file as py4xs keeps it: samples with start documents, frames, monitors, curves."""
    path = folder / "py4xs.h5"
    with h5py.File(path, "w") as file:
        file.attrs["detectors"] = "[]"
        file.attrs["qgrid"] = np.linspace(0.02, 0.3, 25)
        for number, sample in enumerate(("buf", "lys")):
            group = file.create_group(sample)
            group.attrs["start"] = json.dumps(
                {"uid": f"uid-{number}", "time": 1e9 + number, "scan_id": number, "user": "x"}
            )
            for field in (SAXS, WAXS):
                group[f"primary/data/{field}"] = frames_of(field) + number
                group[f"primary/timestamps/{field}"] = 1e9 + np.arange(COUNT)
            for monitor in ("em1", "em2"):
                group[f"primary/data/{monitor}"] = np.full(monitor_points, 900.0 + number)
                group[f"primary/timestamps/{monitor}"] = 1e9 + np.arange(monitor_points)
            group["processed/merged"] = np.zeros((COUNT, 2, 25))
        file.create_group(".empty")
        file["overall/data"] = np.zeros(3)
    return path


def test_file_of_py4xs_keeps_its_headers_and_monitors(tmp_path: Path) -> None:
    runs = import_files([ancestor(tmp_path)], tmp_path / "experiment", small_beamline())
    assert [(run["sample"], run["reduced"], run["errors"]) for run in runs] == [
        ("buf", 2 * COUNT, []),
        ("lys", 2 * COUNT, []),
    ]
    dt = h5xs(tmp_path / "experiment" / "experiment.h5", read_only=True)
    assert dt.samples == ["buf", "lys"]
    header = dt.header("lys")
    assert (header["uid"], header["time"], header["user"]) == ("uid-1", 1e9 + 1, "x")
    dt.load_d1s("lys")
    merged = dt.d1s["lys"]["merged"]
    assert [curve.trans for curve in merged] == [901.0] * COUNT
    with h5py.File(tmp_path / "experiment" / "experiment.h5", "r") as file:
        assert np.array_equal(file[f"lys/primary/data/{WAXS}"][()], frames_of(WAXS) + 1)
        stamps = file[f"lys/primary/timestamps/{SAXS}"][()]
    assert stamps.tolist() == (1e9 + np.arange(COUNT)).tolist()


def test_one_sample_of_a_file_of_py4xs(tmp_path: Path) -> None:
    path = ancestor(tmp_path)
    (run,) = import_files([path], tmp_path / "experiment", small_beamline(), sample="buf")
    assert run["sample"] == "buf"
    with pytest.raises(FileFormatError, match=r"expected one of the samples \['buf', 'lys'\]"):
        import_files([path], tmp_path / "experiment", small_beamline(), sample="nothing")


def test_monitors_of_another_length_become_a_stream_of_their_own(tmp_path: Path) -> None:
    path = ancestor(tmp_path, monitor_points=17)
    (run,) = import_files([path], tmp_path / "experiment", small_beamline(), sample="buf")
    assert (run["reduced"], run["errors"]) == (2 * COUNT, [])
    with h5py.File(tmp_path / "experiment" / "experiment.h5", "r") as file:
        assert len(file["buf/primary_em1/data/em1"]) == 17
        assert file[f"buf/primary/data/{SAXS}"].shape[0] == COUNT


def outside(folder: Path) -> list[Path]:
    (folder / "in").mkdir()
    with h5py.File(folder / "secret.h5", "w") as file:
        file["data"] = frames_of()
    with h5py.File(folder / "in" / "link.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("../secret.h5", "data")
    return [folder / "in" / "link.h5"]


def empty(folder: Path) -> list[Path]:
    with h5py.File(folder / "empty.h5", "w") as file:
        file["other/frames"] = np.zeros((2, 30, 30))
    return [folder / "empty.h5"]


def words(folder: Path) -> list[Path]:
    (folder / "readme.txt").write_text("no picture")
    return [folder / "readme.txt"]


def other_shape(folder: Path) -> list[Path]:
    TifImage(data=np.zeros((30, 30), "i4")).write(str(folder / "f.tif"))
    return [folder / "f.tif"]


@pytest.mark.parametrize(
    ("write", "error", "word"),
    [
        (lambda folder: [folder / "none.tif"], FileFormatError, "found none"),
        (lambda folder: [], FileFormatError, "expected files of frames"),
        (outside, RefusedError, "it was not followed"),
        (empty, FileFormatError, r"name their dataset with --dataset; there are \['other/frames'"),
        (words, FileFormatError, "expected a picture"),
        (other_shape, FileFormatError, "name the detector that took them with --detector"),
    ],
)
def test_files_that_cannot_be_imported(
    tmp_path: Path, write: Callable[[Path], list[Path]], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        import_files(write(tmp_path), tmp_path / "experiment", small_beamline(), sample="x")
    assert not (tmp_path / "experiment").exists()


def cut(path: Path, share: float = 0.6) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


def cut_picture(kind: Callable[..., Any], suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = pictures(kind, suffix)(folder)
        cut(paths[3])
        return paths

    return write


def cut_eiger_part(folder: Path) -> list[Path]:
    paths = eiger(folder)
    part = folder / "x_data_000002.h5"
    part.unlink()
    with h5py.File(part, "w", libver=("v110", "v110")) as file:
        file.create_dataset(
            "entry/data/data", data=frames_of()[2:4].astype("u4"), chunks=(1, 64, 48)
        )
    cut(part)
    return paths


def view_with_a_source_missing(folder: Path) -> list[Path]:
    layout = h5py.VirtualLayout((COUNT, 64, 48), "i4")
    with h5py.File(folder / "part.h5", "w") as file:
        file["d"] = frames_of()[:3]
    layout[:3] = h5py.VirtualSource("part.h5", "d", (3, 64, 48))
    layout[3:] = h5py.VirtualSource("gone.h5", "d", (2, 64, 48))
    with h5py.File(folder / "view.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    return [folder / "view.h5"]


def no_rows_and_columns(folder: Path) -> list[Path]:
    paths = pictures(TifImage, ".tif")(folder)
    from PIL import Image

    Image.fromarray(np.zeros((64, 48, 3), "u1")).save(paths[3])
    return paths


@pytest.mark.parametrize(
    ("write", "frames", "error", "word"),
    [
        (cut_picture(TifImage, ".tif"), 3, FileFormatError, "frame_003.tif"),
        (cut_picture(CbfImage, ".cbf"), 0, FileFormatError, "frame_003.cbf"),
        (cut_picture(EdfImage, ".edf"), 3, FileFormatError, "Data stream is incomplete"),
        (no_rows_and_columns, 3, FileFormatError, "expected frame 0 to be numbers in rows"),
        (cut_eiger_part, 3, FrameAbsentError, "it was cut short"),
        (view_with_a_source_missing, 3, FrameAbsentError, "found no .*gone.h5"),
    ],
)
def test_frames_that_cannot_be_read_end_the_import(
    tmp_path: Path,
    write: Callable[[Path], list[Path]],
    frames: int,
    error: type[Exception],
    word: str,
) -> None:
    """What was imported before is whole; a file that cannot even be opened is told beforehand."""
    with pytest.raises(error, match=word):
        import_files(
            write(tmp_path), tmp_path / "experiment", small_beamline(monitors=None), sample="x"
        )
    if not frames:
        assert not (tmp_path / "experiment").exists()
        return
    with h5py.File(tmp_path / "experiment" / "experiment.h5", "r") as file:
        assert json.loads(file["x"].attrs["stop"])["exit_status"] == "fail"
        assert np.array_equal(file[f"x/primary/data/{SAXS}"][()], frames_of()[:frames])


def test_command_line(tmp_path: Path, h5xs_data: Path) -> None:
    """From real pictures and a TOML file to a curve; a second import needs no TOML file."""
    (tmp_path / "beamline.toml").write_text(
        f"""
        [beamline]
        name = "laboratory"
        [[detectors]]
        extension = "_SAXS"
        data_key = "pil1M_image"
        model = "Pilatus1M"
        mask = "{h5xs_data / "saxs" / "mask.npz"}"
        [detectors.geometry]
        beam_center_px = [319.0, 588.0]
        distance_m = 0.7505
        wavelength_angstrom = 1.445
        [qgrid]
        linear = {{ start = 0.01, stop = 0.5, bins = 200 }}
        """
    )
    folder = tmp_path / "out"
    run = CliRunner().invoke(
        app,
        [
            *("import", str(h5xs_data / "saxs" / "agbh.tif"), "--sample", "AgBh"),
            *("--folder", str(folder), "--config", str(tmp_path / "beamline.toml")),
            *("-m", "exposure=60", "-m", "title=silver behenate"),
        ],
    )
    assert run.exit_code == 0, run.output
    assert "AgBh" in run.output
    dt = h5xs(folder / "experiment.h5", read_only=True)
    assert dt.header("AgBh")["exposure"] == 60
    curve = dt.get_d1("AgBh", "averaged")
    ring = curve.qgrid[(curve.qgrid > 0.08) & (curve.qgrid < 0.14)]
    peak = ring[np.nanargmax(curve.data[(curve.qgrid > 0.08) & (curve.qgrid < 0.14)])]
    assert peak == pytest.approx(0.10763, rel=0.02)
    again = CliRunner().invoke(
        app,
        [
            *("import", str(h5xs_data / "saxs" / "buffer.tif"), "--sample", "buffer"),
            *("--folder", str(folder), "--json"),
        ],
    )
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)[0]["reduced"] == 1


def test_command_line_tells_what_is_missing(tmp_path: Path) -> None:
    TifImage(data=np.zeros((30, 30), "i4")).write(str(tmp_path / "f.tif"))
    run = CliRunner().invoke(
        app, ["import", str(tmp_path / "f.tif"), "--folder", str(tmp_path / "out")]
    )
    assert run.exit_code == 2
    assert "--config" in run.output
