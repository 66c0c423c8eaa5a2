"""Journals as a store: damaged ones, and ones that ask for more than they may."""

import logging
from pathlib import Path

import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames, write_experiment

from h5xs_bluesky.catalogs import from_catalog
from h5xs_bluesky.io.journal import FrameReference, JournalWriter

BEAMLINE = small_beamline()


def journal(folder: Path, file: str) -> Path:
    """Write a journal whose frames lie in a file of this name."""
    folder.mkdir(parents=True)
    writer = JournalWriter(folder / "documents.msgpack")
    reference = FrameReference(file=file, row=0, rows=1, shape=(64, 48), dtype="<i4")
    for name, doc in run_documents(small_frames(1)):
        if name == "event":
            doc = {**doc, "data": {**doc["data"], "saxs_image": reference}}
        writer.append(name, doc)
    writer.close()
    return folder


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("../other/primary.saxs_image.h5", "expected the name of a file beside it"),
        ("/etc/frames.h5", "expected the name of a file beside it"),
        ("link.h5", "expected a file inside"),
        ("gone.h5", "expected a file, found none"),
    ],
)
def test_journal_does_not_lead_elsewhere(tmp_path: Path, file: str, reason: str) -> None:
    outside = write_experiment(tmp_path / "outside", run_documents(small_frames(1)))
    folder = journal(tmp_path / "inside" / "water", file)
    (folder / "link.h5").symlink_to(outside.parent / "water" / "primary.saxs_image.h5")
    (done,) = from_catalog(folder, None, tmp_path / "new", BEAMLINE)
    assert (done.outcome, reason in done.reason) == ("failed", True)
    assert not (tmp_path / "new").exists()


def test_folders_of_a_sample_of_an_experiment_and_of_experiments_are_sources(
    tmp_path: Path,
) -> None:
    for name in ("one", "two"):
        write_experiment(tmp_path / "all" / name, run_documents(small_frames(2), scan_id=1))
    for number, source in enumerate(("all/one/water", "all/one", "all")):
        done = from_catalog(tmp_path / source, None, tmp_path / f"new {number}", BEAMLINE)
        assert [each.outcome for each in done] == ["reduced"] * (2 if source == "all" else 1)
    assert [each.sample for each in done] == ["water", "water_1"]


def test_damaged_journal_does_not_hold_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_experiment(tmp_path / "old", run_documents(small_frames(1)))
    (tmp_path / "old" / "broken").mkdir()
    (tmp_path / "old" / "broken" / "documents.msgpack").write_bytes(b"\xc1 no journal")
    with caplog.at_level(logging.WARNING):
        (done,) = from_catalog(tmp_path / "old", None, tmp_path / "new", BEAMLINE)
    assert done.outcome == "reduced"
    assert "A run is left out" in caplog.text


def test_copy_of_a_copy_is_the_same(tmp_path: Path) -> None:
    """Nothing wears off, not even which times were reconstructed."""
    write_experiment(tmp_path / "a", run_documents(small_frames(3)))
    for source, target in (("a", "b"), ("b", "c")):
        (done,) = from_catalog(tmp_path / source, None, tmp_path / target, BEAMLINE)
        assert done.lost == ()
    first, last = (
        np.frombuffer((tmp_path / name / "water" / "primary.saxs_image.h5").read_bytes(), np.uint8)
        for name in ("a", "c")
    )
    assert np.array_equal(first, last)
