"""Buffers: which belong to which samples, and their subtraction."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky import Data1d, h5xs
from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import ReductionOptions
from h5xs_bluesky.errors import ReductionError, SampleNotFoundError
from h5xs_bluesky.io.names import split_names
from h5xs_bluesky.io.processed import read_processed

Play = Callable[..., Path]
PEAK = (0.1, 0.18)  # where the small beamline has bins


@pytest.fixture
def series(play: Play) -> Path:
    """Two buffers of different lengths and beams, and two samples, none of them with a buffer."""
    beams = ({"em1": 1000.0, "em2": 800.0}, {"em1": 1000.0, "em2": 600.0})
    return play(
        run_documents(small_frames(4, seed=1, mean=20.0), sample_name="buf 1", monitors=beams[0]),
        run_documents(small_frames(2, seed=2, mean=15.0), sample_name="buf 2", monitors=beams[1]),
        run_documents(small_frames(3, seed=3, mean=60.0), sample_name="one"),
        run_documents(small_frames(3, seed=4, mean=70.0), sample_name="two"),
    )


def data(dt: h5xs, sample: str, group: str) -> Data1d:
    dt.load_d1s(sample)
    return dt.get_d1(sample, group)


def test_assigned_buffer_is_kept_and_subtracted(series: Path) -> None:
    dt = h5xs(series)
    dt.assign_buffer({"one": "buf 1"})
    with pytest.raises(ReductionError, match="'subtracted'"):
        dt.get_d1("one", "subtracted")
    dt.subtract_buffer()
    again = h5xs(series)
    sample, buffer = data(again, "one", "averaged"), data(again, "buf 1", "averaged")
    subtracted = data(again, "one", "subtracted")
    expected = sample.data - sample.trans / buffer.trans * buffer.data
    assert np.allclose(subtracted.data, expected, equal_nan=True)
    with h5py.File(series) as file:
        assert file["one"].attrs["buffer"] == "buf 1"
        assert "buffer" not in file["two"].attrs


def test_several_buffers_are_averaged_frame_by_frame(series: Path) -> None:
    """A buffer of four frames counts more than one of two, and each by its beam."""
    dt = h5xs(series)
    dt.subtract_buffer("one", buffer_list={"one": ["buf 1", "buf 2"]})
    sums = []
    with h5py.File(series) as file:
        for name in ("buf 1", "buf 2"):
            found = read_processed(file[name])
            merged = found.merged
            sums += [merged.signal.sum(axis=0)]
            sums += [(merged.normalization * found.trans[:, None]).sum(axis=0)]
        stored = read_processed(file["one"])
        assert file["one"].attrs["buffer"] == "buf 1  buf 2"
    with np.errstate(invalid="ignore"):  # bins without pixels
        per_beam = (sums[0] + sums[2]) / (sums[1] + sums[3])
    sample = dt.get_d1("one", "averaged")
    expected = sample.data - sample.trans * per_beam
    assert np.allclose(dt.get_d1("one", "subtracted").data, expected, rtol=1e-12, equal_nan=True)
    assert stored.subtraction is not None
    assert stored.subtraction.buffer == "buf 1  buf 2"


def test_several_buffers_of_the_start_document_are_subtracted_live(play: Play) -> None:
    """Measured before, between and after the sample; offline gives the same bits."""
    runs = [
        run_documents(small_frames(3, seed=1), sample_name="b1"),
        run_documents(small_frames(3, seed=2, mean=90.0), sample_name="s", buffer=["b1", "b2"]),
        run_documents(small_frames(2, seed=3), sample_name="b2"),
    ]
    path = play(*runs)
    with h5py.File(path) as file:
        live = read_processed(file["s"]).subtraction
    assert live is not None
    assert live.buffer == "b1  b2"
    dt = h5xs(path)
    dt.subtract_buffer("s")
    with h5py.File(path) as file:
        offline = read_processed(file["s"]).subtraction
    assert offline is not None
    assert np.array_equal(offline.curve, live.curve, equal_nan=True)


@pytest.mark.parametrize("buffer", ["buffer", ["buffer", "b2"]])
def test_buffer_of_the_start_document_is_known_while_the_run_goes_on(
    tmp_path: Path, buffer: str | list[str]
) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    sample = run_documents(small_frames(3, seed=3), sample_name="s", buffer=buffer)
    try:
        for name in ("buffer", "b2"):
            for document in run_documents(small_frames(3, seed=1), sample_name=name):
                live(*document)
        for document in sample[:-1]:
            live(*document)
        assert live.wait(30)
        dt = h5xs(tmp_path / "experiment.h5")
        dt.average_d1s("s")
        dt.subtract_buffer("s")
        assert np.isfinite(dt.get_d1("s", "subtracted").data).any()
    finally:
        live.close()


def measured_with_buffer(number: int, *, monitors: dict[str, float] | None = None) -> list[Any]:
    """Runs of the same names each time, as `measure_with_buffer` makes them."""
    together = {} if number < 0 else {"h5xs_measurement": f"m{number}"}
    names = ["p_before", "p_after"]
    return [
        run_documents(
            small_frames(3, seed=10 * abs(number) + place, mean=60.0 if name == "p" else 20.0),
            monitors=monitors,
            sample_name=name,
            **({"buffer": names} if name == "p" else {}),
            **together,
        )
        for place, name in enumerate([names[0], "p", names[1]])
    ]


def subtracted_from(path: Path, sample: str) -> str | None:
    with h5py.File(path) as file:
        found = read_processed(file[sample]).subtraction
    return None if found is None else found.buffer


@pytest.fixture
def twice(play: Play) -> Path:
    """The first measurement had no monitors, so that it is not subtracted."""
    path = play(*measured_with_buffer(0, monitors={}), *measured_with_buffer(1))
    assert subtracted_from(path, "p") is None
    return path


def test_buffers_of_another_measurement_are_not_subtracted(
    twice: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dt = h5xs(twice)
    second = dt.samples[4]
    live = subtracted_from(twice, second)
    with caplog.at_level(logging.WARNING):
        dt.average_d1s()
    assert subtracted_from(twice, "p") is None
    assert any("['p_before', 'p_after'] is not subtracted" in text for text in caplog.messages)
    assert subtracted_from(twice, second) == live == "  ".join(dt.samples[3::2])


def test_wrong_buffers_of_an_earlier_version_are_replaced(play: Play) -> None:
    path = play(*measured_with_buffer(0), *measured_with_buffer(1))
    dt = h5xs(path)
    with h5py.File(path.parent / "p" / "processed.h5", "r+") as file:
        (group,) = found_with_buffer(file)
        group.attrs["buffer"] = "  ".join(dt.samples[3::2])
    dt.average_d1s("p")
    assert subtracted_from(path, "p") == "p_before  p_after"


def found_with_buffer(file: h5py.File) -> list[h5py.Group]:
    found: list[h5py.Group] = []
    file.visititems(lambda _, member: found.append(member) if "buffer" in member.attrs else None)
    return found


def test_missing_buffer_of_a_measurement_is_told_and_not_replaced(play: Play) -> None:
    """It was aborted before its second buffer."""
    path = play(*measured_with_buffer(0), *measured_with_buffer(1)[:2])
    dt = h5xs(path)
    dt.average_d1s()
    second = dt.samples[4]
    assert subtracted_from(path, second) is None
    with pytest.raises(ReductionError, match=r"'p_after'\] in the same measurement, found only"):
        dt.subtract_buffer(second)


def test_user_may_choose_buffers_of_another_measurement(twice: Path) -> None:
    """By groups, also where a group is called as the newest buffer's name; here and later."""
    dt = h5xs(twice)
    second, others = dt.samples[4], dt.samples[3::2]
    with pytest.raises(ReductionError, match="no usable monitor"):
        dt.subtract_buffer(second, buffer_list={second: ["p_before", "p_after"]})
    dt = h5xs(twice)
    dt.subtract_buffer(second, buffer_list={second: [others[0]]})
    assert subtracted_from(twice, second) == others[0]
    dt.average_d1s("p", selection=[True, True, False])
    h5xs(twice).average_d1s(second, selection=[True, True, False])
    assert subtracted_from(twice, second) == others[0]
    packed = one_file(twice)
    h5xs(packed).subtract_buffer(second)
    with h5py.File(packed.with_name("packed.processed.h5")) as file:
        assert file[f"{second}/reduction/subtracted"].attrs["buffer"] == others[0]


