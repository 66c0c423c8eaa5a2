"""The ancestor, py4xs, works on a packed file as on its own, and we on what it leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from py4xs_process import run_py4xs
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

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.api.verify import verify
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.config import MetadataSource, Monitors, Roots
from h5xs_bluesky.reduction.qgrid import QGrid

pytestmark = pytest.mark.py4xs

# No bin is empty in any detector: one below 0.3 1/Å makes all of py4xs' average NaN.
QGRID = QGrid.linear(0.03, 0.11, 8)

WORKS_IN_FULL = """
    import json, sys
    import matplotlib
    matplotlib.use("agg")
    import numpy as np
    from py4xs.hdf import h5xs
    from py4xs.slnxs import trans_mode
    fn, trans, folder = sys.argv[1:4]
    dt = h5xs(fn, transField=trans)
    dt.load_d1s()
    def curves(d1s):
        return {k: np.array([d.data for d in v]).tolist() if isinstance(v, list)
                else v.data.tolist() for k, v in d1s.items()}
    found = {"samples": list(dt.samples), "detectors": [d.extension for d in dt.detectors],
             "headers": {s: dt.header(s) for s in dt.samples},
             "stored": {s: curves(dt.d1s[s]) for s in dt.samples},
             "masked": {d.extension: int(d.exp_para.mask.map.sum()) for d in dt.detectors}}
    sn = dt.samples[-1]
    found["frame"] = {k: np.asarray(v.data.d).tolist() for k, v in dt.get_d2(sn, frn=1).items()}
    dt.get_mon()
    found["monitors"] = {s: {k: v.tolist() for k, v in dt.d0s[s].items()} for s in dt.samples}
    found["md"] = dt.md_dict(sn)
    dt.load_data(N=2)  # with 1 its idle process keeps the file locked
    found["reduced"] = {s: curves(dt.d1s[s]) for s in dt.samples}
    dt.set_trans(trans_mode.external)
    for s in dt.samples:
        n = len(dt.d1s[s]["merged"])
        dt.average_d1s(s, selection=[True] * (n - 1) + [False])
    dt.plot_d1s(sn, show_overlap=True)
    dt.export_d1s(path=folder + "/", save_subtracted=False)
    again = h5xs(fn, transField=trans, read_only=True)
    again.load_d1s()
    found["saved"] = {s: curves(again.d1s[s]) for s in again.samples}
    found["selected"] = np.asarray(again.attrs[sn]["selected"]).astype(int).tolist()
    print()
    print(json.dumps(found))
