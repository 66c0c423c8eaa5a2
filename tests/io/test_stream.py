"""Stream files: scalars, row by row."""

from pathlib import Path

import h5py
import numpy as np

from h5xs_bluesky.io.stream import StreamFile


def append(file: StreamFile, number: int, **values: object) -> None:
    stamps = dict.fromkeys(values, float(number))
    file.append(time=float(number), seq_num=number, values=values, timestamps=stamps)


def test_rows_appear_when_they_are_flushed(tmp_path: Path) -> None:
    file = StreamFile(tmp_path / "s.h5", scalars=["x", "y"], period_s=100.0)
    for number in (1, 2, 3):
        append(file, number, x=number, y=0.5 * number)
    with h5py.File(tmp_path / "s.h5", "r", swmr=True) as reader:
        assert reader["time"].shape == (0,)
    file.flush()
    with h5py.File(tmp_path / "s.h5", "r", swmr=True) as reader:
        assert reader["time"][()].tolist() == [1.0, 2.0, 3.0]
        assert reader["seq_num"][()].tolist() == [1, 2, 3]
        assert reader["data/y"][()].tolist() == [0.5, 1.0, 1.5]
        assert reader["timestamps/x"][()].tolist() == [1.0, 2.0, 3.0]
    file.close()


def test_rows_are_flushed_on_their_own_when_the_time_has_come(tmp_path: Path) -> None:
    file = StreamFile(tmp_path / "s.h5", scalars=["x"], period_s=0.0)
    append(file, 1, x=1)
    with h5py.File(tmp_path / "s.h5", "r", swmr=True) as reader:
        assert reader["data/x"][()].tolist() == [1.0]
    file.close()


def test_number_that_is_missing_or_none_is_nan(tmp_path: Path) -> None:
    file = StreamFile(tmp_path / "s.h5", scalars=["x", "a/b"])
    for values in ({"x": "text"}, {"x": None}, {"a/b": True}):
        append(file, 1, **values)
    file.close()
    with h5py.File(tmp_path / "s.h5", "r") as reader:
        assert np.isnan(reader["data/x"][()]).all()
        assert np.isnan(reader["data/a_b"][:2]).all()
        assert reader["data/a_b"][2] == 1.0