def test_chosen_group_is_not_taken_for_a_name(play: Play) -> None:
    """Two buffers of one name: the group chosen is the first one's, which is the name, too."""
    names = ("buffer", "buffer", "s")
    frames = [small_frames(3, seed=seed) for seed in range(3)]
    runs = [run_documents(each, sample_name=name) for each, name in zip(frames, names, strict=True)]
    path = play(*runs)
    dt = h5xs(path)
    dt.subtract_buffer("s", buffer_list={"s": dt.samples[0]})
    h5xs(path).subtract_buffer("s")
    assert subtracted_from(path, "s") == dt.samples[0] == "buffer"


def test_files_without_the_key_have_the_newest_buffers(play: Play) -> None:
    path = play(*measured_with_buffer(-1, monitors={}), *measured_with_buffer(-2))
    dt = h5xs(path)
    dt.subtract_buffer(dt.samples[4])
    assert subtracted_from(path, dt.samples[4]) == "  ".join(dt.samples[3::2])


@pytest.mark.parametrize("factor", [0.5, 1.0, 2])
def test_factor_scales_the_buffer_and_is_stored(series: Path, factor: float) -> None:
    dt = h5xs(series)
    dt.assign_buffer({"one": "buf 1"})
    dt.subtract_buffer("one", sc_factor=factor)
    sample, buffer = dt.get_d1("one", "averaged"), data(dt, "buf 1", "averaged")
    expected = sample.data - factor * buffer.data
    assert np.allclose(data(dt, "one", "subtracted").data, expected, equal_nan=True)
    again = h5xs(series)
    again.average_d1s("one", selection=[True, True, False])
    assert again.attrs["one"]["sc_factor"] == factor, "kept by a new average"
    again.load_data()
    again.subtract_buffer("one", sc_factor=-1)
    assert again.attrs["one"]["sc_factor"] == factor, "and asked for"
    again.subtract_buffer("one")
    assert again.attrs["one"]["sc_factor"] == 1.0, "until another is"


