"""What Tiled's client makes of our nodes; that they give the local values: test_remote.py."""

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_server import Server, serving, wait_until

from h5xs_bluesky import Data1d, h5xs
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.tiled import summaries
from h5xs_bluesky.tiled.client import GrowingArrayClient, SampleClient
from h5xs_bluesky.tiled.files import ServedFile


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


def test_run_that_ends_while_it_is_read_has_not_ended_yet(
    running: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who follows would take the curves so far for all."""
    served = ServedFile(path=running(5))
    read = summaries._curves

    def read_and_end(*args: Any) -> Any:
        found = read(*args)
        running(7)
        return found

    monkeypatch.setattr(summaries, "_curves", read_and_end)
    summary = summaries.sample_summary(served, "water")
    assert (summary["reduced"], summaries.has_ended(summary)) == (5, False)
    summary = summaries.sample_summary(served, "water")
    assert (summary["reduced"], summaries.has_ended(summary)) == (6, True)


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
        another = client[tmp_path.name]["water"].follow(late.append, trans=True)
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
                assert other.trans == 800.0
                assert one.trans == 800.0 if curves is late else np.isnan(one.trans)


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


def test_callback_may_stop_it(sample: Any, caplog: pytest.LogCaptureFixture) -> None:
    labels: list[str] = []
    following: list[Any] = []
    started = threading.Event()

    def stop(curve: Data1d) -> None:
        assert started.wait(30)
        labels.append(curve.label)
        following[0].stop()

    following.append(sample.follow(stop))
    started.set()
    assert following[0].wait(15)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("follow")])
    assert labels == ["lysozyme merged, frame 0"]
    assert "failed" not in caplog.text


_WRITER = """
    import sys, time
    from pathlib import Path
    from h5xs_bluesky.callbacks.live_reduction import LiveReduction
    from small_beamline import run_documents, small_beamline, small_frames

    live = LiveReduction(small_beamline(), Path(sys.argv[1]))
    for name, doc in run_documents(small_frames(6, seed=4), sample_name="water")[:-1]:
        live(name, doc)
    live.wait()
    print("measured", flush=True)
    time.sleep(300)
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [(), ("--no-runs",)], ids=["runs", "no runs"])
def test_run_whose_writer_died_ends(tmp_path: Path, options: tuple[str, ...]) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_WRITER), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        ) as writer,
        serving(tmp_path, *options) as server,
    ):
        assert writer.stdout is not None
        assert writer.stdout.readline() == "measured\n"
        client = server.client()
        wait_until(lambda: tmp_path.name in client and "water" in client[tmp_path.name])
        node = client[tmp_path.name]["water"]
        curves: list[Data1d] = []
        following = node.follow(curves.append, trans=True)
        wait_until(lambda: len(curves) == 6)
        assert not following.wait(5)
        assert node.refresh().metadata["goes_on"] is True
        writer.kill()
        assert following.wait(30)
        assert [curve.trans for curve in curves] == [800.0] * 6
        wait_until(lambda: node.refresh().metadata["goes_on"] is False)
        assert node.metadata["stop"] is None
        assert node.follow(curves.append).wait(30)  # also for who comes later
        assert len(curves) == 12


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_server_that_begins_again_is_told_in_a_line(
    running: Callable[[int], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running(2)
    curves: list[Data1d] = []
    with serving(tmp_path) as server:
        client = server.client()
        wait_until(lambda: tmp_path.name in client and "water" in client[tmp_path.name])
        node = client[tmp_path.name]["water"]
        wait_until(lambda: f"runs/curves/{node.metadata['uid']}" in client)
        following = node.follow(curves.append)
        wait_until(lambda: len(curves) == 2)
        port = int(server.address.rpartition(":")[2])
        server.kill()
    running(4)
    with serving(tmp_path, port=port):
        running(7)
        assert following.wait(90)
    assert [curve.label[-1] for curve in curves] == list("012345")
    assert not [record for record in caplog.records if record.exc_info]


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
