"""The processed run beside each raw one: valid, equal to the files, and harmless."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import event_model
import numpy as np
import pytest
from matplotlib.figure import Figure
from small_beamline import Documents, run_documents, small_beamline, small_frames

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction, subscribers
from h5xs_bluesky.reduction.integrals import integrate_range


def processed(
    documents: Documents, folder: Path, *callbacks: Any, **changes: Any
) -> tuple[Documents, dict[str, Any]]:
    """Play a run; gives the processed documents, and the status."""
    found: Documents = []
    live = LiveReduction(small_beamline(**changes), folder)
    try:
        for callback in (lambda name, doc: found.append((name, doc)), *callbacks):
            live.subscribe(callback)
        for name, doc in documents:
            live(name, doc)
        assert live.wait(30)
        status = live.status()
    finally:
        live.close()
    return found, status


def events_of(documents: Documents, stream: str = "primary") -> list[Mapping[str, Any]]:
    uids = {d["uid"] for n, d in documents if n == "descriptor" and d["name"] == stream}
    return [d["data"] for n, d in documents if n == "event" and d["descriptor"] in uids]


def assert_valid(documents: Documents) -> None:
    """Each against event-model's schema, and in an order that a router takes."""
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    routed: Documents = []
    router = event_model.RunRouter([lambda n, d: ([lambda n, d: routed.append((n, d))], [])])
    for name, doc in documents:
        router(name, doc)
    assert len(routed) == len(documents)
    keys = {d["uid"]: set(d["data_keys"]) for n, d in documents if n == "descriptor"}
    for name, doc in documents:
        if name == "event":
            assert set(doc["data"]) == set(doc["timestamps"]) == keys[doc["descriptor"]]


def test_run_has_an_event_for_each_frame_and_the_results(tmp_path: Path) -> None:
    integrals = {"low_q": (0.02, 0.1), "high_q": (0.1, 0.3)}
    processed(run_documents(small_frames(3, seed=1), sample_name="buffer"), tmp_path)
    raw = run_documents(
        small_frames(5, mean=80.0), sample_name="protein", buffer="buffer", data_session="pass-1"
    )
    documents, _ = processed(raw, tmp_path, integrals=integrals)
    assert_valid(documents)

    start, stop = documents[0][1], documents[-1][1]
    assert start["original_run_uid"] == raw[0][1]["uid"]
    assert start["analysis_stage"] == "reduced"
    assert (start["sample_name"], start["h5xs_sample"]) == ("protein", "protein")
    assert (start["data_session"], start["scan_id"]) == ("pass-1", 7)
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"primary": 5, "averaged": 1, "subtracted": 1}

    dt = h5xs(tmp_path / "experiment.h5")
    for number, event in enumerate(events_of(documents)):
        curve = dt.get_d1("protein", "merged", number)
        assert (event["frame"], event["transmitted"], event["incident"]) == (number, 800, 1000)
        for field, values in (("q", curve.qgrid), ("I", curve.data), ("sigma", curve.err)):
            assert np.array_equal(event[field], values, equal_nan=True), field
        both = np.stack([curve.data, curve.err])
        for name, (low, high) in integrals.items():
            wanted = integrate_range(both, dt.qgrid, low=low, high=high)
            assert (event[name], event[f"{name}_sigma"]) == wanted
    for group in ("averaged", "subtracted"):
        (event,) = events_of(documents, group)
        assert np.array_equal(event["I"], dt.get_d1("protein", group).data, equal_nan=True)
    (averaged,), (subtracted,) = (events_of(documents, s) for s in ("averaged", "subtracted"))
    assert averaged["kept"].tolist() == dt.attrs["protein"]["selected"].tolist()
    assert (subtracted["buffer"], subtracted["sc_factor"]) == ("buffer", 1.0)


def test_buffer_that_comes_later_makes_a_processed_run_for_what_waited(tmp_path: Path) -> None:
    sample = run_documents(small_frames(4, mean=80.0), sample_name="protein", buffer="buffer")
    first, _ = processed(sample, tmp_path)
    assert events_of(first, "subtracted") == []
    second, _ = processed(run_documents(small_frames(4), sample_name="buffer"), tmp_path)
    assert_valid(second)
    starts = {doc["analysis_stage"]: doc for name, doc in second if name == "start"}
    assert starts["subtracted"]["original_run_uid"] == sample[0][1]["uid"]
    assert starts["subtracted"]["sample_name"] == "protein"
    (event,) = events_of(second, "subtracted")
    stored = h5xs(tmp_path / "experiment.h5").get_d1("protein", "subtracted")
    assert np.array_equal(event["I"], stored.data, equal_nan=True)


