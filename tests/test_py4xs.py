"""The ancestor itself, py4xs, reads what is written here."""

import json
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from py4xs_process import run_py4xs
from small_beamline import SAXS, WAXS, run_documents, small_beamline, small_detector, small_frames
from strategies import SHAPE, geometries

from h5xs_bluesky import Data2d
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.config import ReductionOptions
from h5xs_bluesky.io.mask_shapes import draw_shapes
from h5xs_bluesky.io.py4xs_files import detectors_from_json, detectors_to_json
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.monitors import (
    IntegrationOptions,
    MonitorStream,
    exposure_starts_s,
    integrate_exposures,
)
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry
from h5xs_bluesky.reduction.water import WaterPeak, peak_intensity

pytestmark = pytest.mark.py4xs


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


def test_detectors_that_py4xs_wrote_are_read(tmp_path: Path) -> None:
    """Flipped and tilted ones: q to 1e-12, Φ to 1e-9°, masks bit for bit, on the stored frame."""
    script = """
        import json, sys
        import numpy as np
        from py4xs.detector_config import DetectorConfig
        from py4xs.exp_para import ExpParaLiX
        from py4xs.local import exp_attr
        folder, rng, packed, arrays = sys.argv[1], np.random.default_rng(0), [], {}
        extensions = ["_SAXS", "_WAXS1", "_WAXS2"]
        for flip in (0, 1, 2, 3, -1, -2, -3, -4):
            extension = extensions[abs(flip) % 3]
            e = ExpParaLiX(41, 29)
            e.wavelength, e.bm_ctr_x, e.bm_ctr_y, e.ratioDw = 0.8, 15.3, 7.7, 2.0 + flip / 10
            e.det_orient, e.det_tilt, e.det_phi = 30.0 * flip, 5.0 + flip, -12.0
            e.flip, e.sample_normal, e.fix_azimuthal_angles = flip, 3.0, False
            e.mask.map = rng.random((29, 41)) < 0.2
            d = DetectorConfig(extension=extension, exp_para=e, fix_scale=None if flip else 1.5)
            packed.append(d.pack_dict())
            arrays[f"q{flip}"], arrays[f"phi{flip}"] = e.Q, e.Phi
            arrays[f"mask{flip}"] = e.mask.map
        np.savez(folder + "/expected.npz", **arrays)
        json.dump(packed, open(folder + "/detectors.json", "w"))
        print(json.dumps({}))
    """
    run_py4xs(script, str(tmp_path))
    entries = json.loads((tmp_path / "detectors.json").read_text())
    with np.load(tmp_path / "expected.npz") as file:
        expected = dict(file)
    fields = {"_SAXS": "pil1M_image", "_WAXS1": "pilW1_image", "_WAXS2": "pilW2_image"}
    for entry in entries:
        (detector,) = detectors_from_json(json.dumps([entry]), folder=tmp_path)
        flip = entry["exp_para"]["flip"]
        place = Py4xsGeometry.from_geometry(detector.geometry, flip=flip, sample_normal_deg=3.0)
        q, phi, mask = (place.stored(expected[f"{name}{flip}"]) for name in ("q", "phi", "mask"))
        assert detector.data_key == fields[entry["extension"]]
        assert np.array_equal(detector.mask, mask)
        assert detector.fix_scale == (1.5 if flip == 0 else 1.0)
        assert np.allclose(detector.geometry.q_map(), q, rtol=1e-12, atol=1e-14)
        off = (place.azimuth_deg(detector.geometry.chi_map()) - phi + 180) % 360 - 180
        assert np.abs(off).max() < 1e-9


SHAPES = """
c 30.5 20 7.3
c -2 40 6
h 25 25 22
r 20 15 13 5 30
r 5 40 20 3 -72.5
r 33.3 8.8 6 6 0
f 25 25 10 75 8 19
f 24.5 20.5 -40 200 3 5.5
p 1 1 9 3 4 12 2.5 8
a remark
"""


def test_shapes_are_drawn_as_py4xs_draws_them(tmp_path: Path) -> None:
    """Each alone, and all together, bit for bit, on pictures of odd and even size."""
    lines = [line for line in SHAPES.splitlines() if line.strip()]
    texts = [*lines, SHAPES]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text + "\n")
    script = """
        import json, sys
        import numpy as np
        from py4xs.mask import Mask
        folder, count = sys.argv[1], int(sys.argv[2])
        for width, height in ((51, 47), (50, 40)):
            for number in range(count):
                mask = Mask(width, height)
                mask.read_file(f"{folder}/{number}.txt")
                np.save(f"{folder}/{number}_{width}.npy", mask.map)
        print(json.dumps({}))
    """
    run_py4xs(script, str(tmp_path), str(len(texts)))
    for width, height in ((51, 47), (50, 40)):
        for number, text in enumerate(texts):
            theirs = np.load(tmp_path / f"{number}_{width}.npy")
            ours = draw_shapes(tmp_path / f"{number}.txt", shape=(height, width))
            assert np.array_equal(ours, theirs), text


