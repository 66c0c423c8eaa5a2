"""What a run holds, as a fold over its documents."""

from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_beamline import run_documents

from h5xs_bluesky.io.journal import FrameReference
from h5xs_bluesky.io.run_contents import RunContents, scalar_fields
from h5xs_bluesky.io.run_files import column_of, write_run_file
from h5xs_bluesky.io.stream_rows import superseded_rows


@given(st.lists(st.integers(1, 5), max_size=20))
def test_row_is_superseded_if_and_only_if_its_number_comes_again(numbers: list[int]) -> None:
    found = superseded_rows(numbers).tolist()
    assert found == [n in numbers[i + 1 :] for i, n in enumerate(numbers)]


def test_frames_are_counted_by_the_last_reference() -> None:
    contents = RunContents()
    for name, doc in run_documents([{"image": "x"}] * 2):
        if name == "event":
            row = 3 * (doc["seq_num"] - 1)
            doc["data"]["image"] = FrameReference("primary.image.h5", row, 3, (2, 2), "<i4")
        contents.consume(name, doc)
    (file,) = contents.streams["primary"].frames["image"]
    assert (file.file, file.rows) == ("primary.image.h5", 6)


@pytest.mark.parametrize(
    ("key", "scalar", "why"),
    [
        ({"dtype": "number", "shape": []}, True, "a float"),
        ({"dtype": "integer", "shape": []}, True, "an integer"),
        ({"dtype": "boolean", "shape": []}, True, "a flag"),
        ({"dtype": "number", "shape": None}, True, "some devices give no shape"),
        ({"dtype": "string", "shape": []}, False, "no number"),
        ({"dtype": "array", "shape": [3]}, False, "several numbers"),
        ({"dtype": "number", "shape": [], "external": "STREAM:"}, False, "not in the events"),
    ],
)
def test_scalar_fields_are_the_single_numbers_in_events(
    key: dict[str, object], scalar: bool, why: str
) -> None:
    assert scalar_fields({"data_keys": {"f": key}}) == (["f"] if scalar else []), why


@pytest.mark.parametrize(
    ("values", "expected", "why"),
    [
        ([1.5, 2.5], [1.5, 2.5], "numbers are an array"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], "arrays of one shape are one array"),
        ([[1, 2], [3]], [b"[1, 2]", b"[3]"], "ragged arrays are JSON"),
        (["a", "b\0"], [b"a", "b\N{REPLACEMENT CHARACTER}".encode()], "HDF5 has no NUL in texts"),
        ([{"a": 1}, None], [b'{"a": 1}', b"null"], "anything else is JSON"),
    ],
)
def test_values_of_a_field_become_one_column(
    tmp_path: Path, values: list[object], expected: list[object], why: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=column_of(values))
        assert file["x"][()].tolist() == expected, why


def test_run_file_without_its_stream_file_has_the_scalars_of_the_journal(tmp_path: Path) -> None:
    folder = tmp_path / "water"
    folder.mkdir()
    contents = RunContents.from_records(run_documents([{"x": 1.0}] * 3), keep_scalars=True)
    write_run_file(folder, contents, {})
    with h5py.File(folder / "run.h5", "r") as file:
        assert file["water/primary/data/x"][()].tolist() == [1.0] * 3
        assert file["water/primary/seq_num"][()].tolist() == [1, 2, 3]