ENDS = [
    # how the raw run ends, and the processed run's exit status
    ([("stop", {"exit_status": "abort", "reason": "by hand"})], "abort", "by hand"),
    ([], "abort", "no stop document came"),
]


@pytest.mark.parametrize(("ends", "status", "reason"), ENDS)
def test_processed_run_ends_as_the_raw_one(
    tmp_path: Path, ends: Documents, status: str, reason: str
) -> None:
    *documents, (_, stop) = run_documents(small_frames(2))
    found, _ = processed(
        [*documents, *((name, {**stop, **change}) for name, change in ends)], tmp_path
    )
    assert_valid(found)
    assert (found[-1][1]["exit_status"], found[-1][1]["reason"]) == (status, reason)
    assert len(events_of(found)) == 2


def test_run_without_frames_has_a_processed_run_without_events(tmp_path: Path) -> None:
    found, _ = processed(run_documents([]), tmp_path)
    assert_valid(found)
    assert [name for name, _ in found] == ["start", "stop"]


def test_liveplot_and_livetable_follow_the_integrals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bluesky.callbacks import LiveTable
    from bluesky.callbacks.mpl_plotting import LivePlot

    plot = LivePlot("total", "frame", ax=Figure().add_subplot())
    plan = {"plan_name": "count", "plan_type": "generator"}
    found, _ = processed(run_documents(small_frames(6), **plan), tmp_path)
    table = LiveTable(["frame", "total"])
    for name, doc in found:
        plot(name, doc)
        table(name, doc)
    (line,) = plot.ax.lines
    totals = [event["total"] for event in events_of(found)]
    assert line.get_xydata().tolist() == [[n, total] for n, total in enumerate(totals)]
    assert "generator count" in capsys.readouterr().out


def test_processed_runs_are_not_reduced_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where the callback is fed with its own documents."""
    live = LiveReduction(small_beamline(), tmp_path)
    live.subscribe(live)
    with caplog.at_level(logging.WARNING):
        for name, doc in run_documents(small_frames(2)):
            live(name, doc)
        assert live.wait(30)
        live.close()
    assert [run["sample"] for run in live.status()["runs"]] == ["water"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"water"}
    assert "is left alone" not in caplog.text


def test_callback_that_fails_is_logged_and_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str, doc: Mapping[str, Any]) -> None:
        raise RuntimeError("injected")

    found, status = processed(run_documents(small_frames(3)), tmp_path, fail)
    assert (status["reduced"], status["failed"], status["last_error"]) == (6, 0, "")
    assert len(events_of(found)) == 3
    assert "injected" in caplog.text


def test_callback_that_is_stuck_misses_the_rest_of_a_run_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscribers, "_MOST_WAITING", 4)
    release, slow = threading.Event(), []

    def stuck(name: str, doc: Mapping[str, Any]) -> None:
        release.wait(30)
        slow.append((name, doc))

    live = LiveReduction(small_beamline(), tmp_path)
    token = live.subscribe(stuck)
    for name, doc in run_documents(small_frames(12)):
        live(name, doc)
    assert live.wait(30)
    assert live.status()["reduced"] == 24
    assert "too slow" in caplog.text
    release.set()
    while live._subscribers._subscribers[token].waiting.qsize():
        release.wait(0.01)
    for name, doc in run_documents(small_frames(1), sample_name="next"):
        live(name, doc)
    assert live.wait(30)
    live.close()
    starts = [doc["sample_name"] for name, doc in slow if name == "start"]
    assert starts == ["water", "next"]
    assert sum(name == "stop" for name, _ in slow) == 1, "the next run is whole again"


def test_callback_gets_whole_runs_only(tmp_path: Path) -> None:
    found: Documents = []
    live = LiveReduction(small_beamline(), tmp_path)
    first, second = (run_documents(small_frames(2), sample_name=name) for name in "ab")
    for name, doc in first[:-1]:
        live(name, doc)
    assert live.wait(30)
    token = live.subscribe(lambda name, doc: found.append((name, doc)))
    for name, doc in [first[-1], *second]:
        live(name, doc)
    assert live.wait(30)
    live.unsubscribe(token)
    for name, doc in run_documents(small_frames(2), sample_name="c"):
        live(name, doc)
    live.close()
    assert_valid(found)
    assert [doc["sample_name"] for name, doc in found if name == "start"] == ["b"]


def test_failure_to_make_documents_is_in_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from h5xs_bluesky.api import processed_documents

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(processed_documents, "integrate_range", broken)
    found, status = processed(run_documents(small_frames(3)), tmp_path)
    assert (status["reduced"], status["failed"]) == (6, 0)
    assert "processed documents: RuntimeError: injected" in status["last_error"]
    assert events_of(found) == []
