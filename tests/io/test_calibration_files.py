"""What a calibration leaves behind."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from strategies import TILTED

from h5xs_bluesky.io.calibration_files import CalibrationFiles, write_calibration
from h5xs_bluesky.io.geometry_files import read_poni

DATE = datetime(2026, 11, 24, 9, 30, 5, tzinfo=UTC)


def write(folder: Path, **record: object) -> CalibrationFiles:
    return write_calibration(
        folder, "_SAXS", date=DATE, geometry=TILTED, record=record, picture=b"png"
    )


def test_names_tell_detector_and_date(tmp_path: Path) -> None:
    files = write(tmp_path, points=3)
    assert files.poni.name == "_SAXS.calibration.20261124T093005Z.poni"
    assert read_poni(files.poni) == TILTED
    assert json.loads(files.record.read_text(encoding="utf-8")) == {"points": 3}
    assert files.picture.read_bytes() == b"png"


def test_no_file_is_replaced(tmp_path: Path) -> None:
    first, second = write(tmp_path, points=1), write(tmp_path, points=2)
    assert second.record.name == "_SAXS.calibration.20261124T093005Z-2.json"
    assert json.loads(first.record.read_text(encoding="utf-8")) == {"points": 1}


def test_record_that_is_no_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, points=float("nan"))
    assert list(tmp_path.iterdir()) == []
