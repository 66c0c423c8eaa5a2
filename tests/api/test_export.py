"""Files for other programs: text, NXcanSAS, CSV."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky import h5xs
from h5xs_bluesky.config import MetadataSource
from h5xs_bluesky.errors import FileFormatError, ReductionError, SampleNotFoundError

Play = Callable[..., Path]


def with_metadata(play: Play) -> Path:
    metadata = {
        "exposure": MetadataSource(source="start", key="exposure_s"),
        "energy": MetadataSource(source="start", key="mono.energy_kev"),
        "buffer": MetadataSource(source="start", key="buffer"),
        "Sample temperature (C)": MetadataSource(source="start", key="temperature"),
        "Flow rate (ml/min)": MetadataSource(source="start", key="flow"),
    }
    documents = run_documents(
        small_frames(2),
        exposure_s=0.1,
        mono={"energy_kev": 12.398419843},
        temperature=20.0,
        buffer="buffer",
        operator="Ada",
    )
    return play(documents, metadata=metadata)


def test_metadata_come_from_where_the_configuration_says(play: Play) -> None:
    dt = h5xs(with_metadata(play))
    md = dt.md_dict("water", md_keys=["operator", "not there"])
    date, time = md.pop("Date"), md.pop("Time")
    assert (len(date), len(time)) == (10, 8)
    assert md == {
        "Instrument": "small",
        "Wavelength (A)": "1.0000",
        "Detector": "test , test",
        "Exposure time/frame (s)": "0.100",
        "Sample-to-detector distance (m)": "0.5000 , 0.2500",
        "Sample temperature (C)": 20.0,
        "operator": "Ada",
    }
    lines = dt.md_string("water", ["operator"]).splitlines()
    assert lines[0] == "# Instrument : small"
    assert lines[-1] == "# operator : Ada"


def test_wavelength_is_that_of_the_geometry_where_the_run_has_no_energy(experiment: Path) -> None:
    md = h5xs(experiment).md_dict("lysozyme")
    assert md["Wavelength (A)"] == "1.0000"
    assert "Exposure time/frame (s)" not in md


def test_baseline_and_start_tell_the_instrument_and_the_energy(play: Play) -> None:
    metadata = {"energy": MetadataSource(source="baseline", key="energy_kev")}
    path = play(run_documents(small_frames(1), beamline_id="16-ID"), metadata=metadata)
    with h5py.File(path.parent / "water" / "run.h5", "r+") as file:
        file["water/baseline/data/energy_kev"] = [13.0, 6.19920992]
    md = h5xs(path).md_dict()
    assert (md["Instrument"], md["Wavelength (A)"]) == ("16-ID", "2.0000")


def test_metadata_need_a_start_document(experiment: Path) -> None:
    with h5py.File(experiment.parent / "buffer" / "run.h5", "r+") as file:
        del file["buffer"].attrs["start"]
    dt = h5xs(experiment)
    for call in (dt.md_dict, dt.md_string):
        with pytest.raises(FileFormatError, match=r"buffer.*'start'.*descriptors"):
            call("buffer")
        with pytest.raises(SampleNotFoundError, match="lysozyme"):
            call("lysozim")


@pytest.mark.parametrize(
    ("subtracted", "ending", "group", "samples"),
    [
        (True, "_s", "subtracted", ["lysozyme"]),
        (False, "_a", "averaged", ["buffer", "lysozyme"]),
    ],
)
def test_curves_are_exported_as_text(
    experiment: Path,
    tmp_path: Path,
    subtracted: bool,
    ending: str,
    group: str,
    samples: list[str],
) -> None:
    dt = h5xs(experiment)
    out = tmp_path / "out" / "text"
    written = dt.export_d1s(path=out, save_subtracted=subtracted)
    assert written == [out / f"{sample}{ending}.dat" for sample in samples]
    for sample, path in zip(samples, written, strict=True):
        d1 = dt.get_d1(sample, group)
        known = np.isfinite(d1.data)
        expected = np.column_stack([d1.qgrid, d1.data, d1.err])[known]
        assert np.allclose(np.loadtxt(path), expected, rtol=1e-8)
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert header[0] == f"# {sample} {group}"
        assert "# trans: 800" in header
        assert "# Instrument : small" in header
        assert header[-1].startswith("# q (1/Angstrom)")


def test_what_is_no_kind_of_curves_is_refused(experiment: Path, tmp_path: Path) -> None:
    dt, unknown = h5xs(experiment), cast("Any", "foo")
    with pytest.raises(ReductionError, match=r"one of \[True, False, 'merged'\], found 'foo'"):
        dt.export_d1s(path=tmp_path / "out", save_subtracted=unknown)
    assert not (tmp_path / "out").exists()


def test_every_frame_is_exported_on_request_and_excluded_samples_are_not(
    experiment: Path, tmp_path: Path
) -> None:
    dt = h5xs(experiment)
    written = dt.export_d1s(None, str(tmp_path / "out") + "/", "merged", exclude="buffer")
    assert [path.name for path in written] == [f"lysozyme_{number}m.dat" for number in range(8)]
    third = dt.get_d1("lysozyme", frn=3)
    assert np.allclose(np.loadtxt(written[3])[:, 1], third.data[np.isfinite(third.data)], rtol=1e-8)


@pytest.mark.parametrize("subtracted", [True, False])
def test_curves_are_divided_by_the_monitor_on_request(
    experiment: Path, tmp_path: Path, subtracted: bool
) -> None:
    dt = h5xs(experiment)
    (plain,) = dt.export_d1s("lysozyme", tmp_path / "a", subtracted)
    (divided,) = dt.export_d1s("lysozyme", tmp_path / "b", subtracted, normalize=True)
    one, other = np.loadtxt(plain), np.loadtxt(divided)
    assert np.allclose(other[:, 1], one[:, 1] / 800, rtol=1e-7)
    assert (other[:, 2] > one[:, 2] / 800 * (1 - 1e-7)).all(), "the monitor adds to σ"
    assert np.allclose(other[:, 2], one[:, 2] / 800, rtol=0.05)
    assert "# normalized: I and sigma are divided by trans" in divided.read_text().splitlines()
    (file,) = dt.export_nxcansas("lysozyme", tmp_path / "c", normalize=True)
    with h5py.File(file) as opened:
        group = opened["entry/subtracted" if subtracted else "entry/averaged"]
        assert np.allclose(group["I"][()], other[:, 1], rtol=1e-7)
        assert b"divided by the monitor" in opened["entry/sample/details"][()]


def test_curves_without_a_monitor_cannot_be_normalized(play: Play, tmp_path: Path) -> None:
    dt = h5xs(play(run_documents(small_frames(2), monitors={}), monitors=None))
    with pytest.raises(ReductionError, match=r"water averaged: .* no usable monitor"):
        dt.export_d1s("water", tmp_path / "out", save_subtracted=False, normalize=True)
    with pytest.raises(ReductionError, match=r"water averaged: .* no usable monitor"):
        dt.export_nxcansas("water", tmp_path / "out", normalize=True)
    assert not list((tmp_path / "out").iterdir())


def test_sample_named_without_such_a_curve_is_an_error_that_tells_what_there_is(
    experiment: Path, tmp_path: Path
) -> None:
    dt = h5xs(experiment)
    with pytest.raises(ReductionError, match=r"buffer: .*'subtracted'.*'averaged'"):
        dt.export_d1s("buffer", tmp_path)
    for export in (dt.export_nxcansas, dt.export_monitors):
        with pytest.raises(ReductionError, match=r"nothing: .*found \[\]"):
            export("nothing", tmp_path / "out")
        with pytest.raises(SampleNotFoundError, match="lysozyme"):
            export("lysozim", tmp_path / "out")
        with pytest.raises(SampleNotFoundError, match="lysozyme"):
            export("lysozyme", tmp_path / "out", exclude="bufer")


def test_monitors_are_exported_as_csv(play: Play, tmp_path: Path) -> None:
    path = play(run_documents(small_frames(3), seq_nums=[1, 2, 2]))
    dt = h5xs(path)
    dt.average_d1s(selection=[True, False, True])
    (written,) = dt.export_monitors(path=tmp_path / "out")
    assert written.name == "water_monitors.csv"
    with written.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert {(row["incident"], row["transmitted"], row["transmission"]) for row in rows} == {
        ("1000", "800", "0.8")
    }
    assert [row["kept"] for row in rows] == ["1", "0", "1"]
    assert [row["reason"] for row in rows] == ["", "explicit", ""]
    start = dt.header("water")["time"]
    assert all(start <= float(row["time"]) <= start + 60 for row in rows)


def test_what_is_not_known_of_a_frame_is_empty_in_the_csv(play: Play, tmp_path: Path) -> None:
    path = play(run_documents(small_frames(2), monitors={}), monitors=None)
    dt = h5xs(path)
    (written,) = dt.export_monitors(path=tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO(written.read_text())))
    assert {row["incident"] + row["transmitted"] + row["transmission"] for row in rows} == {""}


def test_nxcansas_is_not_written_among_the_experiments_own_files(experiment: Path) -> None:
    with pytest.raises(ReductionError, match="folder other than the experiment's"):
        h5xs(experiment).export_nxcansas(path=experiment.parent)


# What the definition of NXcanSAS asks for and its validators do not look at: each group's class,
# attributes and units.
REQUIRED: list[tuple[str, str, Any, str]] = [
    ("entry", "canSAS_class", "SASentry", "every group has its class of canSAS"),
    ("entry", "NX_class", "NXentry", "and of NeXus"),
    ("entry", "version", "1.1", "of the canSAS standard"),
    ("entry", "default", "subtracted", "the first SASdata group"),
    ("entry/subtracted", "canSAS_class", "SASdata", ""),
    ("entry/subtracted", "NX_class", "NXdata", ""),
    ("entry/subtracted", "signal", "I", "always I"),
    ("entry/subtracted", "I_axes", "Q", "of a curve"),
    ("entry/subtracted", "Q_indices", 0, "Q is the first dimension of I"),
    ("entry/subtracted/Q", "units", "1/angstrom", "one of 1/m, 1/nm, 1/angstrom"),
    ("entry/subtracted/I", "units", "arbitrary", "no absolute scale"),
    ("entry/subtracted/I", "uncertainties", "Idev", "names the field with σ"),
    ("entry/subtracted/Idev", "units", "arbitrary", "those of I"),
    ("entry/averaged", "canSAS_class", "SASdata", ""),
    ("entry/averaged/I", "uncertainties", "Idev", ""),
    ("entry/sample", "canSAS_class", "SASsample", ""),
    ("entry/sample", "NX_class", "NXsample", ""),
    ("entry/instrument", "canSAS_class", "SASinstrument", ""),
    ("entry/instrument/source", "canSAS_class", "SASsource", ""),
    ("entry/instrument/source/incident_wavelength", "units", "angstrom", ""),
    ("entry/instrument/detector1", "canSAS_class", "SASdetector", ""),
    ("entry/instrument/detector2/SDD", "units", "m", ""),
    ("entry/reduction", "canSAS_class", "SASprocess", ""),
    ("entry/averaging", "NX_class", "NXprocess", ""),
    ("entry/reduction/processnote", "canSAS_class", "SASprocessnote", ""),
]


@pytest.fixture
def exported(experiment: Path, tmp_path: Path) -> Path:
    written = h5xs(experiment).export_nxcansas(path=tmp_path / "out")
    assert [path.name for path in written] == ["buffer.h5", "lysozyme.h5"]
    return tmp_path / "out" / "lysozyme.h5"


def test_nxcansas_has_what_its_definition_asks_for(exported: Path) -> None:
    with h5py.File(exported) as file:
        for name, attribute, value, reason in REQUIRED:
            assert file[name].attrs[attribute] == value, f"{name}@{attribute}: {reason}"
        assert file["entry/definition"][()] == b"NXcanSAS"
        assert file["entry/title"][()] == b"lysozyme"


def test_nxcansas_passes_the_validator_of_nexus(exported: Path) -> None:
    def verdict() -> str:
        command = [sys.executable, "-m", "nexusformat.scripts.nxvalidate", "-a", "NXcanSAS"]
        done = subprocess.run(
            [*command, str(exported)], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    text = verdict()
    assert "Total number of errors: 0" in text
    assert "Total number of warnings: 0" in text
    with h5py.File(exported, "r+") as file:
        del file["entry/averaged/Q"]
    assert "Total number of errors: 0" not in verdict()


def test_nxcansas_holds_all_itself(exported: Path) -> None:
    def check(group: h5py.Group) -> None:
        for name in group:
            assert isinstance(group.get(name, getlink=True), h5py.HardLink), name
            if isinstance(group[name], h5py.Group):
                check(group[name])
            else:
                assert not group[name].external
                assert not group[name].is_virtual

    with h5py.File(exported) as file:
        check(file)


def test_sasview_reads_the_same_numbers(experiment: Path, exported: Path) -> None:
    from sasdata.dataloader.loader import Loader

    dt = h5xs(experiment)
    loaded = Loader().load(str(exported))
    assert len(loaded) == 2
    for data, group in zip(loaded, ("averaged", "subtracted"), strict=True):
        assert data.errors == []
        d1 = dt.get_d1("lysozyme", group)
        known = np.isfinite(d1.data)
        assert np.allclose(data.x, d1.qgrid[known], rtol=1e-12)
        assert np.array_equal(data.y, d1.data[known])
        assert np.array_equal(data.dy, d1.err[known])
        assert data.title == "lysozyme"
        assert data.instrument == "small"
        assert [detector.distance for detector in data.detector] == [0.5, 0.25]
        assert data.source.wavelength == pytest.approx(1.0)


def test_nxcansas_tells_how_it_was_made(exported: Path) -> None:
    with h5py.File(exported) as file:
        note = file["entry/reduction/processnote"]
        configuration = json.loads(note["configuration"][()])
        assert configuration["detectors"]["_SAXS"]["fix_scale"] == 1.0
        assert note["run_uid"][()] == file["entry/run"][()]
        assert "numpy" in json.loads(note["versions"][()])


def test_file_that_was_reduced_elsewhere_is_exported_without_processes(tmp_path: Path) -> None:
    beamline = small_beamline()
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["water/processed/averaged"] = np.ones((2, 25))
        file["water"].attrs["start"] = '{"time": 1.0}'
    dt = h5xs(path, [beamline.detectors, beamline.qgrid], have_raw_data=False)
    (written,) = dt.export_nxcansas(path=tmp_path / "out")
    with h5py.File(written) as file:
        assert set(file["entry"]) >= {"averaged", "sample", "instrument"}
        assert "reduction" not in file["entry"]
    assert dt.export_monitors(path=tmp_path / "out") == []
