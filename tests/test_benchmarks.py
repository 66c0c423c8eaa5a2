"""The benchmarks run, say what they measured, and measure what they say."""

import json
import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from gallery import check_picture

from benchmarks import ancestor
from benchmarks.__main__ import main
from benchmarks.kernel import ancestors_way
from benchmarks.memory import own_peak_mb
from benchmarks.report import draw_growth
from benchmarks.setup import frames, grid, pixels_of, saxs_detector
from benchmarks.timing import Figure, taking_turns
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.method import Method

KEYS = [
    "kernel_vs_pyfai",
    "kernel_vs_py4xs",
    "kernel_vs_read",
    "general_vs_pyfai",
    "bbox_vs_pyfai",
    "files_vs_py4xs",
    "files_vs_decompress",
    "peak_memory_mb",
]
SHAPE = (104, 98)


def test_tiny_run_writes_every_figure_and_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ancestor, "interpreter", lambda: None)
    main(["--tiny", "--json", str(tmp_path / "found.json"), "--docs", str(tmp_path)])
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == KEYS
    for figure in found.values():
        low, high = figure["spread"]
        assert low <= figure["median"] <= high
        assert figure["runs"] >= 1
        assert figure["conditions"]
    for key in ("kernel_vs_py4xs", "files_vs_py4xs"):
        assert "np.histogram" in found[key]["conditions"]["ancestor"]
    assert "kernel_vs_read" in capsys.readouterr().out
    assert "`files_vs_decompress`" in (tmp_path / "measured/speed.md").read_text()
    growth = json.loads((tmp_path / "measured/speed.json").read_text())["growth"]
    assert list(growth) == ["frames", "pixels", "bins", "detectors", "threads", "memory"]
    assert (tmp_path / "images/speed.png").read_bytes().startswith(b"\x89PNG")


CATALOGUE_KEYS = [
    f"catalogue_{name}_ms" for name in ("list", "by_name", "by_plan", "by_time", "open")
]


def streaming_keys(name: str) -> list[str]:
    return [f"to_{name}_ms", f"to_{name}_p99_ms", f"scan_with_{name}"]


@pytest.mark.timeout(300)
def test_tiny_run_with_a_server_writes_every_figure_and_the_page(tmp_path: Path) -> None:
    main(["--server", "--tiny", "--docs", str(tmp_path)])
    found = json.loads((tmp_path / "measured/serving.json").read_text())
    assert list(found["figures"]) == [*CATALOGUE_KEYS, *streaming_keys("2_subscribers")]
    assert [row["samples"] for row in found["growth"]] == [12]
    page = (tmp_path / "measured/serving.md").read_text()
    assert "| samples | filled, s | list, ms |" in page
    told = found["figures"]["to_2_subscribers_ms"]["conditions"]["complete"]
    assert told.startswith("4 of 4"), "each has every curve, whenever it came"


@pytest.mark.py4xs
def test_ancestor_itself_takes_its_turns(tmp_path: Path) -> None:
    main(["--tiny", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    for key in ("kernel_vs_py4xs", "files_vs_py4xs"):
        assert found[key]["conditions"]["ancestor"].startswith("py4xs")


def test_committed_figures_are_those_of_the_page() -> None:
    measured = Path(__file__).parent.parent / "docs" / "measured"
    found = json.loads((measured / "speed.json").read_text())
    assert list(found["figures"]) == KEYS
    page = (measured / "speed.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in page for key in KEYS)


def test_committed_picture_is_that_of_the_figures(tmp_path: Path) -> None:
    measured = Path(__file__).parent.parent / "docs" / "measured"
    growth = json.loads((measured / "speed.json").read_text())["growth"]
    draw_growth(growth, tmp_path / "speed.png")
    check_picture(tmp_path / "speed.png", "speed.png")


def test_committed_figures_of_the_server_are_those_of_its_page() -> None:
    measured = Path(__file__).parent.parent / "docs" / "measured"
    found = json.loads((measured / "serving.json").read_text())
    assert list(found["figures"]) == [
        *CATALOGUE_KEYS,
        *streaming_keys("1_subscriber"),
        *streaming_keys("50_subscribers"),
    ]
    page = (measured / "serving.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in page for key in found["figures"])


def test_histograms_in_the_ancestors_manner_give_our_unweighted_curve() -> None:
    """Both sides of a comparison do the same work."""
    detector, stack = saxs_detector(SHAPE), frames(1, shape=SHAPE)
    mean, sigma = ancestors_way(detector, grid(40), cycle(stack))()
    method = Method(estimator="unweighted", error_model="azimuthal")
    ours = make_integrator(pixels_of(detector), grid(40), method).integrate(stack[0])
    several = ours.count > 1
    assert several.sum() > 20
    assert np.allclose(mean[several], ours.intensity()[several], rtol=1e-12)
    assert np.allclose(sigma[several], ours.sigma()[several], rtol=1e-9, atol=1e-12)


def test_work_takes_turns() -> None:
    done: list[str] = []
    taken = taking_turns(
        {name: lambda name=name: done.append(name) for name in "ab"},  # type: ignore[misc]
        runs=4,
        budget_s=10.0,
    )
    assert "".join(done) == "ab" * 5, "once each before the first run"
    assert [values.size for values in taken.values()] == [4, 4]


@pytest.mark.parametrize(
    ("median", "at_least", "reached"),
    [(3.0, True, True), (1.0, True, False), (1.0, False, True), (3.0, False, False)],
)
def test_target_is_a_bound_on_one_side(median: float, at_least: bool, reached: bool) -> None:
    figure = Figure(key="k", what="w", values=np.full(3, median), target=2.0, at_least=at_least)
    assert figure.reached == reached


def test_peak_memory_is_the_process_own() -> None:
    """Not what its parent had, as getrusage tells; and all that it had itself."""
    held = np.ones(30_000_000)  # 240 MB
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from benchmarks.memory import own_peak_mb
before = own_peak_mb()
import numpy as np
np.ones(10_000_000)
print(before, own_peak_mb())
"""
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, root], capture_output=True, text=True, check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    before, after = (float(word) for word in done.stdout.split())
    assert held.nbytes / 2**20 < own_peak_mb()
    assert before < 200
    assert 70 < after - before < 120
