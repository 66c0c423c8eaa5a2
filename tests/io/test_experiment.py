"""The experiment file: settings and samples."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_beamline import SAXS, small_beamline, small_detector

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.configurations import Configuration
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.experiment import (
    ExperimentSettings,
    add_sample,
    find_sample,
    open_for_reading,
    prepare_experiment,
    sample_names,
    write_settings,
)
from h5xs_bluesky.io.run_contents import RunContents
from h5xs_bluesky.io.run_files import write_run_file


def settings() -> ExperimentSettings:
    return Configuration(small_beamline()).settings


def make_sample(folder: Path, group: str, *, name: str, time: float) -> None:
    (folder / group).mkdir()
    contents = RunContents()
    contents.consume("start", {"uid": group, "time": time})
    write_run_file(folder / group, contents, {schema.SAMPLE_NAME: name})
    add_sample(folder, group)


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    written = prepare_experiment(tmp_path, settings())
    with open_for_reading(tmp_path / "experiment.h5") as file:
        found = ExperimentSettings.read(file)
    assert found.detectors_json == written.detectors_json
    assert found.qgrid == written.qgrid
    assert found.beamline == written.beamline
    assert found.trans_field == "em2"


def test_experiment_that_exists_keeps_its_settings(tmp_path: Path) -> None:
    prepare_experiment(tmp_path, settings())
    other = small_beamline(detectors=(small_detector("_SAXS", SAXS, distance_m=2.0),))
    found = prepare_experiment(tmp_path, Configuration(other).settings)
    assert found.detectors_json == settings().detectors_json


def test_detectors_are_replaced_in_an_experiment_and_nothing_else(tmp_path: Path) -> None:
    prepare_experiment(tmp_path, settings())
    make_sample(tmp_path, "water", name="water", time=1.0)
    changed = Configuration(small_beamline(detectors=settings().detectors[:1])).settings
    bare = replace(changed, beamline={}, trans_field="")
    write_settings(tmp_path / "experiment.h5", bare)
    with open_for_reading(tmp_path / "experiment.h5") as file:
        found = ExperimentSettings.read(file)
        assert sample_names(file) == ["water"]
    assert found.detectors_json == changed.detectors_json
    assert found.beamline == settings().beamline
    assert found.trans_field == "em2"


def test_experiment_of_detectors_only_gets_the_rest_from_the_first_run(tmp_path: Path) -> None:
    bare = replace(settings(), beamline={}, trans_field="", detectors=settings().detectors[:1])
    write_settings(tmp_path / "experiment.h5", bare)
    found = prepare_experiment(tmp_path, settings())
    assert found.detectors_json == bare.detectors_json
    with open_for_reading(tmp_path / "experiment.h5") as file:
        read = ExperimentSettings.read(file)
    assert read.beamline == settings().beamline
    assert read.detectors_json == bare.detectors_json


def test_adding_a_sample_keeps_members_and_attributes_of_others(tmp_path: Path) -> None:
    prepare_experiment(tmp_path, settings())
    with h5py.File(tmp_path / "experiment.h5", "r+") as file:
        file.attrs["run_type"] = "hplc"
        file["overall/notes"] = np.arange(3)
    make_sample(tmp_path, "a", name="a", time=1.0)
    with h5py.File(tmp_path / "experiment.h5", "r") as file:
        assert file.attrs["run_type"] == "hplc"
        assert file["overall/notes"][()].tolist() == [0, 1, 2]
        assert file["a"].attrs[schema.SAMPLE_NAME] == "a"


def test_samples_are_listed_oldest_first_and_found_by_name(tmp_path: Path) -> None:
    prepare_experiment(tmp_path, settings())
    make_sample(tmp_path, "b", name="water", time=2.0)
    make_sample(tmp_path, "a", name="water", time=3.0)
    make_sample(tmp_path, "c", name="lysozyme", time=1.0)
    with open_for_reading(tmp_path / "experiment.h5") as file:
        assert sample_names(file) == ["c", "b", "a"]
        assert find_sample(file, "water") == "a"
        assert find_sample(file, "b") == "b"
        assert find_sample(file, "buffer") is None


def test_sample_whose_folder_is_gone_is_left_out(tmp_path: Path) -> None:
    prepare_experiment(tmp_path, settings())
    make_sample(tmp_path, "a", name="a", time=1.0)
    (tmp_path / "a" / "run.h5").unlink()
    with open_for_reading(tmp_path / "experiment.h5") as file:
        assert sample_names(file) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (schema.DETECTORS, None, "'detectors'"),
        (schema.QGRID, None, "'qgrid'"),
        (schema.SCHEMA, 99, "newer"),
        (schema.DETECTORS, "no json", "JSON"),
        (schema.DETECTORS, '[{"extension": "_SAXS"}]', "exp_para"),
    ],
)
def test_file_that_is_no_experiment_is_refused(
    tmp_path: Path, name: str, value: object, said: str
) -> None:
    prepare_experiment(tmp_path, settings())
    with h5py.File(tmp_path / "experiment.h5", "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    with (
        open_for_reading(tmp_path / "experiment.h5") as file,
        pytest.raises(FileFormatError, match=said),
    ):
        ExperimentSettings.read(file)


def test_missing_experiment_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected an experiment file"):
        open_for_reading(tmp_path / "experiment.h5")
