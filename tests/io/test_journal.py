"""The journal gives back what went in, whatever happens to its end."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.journal import FrameReference, JournalWriter, read_journal

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
documents = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=5)


def write(path: Path, docs: list[dict[str, Any]]) -> None:
    journal = JournalWriter(path)
    for doc in docs:
        journal.append("event", doc)
    journal.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [doc for _, doc in read_journal(path)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents, max_size=4))
def test_documents_come_back_as_they_were(tmp_path: Path, docs: list[dict[str, Any]]) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    write(path, docs)
    assert read(path) == docs


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["u1", "<i4", ">i2", "f4", "f8", "?", "c8", "U5", "S3", "M8[s]"]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, max_side=4))
    )
)
def test_arrays_keep_dtype_shape_and_bytes(tmp_path: Path, array: Any) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    write(path, [{"a": array}])
    (doc,) = read(path)
    assert doc["a"].dtype == array.dtype
    assert doc["a"].shape == array.shape
    assert doc["a"].tobytes() == np.ascontiguousarray(array).tobytes()


def test_frame_references_come_back(tmp_path: Path) -> None:
    reference = FrameReference("primary.image.h5", 7, 2, (64, 48), "<i4")
    write(tmp_path / "journal", [{"data": {"image": reference}}])
    assert read(tmp_path / "journal") == [{"data": {"image": reference}}]


ODD_VALUES = [
    # what a document may hold, what comes back, why
    ((1, 2), [1, 2], "a tuple is a list, as in JSON"),
    (np.float64(1.5), 1.5, "a numpy number is a number"),
    (np.int32(3), 3, "a numpy number is a number"),
    (np.bool_(True), True, "a numpy truth is a truth"),
    (2**70, str(2**70), "an integer beyond 64 bits is its text"),
    (datetime(2026, 11, 23), "datetime.datetime(2026, 11, 23, 0, 0)", "an object is its text"),
    ({1, 2}, "{1, 2}", "a set is its text"),
    ({1: "a"}, {"1": "a"}, "a key is a text"),
    ("\ud800", "?", "half a character cannot be kept"),
    (np.array([1, "a"], dtype=object), [1, "a"], "an array of objects is a list"),
]


@pytest.mark.parametrize(("value", "expected", "why"), ODD_VALUES, ids=[r[2] for r in ODD_VALUES])
def test_no_value_loses_a_document(tmp_path: Path, value: Any, expected: Any, why: str) -> None:
    write(tmp_path / "journal", [{"value": value}])
    assert read(tmp_path / "journal") == [{"value": expected}], why


def test_nan_stays_nan(tmp_path: Path) -> None:
    write(tmp_path / "journal", [{"value": float("nan")}])
    assert np.isnan(read(tmp_path / "journal")[0]["value"])


def test_journal_cut_anywhere_gives_its_whole_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    docs = [{"n": i, "text": "x" * i, "array": np.arange(i)} for i in range(4)]
    write(tmp_path / "whole", docs)
    data = (tmp_path / "whole").read_bytes()
    counts = []
    with caplog.at_level(logging.CRITICAL):
        for size in range(len(data) + 1):
            (tmp_path / "cut").write_bytes(data[:size])
            counts.append(len(read(tmp_path / "cut")))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 4


def test_journal_is_continued_after_its_last_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [{"n": 1}, {"n": 2}])
    path.write_bytes(path.read_bytes()[:-1])
    write(path, [{"n": 3}])
    assert read(path) == [{"n": 1}, {"n": 3}]


def test_array_of_objects_in_a_file_is_refused(tmp_path: Path) -> None:
    header = msgpack.packb({"format": "h5xs-journal", "version": 1})
    payload = msgpack.packb(["|O", [1], b"\x00" * 8])
    record = msgpack.packb(["event", {"a": msgpack.ExtType(1, payload)}])
    (tmp_path / "journal").write_bytes(header + record)
    with pytest.raises(RefusedError, match="plain values"):
        read(tmp_path / "journal")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xc1\xc1\xc1", "expected a record"),
        (msgpack.packb({"format": "other"}), "expected a journal"),
        (msgpack.packb({"format": "h5xs-journal", "version": 9}), "newer"),
        (msgpack.packb({"format": "h5xs-journal", "version": 1}) + b"\x01", "records"),
    ],
)
def test_file_that_is_no_journal_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "journal").write_bytes(data)
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path / "journal")