def test_automatic_factor_lets_the_water_peak_vanish(play: Play) -> None:
    path = play(
        run_documents(small_frames(4, seed=1, mean=20.0), sample_name="buffer"),
        run_documents(small_frames(3, seed=3, mean=60.0), sample_name="one", buffer="buffer"),
        reduction=ReductionOptions(water_q_range=PEAK),
    )
    dt = h5xs(path)
    dt.subtract_buffer("one", sc_factor="auto")
    found = dt.attrs["one"]["sc_factor"]
    assert found == pytest.approx(3, rel=0.05)
    subtracted = dt.get_d1("one", "subtracted")
    inside = (subtracted.qgrid > PEAK[0]) & (subtracted.qgrid < PEAK[1])
    assert subtracted.data[inside].sum() == pytest.approx(0, abs=1e-9)
    dt.average_d1s("one", selection=[True, True, False])
    assert dt.attrs["one"]["sc_factor"] != found, "it is found again for another average"
    number = dt.attrs["one"]["sc_factor"]
    dt.subtract_buffer("one", sc_factor=-1)
    dt.average_d1s("one", selection=[True, True, True])
    assert dt.attrs["one"]["sc_factor"] == number, "the stored number stays"


def test_configured_automatic_factor_is_the_same_live_and_offline(play: Play) -> None:
    path = play(
        run_documents(small_frames(4, seed=1, mean=20.0), sample_name="buffer"),
        run_documents(small_frames(3, seed=3, mean=60.0), sample_name="one", buffer="buffer"),
        reduction=ReductionOptions(water_q_range=PEAK, sc_factor="auto"),
    )
    with h5py.File(path) as file:
        live = read_processed(file["one"]).subtraction
    assert live is not None
    assert live.automatic
    dt = h5xs(path)
    dt.load_data()
    dt.average_d1s()
    with h5py.File(path) as file:
        offline = read_processed(file["one"]).subtraction
    assert offline is not None
    assert np.array_equal(offline.curve, live.curve, equal_nan=True)
    assert offline.sc_factor == live.sc_factor


def test_later_average_of_a_buffer_is_subtracted_anew(series: Path) -> None:
    dt = h5xs(series)
    dt.subtract_buffer("one", sc_factor=0.9, buffer_list={"one": ["buf 1", "buf 2"]})
    before = data(dt, "one", "subtracted").data
    dt.average_d1s("buf 2", selection=[True, False])
    after = data(dt, "one", "subtracted").data
    assert not np.allclose(before, after, equal_nan=True)
    assert dt.attrs["one"]["sc_factor"] == 0.9


