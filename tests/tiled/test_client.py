"""What Tiled's client makes of our nodes; that they give the local values: test_remote.py."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
        remote = client[tmp_path.name]["water"].as_h5xs()
        assert remote.get_d1(frn=-1).label == "water merged, frame 1"
        uid = client[tmp_path.name]["water"].metadata["uid"]
        wait_until(lambda: f"runs/curves/{uid}" in client)
        following = client[tmp_path.name]["water"].follow(early.append)
        wait_until(lambda: len(early) == 2)
        wait_until(lambda: following._messages is not None)  # further ones come in messages
        running(5)
        wait_until(lambda: len(early) == 5)
        assert grown.read().shape == (2, 2, 25)
        assert remote.get_d1(frn=-1).label == "water merged, frame 4"
        another = client[tmp_path.name]["water"].follow(late.append)
        path = running(7)
        assert following.wait(30)
        assert another.wait(30)
        local = [h5xs(path).get_d1("water", "merged", number) for number in range(6)]
        remote.load_d1s()
        assert remote.get_d1(group="averaged").label == "water averaged"
        last, frames = remote.get_d1(frn=-1), remote.get_d2(frn=-1)
        np.testing.assert_array_equal(last.data, local[-1].data)
        for extension, pattern in h5xs(path).get_d2(frn=-1).items():
            np.testing.assert_array_equal(frames[extension].data, pattern.data)
        for curves in (early, late):
            assert [curve.label for curve in curves] == [curve.label for curve in local]
            for one, other in zip(curves, local, strict=True):
                np.testing.assert_array_equal(one.data, other.data)


def test_callback_that_fails_gets_the_next_curves_and_the_end(
    sample: Any, caplog: pytest.LogCaptureFixture
) -> None:
    labels: list[str] = []

    def fail(curve: Data1d) -> None:
        labels.append(curve.label)
        raise ValueError("not this one")

    assert sample.follow(fail).wait(15)
    assert labels == [f"lysozyme merged, frame {number}" for number in range(8)]
    assert caplog.messages.count("lysozyme merged, frame 7: the callback failed") == 1


def test_ended_run_with_frames_that_were_never_reduced_ends(
    experiment: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(experiment.parent, tmp_path / "lost")
    (folder / "lysozyme" / "processed.h5").unlink()
    with serving(folder, "--no-runs") as server:
        client = server.client()
        wait_until(lambda: "lost" in client and "lysozyme" in client["lost"])
        found = client["lost"]["lysozyme"]
        assert (found.metadata["frames"], found.metadata["reduced"]) == (8, 0)
        curves: list[Data1d] = []
        assert found.follow(curves.append).wait(30)
        assert curves == []
