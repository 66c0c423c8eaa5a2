"""The ancestor itself, py4xs, reads what is written here."""

import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from small_beamline import SAXS, WAXS, run_documents, small_beamline, small_detector, small_frames
from strategies import SHAPE, geometries

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.io.py4xs_files import detectors_to_json
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry

pytestmark = pytest.mark.py4xs


def run_py4xs(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script with py4xs, and give the JSON that it prints last."""
    interpreter = os.environ["H5XS_PY4XS_PYTHON"]
    done = subprocess.run(
        [interpreter, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_py4xs_computes_the_same_q_and_reads_the_same_mask(tmp_path: Path) -> None:
    """q agrees to 1e-12 Å⁻¹ for upright and tilted detectors; masks bit for bit."""
    rng = np.random.default_rng(0)
    drawn: list[Geometry] = []

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(geometries())
    def draw(geometry: Geometry) -> None:
        drawn.append(geometry)

    draw()
    masks = [rng.random(SHAPE) < 0.2 for _ in drawn]
    detectors = [
        Detector(extension=f"_{i}", data_key=f"d{i}", model="", geometry=geometry, mask=mask)
        for i, (geometry, mask) in enumerate(zip(drawn, masks, strict=True))
    ]
    (tmp_path / "detectors.json").write_text(detectors_to_json(detectors))
    np.savez(
        tmp_path / "expected.npz",
        q=[geometry.q_map() for geometry in drawn],
        two_theta=[geometry.two_theta_map() for geometry in drawn],
        masks=masks,
    )
    script = """
        import json, sys
        import numpy as np
        from py4xs.detector_config import create_det_from_attrs
        folder = sys.argv[1]
        expected = np.load(folder + "/expected.npz")
        found = [create_det_from_attrs(d) for d in json.load(open(folder + "/detectors.json"))]
        # py4xs folds angles beyond 90 degrees back
        worst = max(
            np.abs(np.where(t < 1.5, d.exp_para.Q - q, 0)).max()
            for d, q, t in zip(found, expected["q"], expected["two_theta"])
        )
        same = all((d.exp_para.mask.map == m).all() for d, m in zip(found, expected["masks"]))
        print(json.dumps({"worst": float(worst), "same": bool(same)}))
    """
    result = run_py4xs(script, str(tmp_path))
    assert result["same"]
    assert result["worst"] < 1e-12


def test_py4xs_lists_reads_and_reduces_an_experiment(tmp_path: Path) -> None:
    """Through the links, with the field names that py4xs knows; I agrees to a percent."""
    names = {SAXS: "pil1M_image", WAXS: "pilW2_image"}
    detectors = tuple(
        small_detector(extension, key, distance_m=distance, data_key=names[key])
        for extension, key, distance in (("_SAXS", SAXS, 0.5), ("_WAXS2", WAXS, 0.25))
    )
    frames = [
        {names[key]: frame for key, frame in each.items()} for each in small_frames(3, mean=500.0)
    ]
    live = LiveReduction(small_beamline(detectors=detectors), tmp_path)
    for name, doc in run_documents(frames, shape=[3], num_points=3):
        live(name, doc)
    live.close()
    script = """
        import json, sys
        import hdf5plugin
        import numpy as np
        from py4xs.hdf import h5xs
        dt = h5xs(sys.argv[1], transField="em2", save_d1=False, read_only=True)
        dt.load_d1s()
        stored = {k: np.array([d.data for d in v]).tolist() if isinstance(v, list)
                  else v.data.tolist() for k, v in dt.d1s["water"].items()}
        pattern = dt.get_d2("water", "_SAXS", frn=2).data.d
        dt.load_data(N=1)
        reduced = [d.data.tolist() for d in dt.d1s["water"]["_SAXS"]]
        print()
        print(json.dumps({"samples": dt.samples, "stored": stored, "reduced": reduced,
                          "header": dt.header("water"), "pattern": np.asarray(pattern).tolist()}))
    """
    result = run_py4xs(script, str(tmp_path / "experiment.h5"))
    assert result["samples"] == ["water"]
    assert result["header"]["sample_name"] == "water"
    assert np.array_equal(result["pattern"], frames[2]["pil1M_image"])
    with h5py.File(tmp_path / "experiment.h5") as file:
        curves = {name: member[()] for name, member in file["water/processed"].items()}
    assert set(result["stored"]) == set(curves)
    for name, curve in curves.items():
        found = np.array(result["stored"][name], dtype=float)
        assert np.array_equal(found, curve[..., 0, :], equal_nan=True), name
    reduced, ours = np.array(result["reduced"], dtype=float), curves["_SAXS"][:, 0]
    both = np.isfinite(reduced) & np.isfinite(ours)
    assert both.any(axis=1).all(), "every frame has bins in common (py4xs drops many)"
    assert np.abs(reduced[both] / ours[both] - 1).max() < 0.01
