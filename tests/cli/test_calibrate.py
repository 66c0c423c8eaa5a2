"""`h5xs calibrate`."""

import json
from pathlib import Path

import pytest
from small_beamline import run_documents
from small_standard import SAXS_PLACE, standard_beamline, standard_frames
from typer.testing import CliRunner

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    live = LiveReduction(standard_beamline(), folder)
    dark = {key: 0 * frame for key, frame in standard_frames()[0].items()}
    for frame, name in ((standard_frames()[0], "agbh"), (dark, "dark")):
        for kind, doc in run_documents([frame], sample_name=name):
            live(kind, doc)
    live.close()
    return folder


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["calibrate", str(folder), *arguments])
    return result.exit_code, result.output


def test_dry_run_shows_a_table_and_changes_nothing(folder: Path) -> None:
    before = (folder / "experiment.h5").read_bytes()
    code, text = run(folder, "--standard", "agbh", "--detector", "_SAXS", "--dry-run")
    assert code == 0
    assert "1–3" in text
    assert "Nothing was changed" in text
    assert (folder / "experiment.h5").read_bytes() == before


def test_json_tells_all_and_the_experiment_has_it(folder: Path) -> None:
    code, text = run(
        folder / "experiment.h5", "--standard", "agbh", "--detector", "_SAXS", "--json"
    )
    assert code == 0
    record = json.loads(text)["_SAXS"]
    assert record["geometry"]["distance_m"] == pytest.approx(SAXS_PLACE.distance_m, rel=2e-4)
    assert Path(record["files"]["picture"]).is_file()
    saved = h5xs(folder / "experiment.h5").detectors[0].geometry
    assert saved.distance_m == record["geometry"]["distance_m"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--standard", "dark"], 1, "nothing is changed"),
        (["--standard", "sugar"], 2, "one of the samples"),
        (["--standard", "agbh", "--calibrant", "sugar"], 2, "one of pyFAI's calibrants"),
        (["--standard", "agbh", "--detector", "_MAXS"], 2, "expected some of the detectors"),
        (["--standard", "agbh", "--energy", "9", "--wavelength", "1"], 2, "either energy or"),
    ],
)
def test_exit_status_tells_rings_that_do_not_fit_from_input_that_will_not_do(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    found, text = run(folder, *arguments)
    assert found == code
    assert message in text


def test_folder_without_an_experiment_is_told(tmp_path: Path) -> None:
    code, text = run(tmp_path, "--standard", "agbh")
    assert code == 2
    assert "expected an experiment file" in text