"""


def worked(path: Path, trans: str, folder: Path) -> dict[str, Any]:
    return run_py4xs(WORKS_IN_FULL, str(path), trans, str(folder))


def agree(theirs: Any, ours: Any, *, within: float) -> bool:
    """Whether curves agree where both are finite, and most of theirs are (it drops many bins)."""
    one, other = np.array(theirs, dtype=float), np.asarray(ours, dtype=float)
    both = np.isfinite(one) & np.isfinite(other)
    assert one.shape == other.shape
    assert both.any(axis=-1).all()
    return bool(np.abs(one[both] / other[both] - 1).max() <= within)


def step_scan(tmp_path: Path) -> Path:
    """A buffer and a sample that names it, a sample without frames, detectors of our own names."""
    beamline = small_beamline(
        detectors=(
            small_detector("_FRONT", SAXS, distance_m=0.5),
            small_detector("_REAR", WAXS, distance_m=0.25),
        ),
        monitors=Monitors(incident="i0", transmitted="it"),
        qgrid=QGRID,
        metadata={
            "buffer": MetadataSource(source="start", key="buffer"),
            "exposure": MetadataSource(source="start", key="exposure_s"),
        },
    )
    live = LiveReduction(beamline, tmp_path / "e")
    monitors = {"i0": 1000.0, "it": 800.0}
    runs = (
        run_documents(small_frames(4, seed=1, mean=500.0), monitors=monitors, sample_name="buffer"),
        run_documents(
            small_frames(5, seed=2, mean=700.0),
            monitors=monitors,
            sample_name="protein",
            buffer="buffer",
            exposure_s=0.25,
        ),
        run_documents([], sample_name="nothing"),
    )
    for documents in runs:
        for name, doc in documents:
            live(name, doc)
    live.close()
    return tmp_path / "e"


def fly_scan(tmp_path: Path) -> Path:
    """Stream documents without events; the frames stay in the files of their writers."""
    stacks = {
        key: np.random.default_rng(3).poisson(600.0, (5, *shape)).astype(np.int32)
        for key, shape in SHAPES.items()
    }
    files = {key: file_of(tmp_path / "ioc" / f"{key}.h5", stack) for key, stack in stacks.items()}
    numbers = np.arange(5.0) + 800
    with h5py.File(tmp_path / "ioc" / "em.h5", "w") as file:
        file["em1"], file["em2"] = numbers * 2, numbers
    run = StreamedRun(
        {**{key: (1, *shape) for key, shape in SHAPES.items()}, "em1": (), "em2": ()},
        sample_name="fly",
    )
    beamline = small_beamline(roots=Roots(permanent=(tmp_path / "ioc",)), qgrid=QGRID)
    live = LiveReduction(beamline, tmp_path / "e")
    documents = run.begin()
    for key, path in files.items():
        documents += run.resource(key, path) + run.datum(key, 0, 5)
    for key in ("em1", "em2"):
        documents += run.resource(key, tmp_path / "ioc" / "em.h5", key) + run.datum(key, 0, 5)
    for name, doc in documents + run.end():
        live(name, doc)
    assert live.wait(30)
    live.close()
    return tmp_path / "e"


@pytest.mark.parametrize(
    ("measure", "sample", "trans", "names"),
    [
        (step_scan, "protein", "it", {"_FRONT": "_SAXS", "_REAR": "_WAXS1"}),
        (fly_scan, "fly", "em2", {"_SAXS": "_SAXS", "_WAXS": "_WAXS1"}),
    ],
)
def test_py4xs_works_in_full_on_a_packed_file(
    tmp_path: Path,
    measure: Callable[[Path], Path],
    sample: str,
    trans: str,
    names: dict[str, str],
) -> None:
    """Reads, reduces, averages, saves and exports; I agrees with ours to two percent.

    Bins of a few pixels, unweighted there and weighted here, make the difference.
    """
    folder = measure(tmp_path)
    path, out = tmp_path / "packed.h5", tmp_path / "out"
    pack(folder, path, py4xs=True, roots=[tmp_path / "ioc"])
    out.mkdir()
    before = h5xs(path)
    before.load_d1s()
    found = worked(path, trans, out)
    assert found["samples"] == sorted(before.samples)
    assert found["detectors"] == list(names.values())
    assert found["headers"][sample]["sample_name"] == sample
    ours = before.d1s[sample]
    for own, name in {**names, "merged": "merged"}.items():
        data = np.array([d1.data for d1 in ours[own]])
        stored = np.array(found["stored"][sample][name], dtype=float)
        assert np.array_equal(stored, data, equal_nan=True), name
        if name != "merged":  # py4xs weighs detectors otherwise
            assert agree(found["reduced"][sample][name], data, within=0.02), name
    for detector in before.detectors:
        name = names[detector.extension]
        frame = before.get_d2(sample, detector.extension, 1).data  # type: ignore[union-attr]
        assert np.array_equal(found["frame"][name], frame)
        assert found["masked"][name] == detector.mask.sum()
    monitors = found["monitors"][sample]
    assert monitors["transmitted"] == [d1.trans for d1 in ours["merged"]]
    assert np.allclose(np.divide(monitors["transmitted"], monitors["incident"]), 0.8, atol=0.31)
    assert float(found["md"]["Wavelength (A)"]) == pytest.approx(1.0, abs=1e-3)
    count = len(ours["merged"])
    assert found["selected"] == [1] * (count - 1) + [0]
    averaged = np.array(found["saved"][sample]["averaged"])
    merged = np.array(found["reduced"][sample]["merged"][:-1])
    assert averaged.shape == (len(QGRID),)
    assert np.isfinite(averaged).all()
    ratio = averaged / merged.mean(axis=0)  # it scales to one of the detectors, whichever comes
    assert np.abs(ratio / ratio.mean() - 1).max() < 0.03
    assert (out / f"{sample}_a.dat").is_file()


def test_what_py4xs_saves_in_a_packed_file_is_seen_by_verify(tmp_path: Path) -> None:
    path = tmp_path / "packed.h5"
    pack(step_scan(tmp_path), path, py4xs=True)
    assert [found.outcome for found in verify(path)] == ["identical", "identical"]
    worked(path, "it", tmp_path)
    found = verify(path, "protein")[0]
    assert found.outcome == "differs"
    assert "processed/merged" in found.differences
    assert json.loads(h5py.File(path)["protein"].attrs["py4xs_added"])
