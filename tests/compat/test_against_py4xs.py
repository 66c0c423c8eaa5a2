"""What py4xs itself writes and reduces is read, and its numbers are found again."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from py4xs_process import run_py4xs

from h5xs_bluesky.compat.py4xs.hdf import LIKE_PY4XS, h5xs
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.py4xs_bins import Py4xsBins
from h5xs_bluesky.sim.py4xs_files import EXPERIMENTS, write_py4xs_file

pytestmark = pytest.mark.py4xs

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"

REDUCE = """
    import json, sys
    import h5py
    from py4xs.hdf import h5xs
    from py4xs.slnxs import trans_mode
    path = sys.argv[1]
    dt = h5xs(path)
    dt.load_data(N=1)
    dt.set_trans(trans_mode.external)
    dt.average_d1s(filter_data=True)
    buffer = dt.d1s["buffer"]["averaged"]
    dt.d1s["protein"]["subtracted"] = dt.d1s["protein"]["averaged"].bkg_cor(buffer)
    dt.attrs["protein"]["sc_factor"] = 1.0
    dt.save_d1s("protein")
    print()
    print(json.dumps({"samples": dt.samples}))
"""


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that py4xs reduced, averaged, subtracted and saved; one sample's frames are 4-D."""
    path = tmp_path_factory.mktemp("py4xs") / "lix.h5"
    write_py4xs_file(path, "flow cell")
    with h5py.File(path, "r+") as file:
        data = file["protein/primary/data"]
        for name in ("pil1M_image", "pilW2_image"):
            frames = data[name][()]
            del data[name]
            data[name] = frames.reshape(2, -1, *frames.shape[1:])
    assert run_py4xs(REDUCE, str(path))["samples"] == ["buffer", "protein"]
    return path


def test_curves_that_py4xs_saved_are_read_as_they_are(reduced: Path) -> None:
    dt = h5xs(reduced, read_only=True)
    dt.load_d1s()
    with h5py.File(reduced) as file:
        assert set(dt.d1s["protein"]) == set(file["protein/processed"])
        for name, data in file["protein/processed"].items():
            found = dt.d1s["protein"][name]
            trans = data.attrs["trans"]
            curves = found if isinstance(found, list) else [found]
            values = data[()] if data.ndim == 3 else data[()][None]
            for number, curve in enumerate(curves):
                assert np.array_equal(curve.data, values[number, 0], equal_nan=True)
                assert np.array_equal(curve.err, values[number, 1], equal_nan=True)
                assert curve.trans == np.ravel(trans)[number]
    assert len(dt.d1s["protein"]["_SAXS"]) == 8
    assert dt.attrs["protein"]["sc_factor"] == 1.0
    assert dt.detectors[1].exp_para.flip == 1


@pytest.mark.parametrize("sample", ["buffer", "protein"])
def test_curves_of_py4xs_are_found_again(reduced: Path, sample: str) -> None:
    """Per detector to 1e-5, upright and tilted; I and σ, in the very bins where py4xs has them."""
    bins = Py4xsBins.from_centers(h5xs(reduced).qgrid)
    dt = h5xs(reduced, read_only=True, reduction=LIKE_PY4XS)
    with h5py.File(reduced) as file:
        for config in dt.detectors:
            detector = config.to_detector()
            pixels = Pixels.from_detector(detector, polarization=1.0, solid_angle=True)
            integrator = make_integrator(pixels, bins.grid, LIKE_PY4XS.method)
            theirs = file[f"{sample}/processed/{detector.extension}"][()]
            frames = file[f"{sample}/primary/data/{detector.data_key}"][()]
            frames = frames.reshape(-1, *frames.shape[-2:])
            ours = np.array(
                [bins.curve(integrator.integrate(frame), pixels, frame) for frame in frames]
            )
            assert np.array_equal(np.isfinite(ours), np.isfinite(theirs))
            known = np.isfinite(theirs)
            assert known.sum(axis=-1).min() > 60
            assert np.abs(ours[known] / theirs[known] - 1).max() < 1e-6


def test_own_reduction_differs_from_py4xs_by_what_is_documented(reduced: Path) -> None:
    """I by the places in a bin and the estimator, σ by the error model; and no bin is dropped."""
    dt = h5xs(reduced, read_only=True)
    dt.load_data(samples="buffer")
    with h5py.File(reduced) as file:
        for name in ("_SAXS", "_WAXS2"):
            theirs = file[f"buffer/processed/{name}"][()]
            ours = np.array([[d.data, d.err] for d in dt.d1s["buffer"][name]])
            assert (np.isfinite(ours[:, 0]) | ~np.isfinite(theirs[:, 0])).all()
            off = np.nanmedian(np.abs(ours / theirs - 1), axis=(0, 2))
            assert off[0] < 2e-3
            assert off[1] < 0.1
    assert np.isfinite(ours[0, 0]).sum() > 1.4 * np.isfinite(theirs[0, 0]).sum()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_ported_notebooks_still_run_in_py4xs(tmp_path: Path, experiment: str) -> None:
    """They are py4xs' own notebooks, but for the imports."""
    name = experiment.lower()
    write_py4xs_file(tmp_path / f"{name.replace(' ', '_')}.h5", experiment)
    page = (TUTORIALS / f"py4xs-{name.replace(' ', '-')}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    cells = [block for block in blocks if "h5xs_bluesky.sim" not in block]
    code = "\n".join(cells).replace("h5xs_bluesky.compat.", "")
    assert "h5xs_bluesky" not in code
    run_py4xs(f"import os; os.chdir({str(tmp_path)!r})\n{code}\nprint('\\n{{}}')")
    assert list(tmp_path.glob("*.png"))
