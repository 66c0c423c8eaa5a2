"""A series behind a column while it is measured, through RunEngine, reduction and follower."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import event_model
import matplotlib.pyplot as plt
import numpy as np
import pytest
from bluesky.callbacks.mpl_plotting import LivePlot
from measured_column import FRAMES, PERIOD_S, MeasuredColumn
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky.callbacks import ChromatographyFollower, LiveReduction
from h5xs_bluesky.config import Monitors, ReductionOptions
from h5xs_bluesky.config.monitors import Asynchronous
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions


def test_every_frame_has_an_event_and_the_peak_its_radius(column: MeasuredColumn) -> None:
    events = [data for _, data in column.events("primary")]
    assert [data["frame"] for data in events] == list(range(FRAMES))
    rg, sigma = (np.array([data[name] for data in events]) for name in ("rg", "rg_sigma"))
    i0 = np.array([data["i0"] for data in events])
    top = column.protein > 0.5
    radius, tolerance = column.setup.guinier_radius_angstrom
    assert abs(np.average(rg[top], weights=sigma[top] ** -2) - radius) < tolerance
    np.testing.assert_allclose(i0[top] / i0[top].max(), column.protein[top], atol=0.02)
    assert np.isnan(rg[: FRAMES // 4]).all(), "where nothing elutes there is none"


def test_radii_come_while_the_run_goes_on(column: MeasuredColumn) -> None:
    first = next(at for at, data in column.events("primary") if np.isfinite(data["rg"]))
    assert first < column.taken[-1]


def test_radii_come_soon_after_their_frames(column: MeasuredColumn) -> None:
    """Before the next frame, where frames come at a pace; else they wait for each other."""
    delays = [at - column.taken[data["frame"]] for at, data in column.events("primary")]
    assert np.median(delays) < (PERIOD_S or 5.0)


def test_documents_are_valid_and_plots_find_their_fields(column: MeasuredColumn) -> None:
    names = [name for _, name, _ in column.documents]
    assert names[0] == "start"
    assert names[-1] == "stop"
    for _, name, doc in column.documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    start = column.documents[0][2]
    assert start["analysis_stage"] == "chromatography"
    assert start["h5xs_sample"] == "column"
    (descriptor,) = [
        doc
        for _, name, doc in column.documents
        if name == "descriptor" and doc["name"] == "primary"
    ]
    assert descriptor["hints"] == {"h5xs_bluesky": {"fields": ["rg", "i0"]}}
    assert descriptor["data_keys"]["rg"]["units"] == "angstrom"


def test_liveplot_draws_rg_against_frame(column: MeasuredColumn) -> None:
    plot = LivePlot("rg", "frame")
    sent = 0
    for _, name, doc in column.documents:
        sent += name == "event"
        if sent < 5 or name == "stop":
            plot(name, doc)
    assert list(plot.ax.lines[0].get_xdata()) == [0, 1, 2, 3]
    assert plot.ax.get_ylabel() == "rg"
    plt.close(plot.ax.figure)


def test_the_end_tells_peak_ranges_and_the_curve(column: MeasuredColumn) -> None:
    ((_, data),) = column.events("subtracted")
    found = column.follower.chromatogram
    assert found is not None
    assert column.follower.problem == ""
    assert column.follower.sample == "column"
    assert abs(data["peak"] - column.protein.argmax()) < 2
    np.testing.assert_array_equal(data["buffer_frames"], found.buffer_frames)
    np.testing.assert_array_equal(data["sample_frames"], found.sample_frames)
    assert data["I"].shape == data["q"].shape


def follow(folder: Path, follower: ChromatographyFollower, **changes: Any) -> list[str]:
    """Send a short run without any peak through the follower; gives the names of its documents."""
    names: list[str] = []
    follower.subscribe(lambda name, doc: names.append(name))
    live = LiveReduction(small_beamline(**changes), folder)
    live.subscribe(follower)
    for name, doc in run_documents(small_frames(30)):
        live(name, doc)
    assert live.wait(30)
    live.close()
    follower.close()
    return names


def test_a_run_without_a_peak_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = ChromatographyFollower(
        small_beamline(), options=ChromatographyOptions(trace_q_range=(0.0, 0.3))
    )
    names = follow(tmp_path, follower)
    assert names == ["start", "descriptor", *["event"] * 30, "stop"]
    assert follower.chromatogram is None
    assert "water: expected a peak in the series, found none" in follower.problem
    assert "The series is not analysed" in caplog.text


def test_runs_that_are_no_series_can_be_left_alone(tmp_path: Path) -> None:
    follower = ChromatographyFollower(
        small_beamline(), follows=lambda start: start.get("plan_name") == "sec"
    )
    assert follow(tmp_path, follower) == []


def test_a_callback_that_fails_is_logged_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str, doc: Any) -> None:
        raise RuntimeError("on purpose")

    follower = ChromatographyFollower(small_beamline())
    follower.subscribe(fail)
    assert len(follow(tmp_path, follower)) == 33
    assert "on purpose" in caplog.text


_ON_THEIR_OWN = Monitors(
    incident="em1",
    transmitted="em2",
    asynchronous=Asynchronous(
        incident_stream="em1_monitor", transmitted_stream="em2_monitor", stamped="start"
    ),
)
_SEEN = ReductionOptions(water_q_range=(0.06, 0.15))


@pytest.mark.parametrize(
    ("beam", "changes", "source", "why"),
    [
        (None, {}, "monitor", "they are read with the frames"),
        (None, {"monitors": None}, "equal", "there are none"),
        (None, {"monitors": _ON_THEIR_OWN}, "equal", "they come too late; no water is seen"),
        (None, {"monitors": _ON_THEIR_OWN, "reduction": _SEEN}, "water", "that tells it as well"),
        (None, {"reduction": replace(_SEEN, trans="water")}, "water", "it is configured"),
        ("equal", {}, "equal", "the user says so"),
    ],
)
def test_what_tells_the_beam(
    tmp_path: Path, beam: Any, changes: dict[str, Any], source: str, why: str
) -> None:
    """All frames are alike: what the intensity is depends on the reading of each frame alone."""
    follower = ChromatographyFollower(small_beamline(**changes), beam=beam)
    told: list[str] = []
    of_beam = follower._beam

    def watch(series: Any, *rest: Any) -> tuple[float, float]:
        found = of_beam(series, *rest)
        told.append(series.source)
        assert np.isfinite(found).all()
        return found

    follower._beam = watch  # type: ignore[method-assign]
    live = [name for name in follow(tmp_path, follower) if name == "event"]
    assert len(live) == 30
    assert set(told) == {source}, why


def test_frames_whose_monitor_is_not_read_have_no_intensity(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    follower = ChromatographyFollower(small_beamline())
    follower.subscribe(lambda name, doc: events.append(doc) if name == "event" else None)
    follow(tmp_path, follower, monitors=Monitors(transmitted="em9"))
    assert not any(np.isfinite(event["data"]["intensity"]) for event in events)
    assert "a monitor is known" in follower.problem


def test_an_unknown_source_of_the_beam_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected beam as one of"):
        ChromatographyFollower(small_beamline(), beam="moon")  # type: ignore[arg-type]