def test_other_buffer_wins_over_the_one_of_an_earlier_subtraction(series: Path) -> None:
    h5xs(series).subtract_buffer("one", buffer_list={"one": "buf 1"})
    h5xs(series).assign_buffer({"one": "buf 2"})
    dt = h5xs(series)
    dt.average_d1s("one", selection=[True, True, False])
    with h5py.File(series) as file:
        found = read_processed(file["one"]).subtraction
    assert found is not None
    assert found.buffer == "buf 2"


def test_empty_list_takes_the_buffer_away(series: Path) -> None:
    dt = h5xs(series)
    dt.assign_buffer({"one": "buf 1", "two": "buf 1"})
    dt.assign_buffer({"one": []})
    with h5py.File(series) as file:
        assert "buffer" not in file["one"].attrs
        assert file["two"].attrs["buffer"] == "buf 1"
    with pytest.raises(ReductionError, match=r"one: expected a buffer, found none.*\['two'\]"):
        dt.subtract_buffer("one")


def test_update_only_leaves_what_is_subtracted(series: Path) -> None:
    dt = h5xs(series)
    dt.subtract_buffer("one", sc_factor=0.5, buffer_list={"one": "buf 1", "two": "buf 1"})
    dt.subtract_buffer(update_only=True, sc_factor=2.0)
    assert dt.attrs["one"]["sc_factor"] == 0.5
    assert dt.attrs["two"]["sc_factor"] == 2.0


