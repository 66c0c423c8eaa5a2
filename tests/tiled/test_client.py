"""A remote sample gives what the local one gives, value for value, and its curves as they come."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_server import Server, serving, wait_until

from h5xs_bluesky import Data1d, h5xs
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.tiled.client import GrowingArrayClient, SampleClient


@pytest.fixture(scope="module")
def sample(server: Server) -> Any:
    return server.client()["served"]["lysozyme"]


@pytest.fixture(scope="module")
def nothing(server: Server) -> Any:
    return server.client()["served"]["nothing"]


def test_tiled_finds_our_classes(sample: Any) -> None:
    assert isinstance(sample, SampleClient)
    for path in ("primary/data/saxs_image", "processed/merged", "primary/time"):
        assert isinstance(sample[path], GrowingArrayClient)


def test_header_is_the_local_one(sample: Any, experiment: Path) -> None:
    assert sample.header() == h5xs(experiment).header("lysozyme")


@pytest.mark.parametrize("frn", [None, 0, 3, -1])
@pytest.mark.parametrize("group", ["_SAXS", "_WAXS", "merged", "averaged", "subtracted"])
def test_curves_are_the_local_ones(
    sample: Any, experiment: Path, group: str, frn: int | None
) -> None:
    remote, local = sample.get_d1(group, frn), h5xs(experiment).get_d1("lysozyme", group, frn)
    for name in ("qgrid", "data", "err"):
        np.testing.assert_array_equal(getattr(remote, name), getattr(local, name))
    assert remote.label == local.label
    if group in ("averaged", "subtracted"):
        assert remote.trans == local.trans


def test_frames_and_detectors_are_the_local_ones(sample: Any, experiment: Path) -> None:
    remote, local = sample.get_d2(frn=5), h5xs(experiment).get_d2("lysozyme", frn=5)
    assert remote.keys() == local.keys()
    for extension, pattern in local.items():
        other = remote[extension]
        np.testing.assert_array_equal(other.data, pattern.data)
        np.testing.assert_array_equal(other.mask, pattern.mask)
        assert other.detector.geometry == pattern.detector.geometry
        assert (other.label, other.md) == (pattern.label, pattern.md)
    one = sample.get_d2("_WAXS", -1)
    np.testing.assert_array_equal(one.data, h5xs(experiment).get_d2("lysozyme", "_WAXS", -1).data)


def test_monitors_are_a_table(sample: Any) -> None:
    table = sample.get_mon()
    assert table["transmitted"].tolist() == [800.0] * 8
    assert table["kept"].tolist() == [True] * 7 + [False]


def test_metadata_are_what_the_documents_do_not_say(sample: Any) -> None:
    metadata = sample.md_dict()
    assert (metadata["sample_name"], metadata["frames"], metadata["kept"]) == ("lysozyme", 8, 7)
    assert {"start", "stop", "descriptors"}.isdisjoint(metadata)


def test_plot_shows_the_local_curves(sample: Any, experiment: Path) -> None:
    remote, local = Figure().add_subplot(), Figure().add_subplot()
    sample.plot_d1s(remote)
    h5xs(experiment).plot_d1s("lysozyme", local)
    assert len(remote.lines) == len(local.lines)
    for one, other in zip(remote.lines, local.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
        assert one.get_linestyle() == other.get_linestyle()
    texts = [text.get_text() for text in local.get_legend().get_texts()]
    assert [text.get_text() for text in remote.get_legend().get_texts()] == texts
    assert remote.get_title() == local.get_title()


def test_export_writes_texts(sample: Any, tmp_path: Path) -> None:
    written = sample.export(tmp_path / "out")
    assert [path.name for path in written] == [
        "lysozyme_averaged.dat",
        "lysozyme_subtracted.dat",
        "lysozyme_monitors.csv",
    ]
    curve = sample.get_d1("averaged")
    known = np.isfinite(curve.data)
    np.testing.assert_allclose(np.loadtxt(written[0])[:, 1], curve.data[known], rtol=1e-8)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda s: s.get_d1("averaged"), ReductionError, r"nothing: .* 'averaged', found \[\]"),
        (lambda s: s.plot_d1s(), ReductionError, "nothing: .* 'merged'"),
        (lambda s: s.export("."), ReductionError, "nothing: .* 'averaged'"),
        (lambda s: s.get_d2(), IndexError, "nothing: expected a frame"),
    ],
)
def test_what_is_not_there_is_told(
    nothing: Any, ask: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(nothing)


@pytest.mark.parametrize(("group", "frn"), [("merged", 8), ("merged", -9), ("_SAXS", 100)])
def test_frame_that_is_not_there_is_an_index_error(sample: Any, group: str, frn: int) -> None:
    with pytest.raises(IndexError, match="expected a frame below 8"):
        sample.get_d1(group, frn)


def test_curves_follow_a_running_scan_to_everybody_who_asks(
    running: Callable[[int], Path], tmp_path: Path
) -> None:
    running(2)
    with serving(tmp_path) as server:
        client = server.client()
        wait_until(lambda: tmp_path.name in client and "water" in client[tmp_path.name])
        early: list[Data1d] = []
        late: list[Data1d] = []
        grown = client[tmp_path.name]["water"]["processed/merged"]
        assert grown.shape == (2, 2, 25)
        uid = client[tmp_path.name]["water"].metadata["uid"]
        wait_until(lambda: f"runs/curves/{uid}" in client)
        following = client[tmp_path.name]["water"].follow(early.append)
        wait_until(lambda: len(early) == 2)
        wait_until(lambda: following._messages is not None)  # further ones come in messages
        running(5)
        wait_until(lambda: len(early) == 5)
        assert grown.read().shape == (2, 2, 25)
        another = client[tmp_path.name]["water"].follow(late.append)
        path = running(7)
        assert following.wait(30)
        assert another.wait(30)
        local = [h5xs(path).get_d1("water", "merged", number) for number in range(6)]
        for curves in (early, late):
            assert [curve.label for curve in curves] == [curve.label for curve in local]
            for one, other in zip(curves, local, strict=True):
                np.testing.assert_array_equal(one.data, other.data)
