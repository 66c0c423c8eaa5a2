"""`h5xs info`, `show`, `export`, `pack`, `verify`: on one experiment, as scripts use them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib import image
from small_beamline import run_documents, small_beamline, small_frames
from typer.testing import CliRunner, Result

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    live = LiveReduction(small_beamline(), folder)
    runs = (
        run_documents(small_frames(3, seed=1), sample_name="buffer", scan_id=1),
        run_documents(small_frames(4, seed=2), sample_name="protein", scan_id=2, buffer="buffer"),
    )
    for documents in runs:
        for name, doc in documents:
            live(name, doc)
    live.close()
    return folder


@pytest.fixture
def harmed(tmp_path: Path) -> Path:
    live = LiveReduction(small_beamline(), tmp_path)
    for name, doc in run_documents(small_frames(2)):
        live(name, doc)
    live.close()
    return tmp_path


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("command", ["info", "show", "export", "verify", "pack"])
@pytest.mark.parametrize(
    ("where", "sample", "message"),
    [
        ("nowhere", "protein", "expected an experiment file"),
        (".", "protean", "['buffer', 'protein']"),
    ],
)
def test_what_is_not_there_is_told_and_exits_with_2(
    measured: Path, tmp_path: Path, command: str, where: str, sample: str, message: str
) -> None:
    more = [] if command in ("info", "verify") else ["-o", tmp_path / "out.png"]
    result = call(command, measured / where, sample, *more)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out.png").is_file()


def test_info_tells_frames_and_how_far_they_are_reduced(measured: Path) -> None:
    result = call("info", measured, "--json")
    found = json.loads(result.output)
    assert (found["detectors"], found["bins"]) == (["_SAXS", "_WAXS"], 25)
    assert [sample["sample"] for sample in found["samples"]] == ["buffer", "protein"]
    protein = found["samples"][1]
    assert protein["frames"] == {"_SAXS": 4, "_WAXS": 4}
    assert (protein["reduced"], protein["averaged"], protein["buffer"]) == (4, 4, "buffer")
    assert protein["state"] == "success"
    text = call("info", measured, "protein").output
    assert "protein" in text
    assert "25 bins" in text


def test_info_counts_nothing_as_reduced_where_the_results_are_damaged(harmed: Path) -> None:
    (harmed / "water" / "processed.h5").write_bytes(b"no HDF5")
    (sample,) = json.loads(call("info", harmed, "--json").output)["samples"]
    assert (sample["reduced"], sample["frames"]["_SAXS"]) == (0, 2)


def test_info_of_a_run_without_end(harmed: Path) -> None:
    with h5py.File(harmed / "water" / "run.h5", "r+") as file:
        del file["water"].attrs["stop"]
    (sample,) = json.loads(call("info", harmed, "--json").output)["samples"]
    assert sample["state"] == "no end"


@pytest.mark.parametrize(
    "words",
    [
        ["protein"],
        ["protein", "--subtracted"],
        ["protein", "--pattern", "_SAXS", "--frame", "-1"],
        [],
    ],
)
def test_show_draws_a_picture(measured: Path, tmp_path: Path, words: list[str]) -> None:
    result = call("show", measured, *words, "-o", tmp_path / "picture.png")
    assert result.exit_code == 0, result.output
    picture = image.imread(tmp_path / "picture.png")
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10


def test_show_tells_that_there_is_no_such_pattern(measured: Path, tmp_path: Path) -> None:
    result = call("show", measured, "--pattern", "_XAXS", "-o", tmp_path / "picture.png")
    assert result.exit_code == 2
    assert "_XAXS" in result.output


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["protein_s.dat"]),
        (["--curve", "averaged"], ["buffer_a.dat", "protein_a.dat"]),
        (["protein", "--curve", "merged"], [f"protein_{i}m.dat" for i in range(4)]),
        (["--nxcansas", "--exclude", "buffer"], ["protein.h5"]),
        (
            ["protein", "--nxcansas", "--monitors"],
            ["protein.h5", "protein_monitors.csv"],
        ),
    ],
)
def test_export_writes_what_is_asked_for(
    measured: Path, tmp_path: Path, words: list[str], names: list[str]
) -> None:
    result = call("export", measured, *words, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert [Path(name).name for name in json.loads(result.output)] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)


def test_export_of_nothing_exits_with_1(harmed: Path, tmp_path: Path) -> None:
    result = call("export", harmed, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "nothing to export" in result.output


def test_header_has_the_keys_that_are_asked_for(measured: Path, tmp_path: Path) -> None:
    call("export", measured, "-o", tmp_path, "--key", "scan_id")
    assert "# scan_id : 2" in (tmp_path / "protein_s.dat").read_text().splitlines()


def test_pack_makes_a_file_that_the_other_commands_read(measured: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.h5"
    result = call("pack", measured, "-o", packed, "--json")
    assert result.exit_code == 0
    assert [sample["frames"] for sample in json.loads(result.output)] == [6, 8]
    again = call("pack", measured, "-o", packed)
    assert again.exit_code == 2
    assert "overwrite" in again.output
    assert call("pack", measured, "-o", packed, "--overwrite", "--py4xs").exit_code == 0
    assert call("verify", packed).exit_code == 0
    assert json.loads(call("info", packed, "--json").output)["samples"][0]["averaged"] == 3


def test_sample_that_is_left_out_is_told(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    for name, doc in (*run_documents(small_frames(1)), *run_documents([], sample_name="nothing")):
        live(name, doc)
    live.close()
    result = call("pack", tmp_path, "-o", tmp_path / "packed.h5", "--py4xs")
    assert result.exit_code == 1
    assert "no frames" in result.output


def test_verify_tells_what_differs(harmed: Path) -> None:
    assert call("verify", harmed).exit_code == 0
    with h5py.File(harmed / "water" / "processed.h5", "r+") as file:
        file["processed/averaged"][0, 3] *= 1.5
        file["reduction/selection/reason"][0] = "x"
    result = call("verify", harmed)
    assert result.exit_code == 1
    assert "processed/averaged: off by 0.33" in result.output
    (found,) = json.loads(call("verify", harmed, "--json").output)
    assert found["outcome"] == "differs"
    assert found["differences"]["processed/averaged"] == pytest.approx(1 / 3)
    assert found["differences"]["reduction/selection/reason"] is None


def test_verify_tells_what_it_cannot_verify(harmed: Path) -> None:
    with h5py.File(harmed / "water" / "processed.h5", "r+") as file:
        del file["reduction/provenance"]
    result = call("verify", harmed)
    assert result.exit_code == 3
    assert "expected the provenance" in " ".join(result.output.split())
