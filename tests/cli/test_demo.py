import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.cli import app
from h5xs_bluesky.cli.demo import MARKER
from h5xs_bluesky.cli.demo_checks import check_frames
from h5xs_bluesky.config import Beamline

PICTURES = {"pattern.png", "frames.png", "average.png", "subtracted.png", "overview.png"}
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Demo:
    out: Path
    result: Result

    @property
    def experiment(self) -> Path:
        return self.out / "experiment" / "experiment.h5"


def run(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["demo", "--out", str(out), *arguments], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "out"
    return Demo(out, run(out, "--frames", "6"))


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory, h5xs_data: Path) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "out"
    return Demo(out, run(out, "--frames", "3", "--data", str(h5xs_data)))


def test_simulated_frames_pass_all_checks(simulated: Demo) -> None:
    assert simulated.result.exit_code == 0, simulated.result.output
    assert "✗" not in simulated.result.output
    assert simulated.result.stderr == ""


def test_real_frames_pass_all_checks(repeated: Demo) -> None:
    assert repeated.result.exit_code == 0, repeated.result.output
    assert "✗" not in repeated.result.output
    assert "monitors are simulated" in repeated.result.output


def test_a_table_tells_frames_kept_transmission_and_counts(simulated: Demo) -> None:
    assert re.search(
        r"protein *│ *6 │ *4 │ transmission: frame 2 *│ *0\.781 │ *\d\.\d+e\+08",
        simulated.result.output,
    )
    assert "cormap: frame 5" in simulated.result.output


@pytest.mark.parametrize("which", ["simulated", "repeated"])
def test_pictures_are_drawn(which: str, request: pytest.FixtureRequest) -> None:
    out = request.getfixturevalue(which).out
    assert {path.name for path in out.glob("*.png")} == PICTURES
    assert all(path.read_bytes().startswith(PNG) for path in out.glob("*.png"))


def test_frames_and_curves_are_in_the_layout(simulated: Demo) -> None:
    with h5py.File(simulated.experiment) as file:
        assert file["protein/primary/data/pil1M_image"].shape == (6, 1043, 981)
        assert file["protein/primary/data/pilW1_image"].shape == (6, 619, 487)
        assert file["protein/primary/data/em2_mean_value"].shape == (6,)
        assert set(file["protein/processed"]) == {
            *("_SAXS", "_WAXS"),
            *("merged", "averaged", "subtracted"),
        }


def test_saxs_and_waxs_join_on_one_scale(simulated: Demo) -> None:
    dt = h5xs(simulated.experiment, read_only=True)
    saxs, waxs = (dt.get_d1("buffer", extension, 0) for extension in ("_SAXS", "_WAXS"))
    both = (saxs.qgrid > 0.26) & (saxs.qgrid < 0.4)
    ratio = np.average(saxs.data[both] / waxs.data[both], weights=saxs.err[both] ** -2)
    assert ratio == pytest.approx(1.0, abs=3e-3)


def test_the_folder_holds_a_configuration_to_start_from(simulated: Demo) -> None:
    beamline = Beamline.from_toml(simulated.out / "beamline.toml")
    assert beamline.name == "simulated"


def test_a_frame_that_differs_on_disk_is_noticed(simulated: Demo) -> None:
    dt = h5xs(simulated.experiment, read_only=True)
    sent = {"agbh": {"pil1M_image": ["another digest"]}}
    (check,) = check_frames(dt, sent, {})
    assert not check.passed
    assert (check.expected, check.found) == ("1 frames", "0 frames")


def test_parts_that_do_not_add_up_are_noticed(repeated: Demo) -> None:
    dt = h5xs(repeated.experiment, read_only=True)
    sent = {"agbh": {"pil1M_image": ["first", "second"]}}
    original = {"agbh": {"pil1M_image": np.ones((1043, 981), np.int32)}}
    _, check = check_frames(dt, sent, original)
    assert not check.passed


def test_a_second_demo_replaces_the_first_and_nothing_else(repeated: Demo, h5xs_data: Path) -> None:
    mine = repeated.out / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    result = run(repeated.out, "--frames", "1", "--data", str(h5xs_data))
    assert result.exit_code in (0, 1), result.output
    assert h5xs(repeated.experiment).samples == ["agbh", "buffer", "sample"]
    assert mine.read_text(encoding="utf-8") == "mine"


def test_files_that_are_not_the_demos_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "experiment" / "experiment.h5"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "found other files" in result.stderr
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "message", "reason"),
    [
        (["--frames", "0"], "--frames: expected at least 1, found 0", "nothing to measure"),
        (["--data", "{tmp}/nowhere"], "--data: expected a folder of exposures", "no folder"),
        (["--data", "{tmp}/empty"], "mask.npz: expected a mask, found no file", "no files"),
        (["--out", "{tmp}/file"], "--out: expected a folder, found a file", "a file is there"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], message: str, reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    result = run(tmp_path / "out", *(text.format(tmp=tmp_path) for text in arguments))
    assert result.exit_code == 2, reason
    assert message in result.stderr, reason
    assert result.stderr.count("\n") == 1, reason


def test_a_folder_that_another_demo_uses_is_refused(tmp_path: Path) -> None:
    from h5xs_bluesky.io.replace import FileLock

    lock = FileLock(tmp_path / MARKER)
    lock.acquire()
    try:
        result = run(tmp_path)
    finally:
        lock.release()
    assert result.exit_code == 2
    assert "held by another" in result.stderr


def test_an_interrupted_demo_ends_at_once_and_keeps_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from h5xs_bluesky.cli import app; app()"]
    arguments = ["demo", "--frames", "500", "--out", str(tmp_path)]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        frames = tmp_path / "experiment" / "agbh" / "primary.pil1M_image.h5"
        deadline = time.monotonic() + 60
        while not frames.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "h5xs demo: interrupted"
    assert "Traceback" not in errors
    dt = h5xs(tmp_path / "experiment" / "experiment.h5", read_only=True)
    assert json.loads(dt_attribute(dt, "stop"))["exit_status"] == "abort"
    assert dt.get_d1("agbh", "averaged").data.size


def dt_attribute(dt: h5xs, name: str) -> str:
    dt.explicit_open()
    try:
        assert dt.fh5 is not None
        return str(dt.fh5["agbh"].attrs[name])
    finally:
        dt.explicit_close()