def test_read_only_object_subtracts_in_memory(
    series: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = (series.parent / "one" / "run.h5").read_bytes()
    dt = h5xs(series, read_only=True)
    dt.subtract_buffer("one", buffer_list={"one": "buf 1"})
    assert np.isfinite(dt.get_d1("one", "subtracted").data).any()
    assert dt.buffer_list == {"one": ["buf 1"]}
    assert (series.parent / "one" / "run.h5").read_bytes() == before
    assert any("read-only" in text for text in caplog.messages)


def one_file(series: Path) -> Path:
    """Copy an experiment into one file, which is of another origin."""
    packed = series.parent / "packed.h5"
    with h5py.File(series) as old, h5py.File(packed, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        for name in old:
            group = new.create_group(name)
            for key, value in old[name].attrs.items():
                group.attrs[key] = value
            for member in old[name]:
                old.copy(old[name][member], group, name=member, expand_external=True)
    return packed


@pytest.mark.parametrize("buffers", [["buf 1"], ["buf 1", "buf 2"]])
def test_buffers_for_a_file_of_another_origin_are_kept_beside_it(
    series: Path, buffers: list[str]
) -> None:
    path = one_file(series)
    with h5py.File(path, "r+") as file:
        file["one"].attrs["buffer"] = "buf 2"
    content = path.read_bytes()
    h5xs(path).subtract_buffer("one", buffer_list={"one": buffers}, sc_factor=0.9)
    assert path.read_bytes() == content
    again = h5xs(path)
    again.average_d1s("one", selection=[True, True, False])
    again.subtract_buffer("one", sc_factor=-1)
    with h5py.File(path.with_name("packed.processed.h5")) as file:
        found = read_processed(file["one"]).subtraction
        assert set(file) == {"one"}, "the buffers have no results of their own"
    assert found is not None
    assert (split_names(found.buffer), found.sc_factor) == (buffers, 0.9)
    pack(path, path.with_name("anew.h5"))
    with h5py.File(path.with_name("anew.h5")) as file:
        assert file["one"].attrs["buffer"] == "  ".join(buffers)


def test_sidecar_of_an_earlier_version_tells_the_buffers_by_what_was_subtracted(
    series: Path,
) -> None:
    path = one_file(series)
    h5xs(path).subtract_buffer("one", buffer_list={"one": ["buf 1", "buf 2"]})
    with h5py.File(path.with_name("packed.processed.h5"), "r+") as file:
        del file["one"].attrs["h5xs_buffer"]
    h5xs(path).average_d1s("one", selection=[True, True, False])
    with h5py.File(path.with_name("packed.processed.h5")) as file:
        assert file["one/reduction/subtracted"].attrs["buffer"] == "buf 1  buf 2"


def test_buffer_assigned_or_taken_away_beside_a_file_hides_no_results(series: Path) -> None:
    h5xs(series).subtract_buffer("one", buffer_list={"one": "buf 1"})
    path = one_file(series)
    h5xs(path).assign_buffer({"one": [], "two": "buf 2"})
    dt = h5xs(path)
    for name in ("one", "two"):
        assert np.isfinite(data(dt, name, "averaged").data).any()
    with pytest.raises(ReductionError, match=r"one: expected a buffer, found none.*\['two'\]"):
        dt.subtract_buffer("one")
    pack(path, path.with_name("anew.h5"))
    with h5py.File(path.with_name("anew.h5")) as file:
        assert "buffer" not in file["one"].attrs
        assert file["two"].attrs["buffer"] == "buf 2"


def test_buffers_stay_in_memory_where_no_sidecar_can_be_written(
    series: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("h5xs_bluesky.api.stored.write_sidecar_buffer", fail)
    with caplog.at_level(logging.WARNING):
        dt = h5xs(one_file(series))
        dt.subtract_buffer("one", buffer_list={"one": ["buf 1", "buf 2"]})
    assert any("stay in memory" in text for text in caplog.messages)
    assert np.isfinite(dt.get_d1("one", "subtracted").data).any()


@pytest.mark.parametrize(
    ("of_curves", "of_sample", "expected", "reason"),
    [
        (0.9, None, 0.9, "py4xs notes it with the curves"),
        (None, 0.8, 0.8, "or with the sample"),
        (0.9, 0.8, 0.9, "it was subtracted with the former"),
        ("auto", 0.8, 0.8, "a text is no factor"),
    ],
)
def test_factor_that_another_program_stored_is_asked_for(
    series: Path, of_curves: Any, of_sample: Any, expected: float, reason: str
) -> None:
    path = one_file(series)
    with h5py.File(path, "r+") as file:
        for name in ("one", "buf 1"):
            del file[name]["reduction"]
        file["one"].attrs["buffer"] = "buf 1"
        for group, value in ((file["one/processed"], of_curves), (file["one"], of_sample)):
            if value is not None:
                group.attrs["sc_factor"] = value
    dt = h5xs(path)
    with pytest.raises(ReductionError, match=r"one: .*reduced by load_data.*another program"):
        dt.subtract_buffer("one", sc_factor=-1)
    dt.load_data()
    dt.average_d1s()
    dt.subtract_buffer("one", sc_factor=-1)
    assert dt.attrs["one"]["sc_factor"] == expected, reason
    sample, buffer = data(dt, "one", "averaged"), data(dt, "buf 1", "averaged")
    difference = sample.data - expected * sample.trans / buffer.trans * buffer.data
    assert np.allclose(data(dt, "one", "subtracted").data, difference, equal_nan=True)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"three": "buf 1"}, SampleNotFoundError, "'three'"),
        ({"one": "buf 3"}, SampleNotFoundError, "'buf 3'"),
        ({"one": ["buf 1", "one"]}, ReductionError, "one: expected another sample"),
    ],
)
def test_impossible_assignment_is_refused_and_nothing_is_assigned(
    series: Path, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    dt = h5xs(series)
    with pytest.raises(error, match=said):
        dt.assign_buffer({"two": "buf 1", **given})
    assert dt.buffer_list == {}


@pytest.mark.parametrize("factor", [0, float("nan"), "automatic", True])
def test_impossible_factor_is_refused(series: Path, factor: Any) -> None:
    with pytest.raises(ReductionError, match="positive sc_factor"):
        h5xs(series).subtract_buffer("one", sc_factor=factor)


def test_what_is_missing_is_named(series: Path, play: Play) -> None:
    dt = h5xs(series)
    with pytest.raises(SampleNotFoundError, match="'three'"):
        dt.subtract_buffer("three")
    dt.assign_buffer({"one": "buf 1"})
    with pytest.raises(ReductionError, match="one: expected a stored sc_factor"):
        dt.subtract_buffer("one", sc_factor=-1)
    with pytest.raises(ReductionError, match=r"one: .*water peak, from 1\.85"):
        dt.subtract_buffer("one", sc_factor="auto")
    play(run_documents([], sample_name="nothing"))
    dt.assign_buffer({"two": "nothing"})
    with pytest.raises(ReductionError, match="two: expected an average of its buffer 'nothing'"):
        dt.subtract_buffer("two")
    dt.assign_buffer({"nothing": "buf 1"})
    with pytest.raises(ReductionError, match="nothing: expected an average, found no curves"):
        dt.subtract_buffer("nothing")
    dt.subtract_buffer()
    assert np.isfinite(dt.get_d1("one", "subtracted").data).any(), "of all, those that can be"