def test_monitors_and_water_peak_are_the_ancestor_s(tmp_path: Path) -> None:
    """Its Simpson integration is good to parts in a thousand; the sum of the peak is the same."""
    rng = np.random.default_rng(5)
    times = np.arange(0.0, 20.0, 0.01)
    values = 800 + 50 * np.sin(times / 3) + rng.normal(0, 1, times.size)
    starts = np.arange(1.0, 15.0, 0.73)
    q = np.linspace(1.5, 2.5, 101)
    intensity = 1 + rng.random(101)
    np.savez(
        tmp_path / "given.npz", times=times, values=values, starts=starts, q=q, intensity=intensity
    )
    script = """
        import json, sys
        import numpy as np
        from py4xs.hdf import integrate_mon
        from py4xs.slnxs import Data1d, trans_mode
        given = np.load(sys.argv[1] + "/given.npz")
        mean = {
            at: integrate_mon(given["values"], given["times"], given["starts"], 0.5, False, at)
            for at in ("start", "end")
        }
        d1 = Data1d()
        d1.qgrid, d1.data, d1.err = given["q"], given["intensity"], given["intensity"]
        d1.set_trans(trans_mode.from_waxs, debug="quiet")
        print(json.dumps({**{k: list(v) for k, v in mean.items()}, "water": d1.trans_w}))
    """
    theirs = run_py4xs(script, str(tmp_path))
    stamps: tuple[Literal["start"], Literal["end"]] = ("start", "end")
    for stamped in stamps:
        begin = exposure_starts_s(
            starts, frames_per_event=1, exposure_s=0.5, dead_time_s=0.0, stamped=stamped
        )
        ours = integrate_exposures(
            MonitorStream(times, values), begin, exposure_s=0.5, options=IntegrationOptions()
        )
        assert ours.mean == pytest.approx(theirs[stamped], rel=1e-3)
    curve = np.stack([intensity, intensity])
    water = peak_intensity(curve[np.newaxis], q=q, peak=WaterPeak())
    assert water[0, 0] == pytest.approx(theirs["water"], rel=1e-12)


def test_py4xs_has_the_same_azimuths_and_surface_coordinates(tmp_path: Path) -> None:
    """Φ to 1e-9°, Qr and Qn to 1e-12 Å⁻¹, flipped and tilted; maps cell by cell to 1e-6."""
    script = """
        import json, sys
        import numpy as np
        from py4xs.data2d import Data2d, DataType
        from py4xs.detector_config import DetectorConfig
        from py4xs.exp_para import ExpParaLiX
        folder, rng, packed, arrays = sys.argv[1], np.random.default_rng(0), [], {}
        q_grid, phi_grid = np.linspace(0.2, 3.0, 9), np.linspace(-150.0, 150.0, 6)
        for flip in (0, 1, 2, 3, -1, -2, -3, -4):
            e = ExpParaLiX(41, 29)
            e.wavelength, e.bm_ctr_x, e.bm_ctr_y, e.ratioDw = 0.8, 15.3, 7.7, 2.0 + flip / 10
            e.det_orient, e.det_tilt, e.det_phi = 30.0 * flip, 5.0 + flip, -12.0
            e.flip, e.sample_normal, e.fix_azimuthal_angles = flip, 3.0, False
            e.grazing_incident, e.incident_angle = True, 0.3
            e.mask.map = rng.random((29, 41)) < 0.1
            d = DetectorConfig(extension="_SAXS", exp_para=e, fix_scale=1.0)
            packed.append(d.pack_dict())
            shape = (29, 41) if flip % 2 == 0 else (41, 29)
            frame = rng.integers(1, 100, shape)  # no zeros, which py4xs drops
            m = Data2d(frame, exp=e).data.conv(
                q_grid, phi_grid, e.Q, e.Phi, mask=e.mask, cor_factor=1.0, err_thresh=-1,
                datatype=DataType.qphi)
            arrays[f"phi{flip}"], arrays[f"qr{flip}"], arrays[f"qn{flip}"] = e.Phi, e.Qr, e.Qn
            arrays[f"frame{flip}"], arrays[f"map{flip}"] = frame, m.d
        np.savez(folder + "/expected.npz", **arrays)
        json.dump(packed, open(folder + "/detectors.json", "w"))
        print(json.dumps({}))
    """
    run_py4xs(script, str(tmp_path))
    with np.load(tmp_path / "expected.npz") as file:
        expected = dict(file)
    plain = ReductionOptions(solid_angle=False)
    for entry in json.loads((tmp_path / "detectors.json").read_text()):
        (detector,) = detectors_from_json(json.dumps([entry]), folder=tmp_path)
        flip = entry["exp_para"]["flip"]
        place = Py4xsGeometry.from_geometry(detector.geometry, flip=flip)
        d2 = Data2d(data=expected[f"frame{flip}"], detector=detector, reduction=plain)
        phi, qr, qn = (place.stored(expected[f"{name}{flip}"]) for name in ("phi", "qr", "qn"))
        off = (d2.coordinates("qphi")[1] - phi + 180) % 360 - 180
        assert np.abs(off).max() < 1e-9
        ours = d2.coordinates("qrqn")
        assert np.abs(ours[1] - qn).max() < 1e-12
        assert np.abs(np.abs(ours[0]) - np.abs(qr)).max() < 1e-9
        assert (np.sign(ours[0]) == np.sign(qr)).mean() > 0.999
        shown = d2.to_qphi(np.linspace(0.2, 3.0, 9), np.linspace(-150.0, 150.0, 6))
        theirs = expected[f"map{flip}"]
        theirs[0] = np.nan  # where it loses the pixels from 180° to 183°
        both = np.isfinite(shown.d) & np.isfinite(theirs)
        assert both.sum() > 5
        assert np.allclose(shown.d[both], theirs[both], rtol=1e-6)
