"""What is met in files of py4xs, lixtools and LiX is read, or left alone."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.errors import FileFormatError, SampleNotFoundError
from h5xs_bluesky.io.experiment import other_groups
from h5xs_bluesky.sim.py4xs_files import py4xs_qgrid

CURVES = np.random.default_rng(0).random((8, 2, py4xs_qgrid().size))


def add_results_of_lixtools(path: Path) -> None:
    """Curves, and all that lixtools keeps beside them."""
    with h5py.File(path, "r+") as file:
        file.attrs["run_type"], file.attrs["instrument"] = "static", "LiX"
        file.attrs["abs_scaling"] = json.dumps({"top": {"sc_factor": 0.02}})
        sample = file["protein"]
        sample.attrs["buffer"] = "buffer"
        sample.attrs["empty"] = "empty"
        sample.attrs["selected"] = [True] * 8
        sample.attrs["sc_factor"] = 0.99
        sample["hplc/data/UV"] = np.zeros((2, 100))
        processed = sample.create_group("processed")
        processed["merged"] = CURVES
        processed["merged"].attrs["trans"] = np.arange(8.0)
        processed["buf average"] = CURVES[0]
        processed.attrs["selected"] = [True] * 7 + [False]
        processed.attrs["buffer frames"] = [0, 1, 2]
        processed["attrs/transmission"] = np.ones(8)
        processed["scalar"] = 3.0
        processed["image"] = np.zeros((5, 7))
        for place in (sample, processed, file.create_group("overall")):
            maps = place.create_group("qphi")
            maps.attrs["type"] = "MatrixWithCoords"
            maps.attrs["xc"], maps.attrs["yc"] = np.arange(4.0), np.arange(3.0)
            maps.attrs["xc_label"], maps.attrs["yc_label"] = "q", "phi"
            maps["merged/d"] = np.zeros((8, 3, 4))
        file.create_group("overall/maps/absorption")
        file.create_group(".empty")


def test_results_of_lixtools_do_not_stand_in_the_way(flow_cell: Path) -> None:
    add_results_of_lixtools(flow_cell)
    dt = h5xs(flow_cell, read_only=True)
    assert dt.samples == ["buffer", "protein"], "overall and .empty are no samples"
    with h5py.File(flow_cell) as file:
        assert [name for name, _ in other_groups(file)] == [".empty", "overall"]
    dt.load_d1s()
    assert sorted(dt.d1s["protein"]) == ["buf average", "merged"]
    assert dt.get_d1("protein", frn=3).trans == 3.0
    assert dt.attrs["protein"]["selected"].tolist() == [True] * 7 + [False]
    assert dt.attrs["protein"]["buffer frames"].tolist() == [0, 1, 2]
    assert dt.d1s["buffer"] == {}
    dt.load_data()
    assert np.isfinite(dt.get_d1("protein").data).any()


def test_texts_may_be_stored_as_bytes(flow_cell: Path) -> None:
    expected = h5xs(flow_cell, read_only=True)
    with h5py.File(flow_cell, "r+") as file:
        groups = [file["buffer"], file["protein"]]
        for group in groups:
            for name in ("start", "stop", "descriptors"):
                group.attrs[name] = np.bytes_(group.attrs[name].encode())
        file["protein"].attrs["buffer"] = np.array([b"buffer"])
        file.attrs["trans"] = np.bytes_(file.attrs["trans"].encode())
        text = file.attrs["detectors"]
        del file.attrs["detectors"]
    dt = h5xs(flow_cell, [expected.detectors, expected.qgrid], read_only=True)
    assert dt.header("protein") == expected.header("protein")
    assert dt.samples == expected.samples
    dt.load_data()
    dt.average_d1s()
    assert np.isfinite(dt.get_d1("protein", "subtracted").data).any()
    assert np.isfinite(dt.get_d1("protein").trans)
    assert len(text) > 1000


def test_either_of_lix_fields_is_found(flow_cell: Path) -> None:
    with h5py.File(flow_cell, "r+") as file:
        for sample in file:
            for kind in ("data", "timestamps"):
                group = file[f"{sample}/primary/{kind}"]
                for name in ("pil1M", "pilW2"):
                    group.move(f"{name}_image", f"{name}_ext_image")
    dt = h5xs(flow_cell, read_only=True)
    assert [d.data_key for d in dt.detectors] == ["pil1M_ext_image", "pilW2_ext_image"]
    assert set(dt.get_d2("buffer")) == {"_SAXS", "_WAXS2"}


def test_frames_may_be_counted_slow_and_fast(flow_cell: Path) -> None:
    flat = h5xs(flow_cell, read_only=True)
    flat.load_data(samples="protein")
    with h5py.File(flow_cell, "r+") as file:
        data = file["protein/primary/data"]
        for name in list(data):
            values = data[name][()]
            del data[name]
            data[name] = values.reshape(2, 4, *values.shape[1:]) if values.ndim > 1 else values
    dt = h5xs(flow_cell, read_only=True)
    dt.load_data(samples="protein")
    assert len(dt.d1s["protein"]["merged"]) == 8
    for number in range(8):
        one, other = (d.get_d1("protein", frn=number) for d in (dt, flat))
        assert np.array_equal(one.data, other.data, equal_nan=True)
        assert one.trans == other.trans


def test_header_that_cannot_be_read_harms_only_itself(flow_cell: Path) -> None:
    with h5py.File(flow_cell, "r+") as file:
        file["buffer"].attrs["start"] = "{"
        del file["protein"].attrs["start"]
    dt = h5xs(flow_cell, read_only=True)
    assert sorted(dt.samples) == ["buffer", "protein"]
    for sample in dt.samples:
        with pytest.raises(FileFormatError, match=sample):
            dt.header(sample)
    dt.load_data(samples="protein")
    with pytest.raises(SampleNotFoundError, match=r"protein.*'water'"):
        dt.header("water")


def test_curves_on_another_grid_are_told(flow_cell: Path) -> None:
    with h5py.File(flow_cell, "r+") as file:
        file["protein/processed/merged"] = np.zeros((8, 2, 100))
    with pytest.raises(FileFormatError, match=rf"protein merged.*{py4xs_qgrid().size} bins"):
        h5xs(flow_cell, read_only=True).load_d1s("protein")


def members(path: Path) -> dict[str, tuple[object, list[str]]]:
    """Every group and dataset of a file: its values, and the names of its attributes."""
    found: dict[str, tuple[object, list[str]]] = {}
    with h5py.File(path) as file:

        def note(name: str, member: h5py.Group | h5py.Dataset) -> None:
            values = member[()].tolist() if isinstance(member, h5py.Dataset) else None
            found[name] = (values, sorted(member.attrs))

        file.visititems(note)
        found["/"] = (None, sorted(file.attrs))
    return found


def test_what_is_unknown_survives_reduction_and_packing(flow_cell: Path) -> None:
    """The file itself stays as it is, to the last byte; results of ours replace those of old."""
    add_results_of_lixtools(flow_cell)
    before, content = members(flow_cell), flow_cell.read_bytes()
    dt = h5xs(flow_cell)
    dt.load_data()
    dt.average_d1s()
    dt.average_d1s("protein", selection=[True] * 7 + [False])
    dt.save_d1s()
    assert flow_cell.read_bytes() == content
    packed = flow_cell.with_name("packed.h5")
    pack(flow_cell, packed)
    after = members(packed)
    assert set(before) <= set(after)
    ours = {"protein/processed/merged"}
    for name, (values, attributes) in before.items():
        assert set(attributes) <= set(after[name][1]), name
        assert name in ours or after[name][0] == values, name
    again = h5xs(packed, read_only=True)
    again.load_d1s()
    for group in ("merged", "averaged"):
        one, other = (h.get_d1("protein", group) for h in (again, dt))
        assert np.array_equal(one.data, other.data, equal_nan=True)
    assert again.samples == ["buffer", "protein"]


def test_file_packed_for_py4xs_has_samples_alone(flow_cell: Path) -> None:
    add_results_of_lixtools(flow_cell)
    packed = flow_cell.with_name("packed.h5")
    pack(flow_cell, packed, py4xs=True)
    with h5py.File(packed) as file:
        assert sorted(file) == ["buffer", "protein"]
