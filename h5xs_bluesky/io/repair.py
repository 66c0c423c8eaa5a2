"""Bringing back what a dead writer left."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError, FileInUseError, H5xsError, details_of
from h5xs_bluesky.io.damage import damage_of, linked_files, missing_rows
from h5xs_bluesky.io.experiment import add_sample
from h5xs_bluesky.io.journal import read_journal
from h5xs_bluesky.io.names import join_names, safe_name
from h5xs_bluesky.io.opening import DAMAGE
from h5xs_bluesky.io.run_contents import RunContents
from h5xs_bluesky.io.run_files import RunFolder, sample_attributes, write_run_file
from h5xs_bluesky.io.superblock import read_superblock, repair_superblock

logger = logging.getLogger(__name__)

_COMPLETE = (schema.RUN_FILE, schema.PROCESSED_FILE)  # from the moment that they have their names
_TEMPORARY = re.compile(r"\..+-[0-9a-f]{8}\.\w+")  # as io.replace names them


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """What was found in one sample's folder.

    Parameters
    ----------
    sample
        Its name.
    frames
        Acknowledged frames by field.
    files
        Files that had been left open and are readable again.
    ended
        Whether the run had come to its end; None where that, and the frames, are not known.
    left_out
        What was wrong with records of the journal that do not fit the others.
    problem
        Why the sample, or a file of it, could not be repaired; "" if all could.
    """

    sample: str
    frames: dict[str, int]
    files: tuple[str, ...] = ()
    ended: bool | None = None
    left_out: tuple[str, ...] = ()
    problem: str = ""


def repair_experiment(folder: Path) -> list[Repaired]:
    """Repair every sample of an experiment whose writer is dead; the others are left alone.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    """
    found = []
    for path in sorted(p for p in folder.iterdir() if (p / schema.JOURNAL_FILE).is_file()):
        try:
            claimed = RunFolder.open(path)
        except FileInUseError as error:
            found.append(Repaired(sample=path.name, frames={}, problem=str(error)))
            continue
        try:
            done = Repaired(sample=path.name, frames={})
            done = repair_sample(claimed)
            if (folder / schema.EXPERIMENT_FILE).exists():
                add_sample(folder, path.name)
        except Exception as error:  # the other samples are not to suffer from it
            if details_of(error):
                logger.exception("%s could not be repaired", path)
            problem = str(error) if isinstance(error, H5xsError | OSError) else repr(error)
            done = replace(done, problem="; ".join(filter(None, [done.problem, problem])))
        finally:
            found.append(done)
            claimed.close()
    return found


def repair_sample(folder: RunFolder) -> Repaired:
    """Repair one sample that is claimed: its writer is dead.

    The run file is written anew from the journal, which is the truth: scalars come from there, and
    rows beyond it do not count. Then the files that it left open are made readable. What the disk
    does not take is told, and is done by the next repair.

    Raises
    ------
    FileFormatError
        If the journal is damaged before its end.
    OSError
        If the journal cannot be read.
    """
    records = read_journal(folder.path / schema.JOURNAL_FILE)
    contents = RunContents.from_records(records, keep_scalars=True)
    repaired: list[Path] = []
    try:
        problem = "; ".join(_repair_files(folder.path, contents, repaired))
    except OSError as error:
        problem = str(error)
    return Repaired(
        sample=folder.sample,
        frames={
            field: sum(file.rows for file in files)
            for stream in contents.streams.values()
            for field, files in stream.frames.items()
        },
        files=tuple(path.name for path in repaired),
        ended=contents.stop is not None,
        left_out=tuple(contents.left_out),
        problem=problem,
    )


def _repair_files(folder: Path, contents: RunContents, repaired: list[Path]) -> list[str]:
    """Repair a sample's files, each of which is then in `repaired`; gives what is lost.

    The run file comes first: that the others were left open tells the next repair, if it cannot be
    written now, that their numbers have to come from the journal.
    """
    for leftover in folder.iterdir():
        if _TEMPORARY.fullmatch(leftover.name):
            leftover.unlink()
    left_open = [path for path in _our_files(folder, contents) if _was_left_open(path)]
    run_file = folder / schema.RUN_FILE
    if run_file.exists() and (problem := _damage_of_run(run_file, contents)):
        logger.warning("%s is written anew from the journal: %s", run_file, problem)
        write_run_file(folder, contents, _attributes(folder, contents))
        repaired.append(run_file)
    elif left_open or contents.stop is None or not run_file.exists():
        write_run_file(folder, contents, sample_attributes(folder))
    for path in left_open:
        if path != run_file:
            repair_superblock(path)
            repaired.append(path)
    return list(_lost(folder, contents))


def _damage_of_run(run_file: Path, contents: RunContents) -> str:
    """Tell what of a run file, or of the numbers that it links, cannot be read."""
    if problem := damage_of(run_file):
        return problem
    folder = run_file.parent
    frames = {name for name, _ in _frame_files(contents)}
    linked = linked_files(run_file) - frames - {schema.PROCESSED_FILE}
    numbers = [folder / name for name in sorted(linked) if (folder / name).is_file()]
    return next((problem for path in numbers if (problem := damage_of(path))), "")


def _lost(folder: Path, contents: RunContents) -> Iterator[str]:
    """Tell of results and frames that are damaged, and that the journal does not have."""
    processed = folder / schema.PROCESSED_FILE
    if processed.exists() and (problem := damage_of(processed)):
        yield f"{problem} (or delete it, and reduce the frames again with load_data)"
    for name, rows in _frame_files(contents):
        path = folder / name
        if not h5py.is_hdf5(path):  # its writer died before the first frame
            continue
        if problem := damage_of(path):
            yield problem
        elif missing := missing_rows(path, rows):
            yield f"{path}: expected {rows} frames, found that {missing} are lost: copy it again"


def _frame_files(contents: RunContents) -> Iterator[tuple[str, int]]:
    """Give the files of frames, and how many of these were acknowledged."""
    for stream in contents.streams.values():
        for files in stream.frames.values():
            yield from ((file.file, file.rows) for file in files)


def _attributes(folder: Path, contents: RunContents) -> dict[str, str]:
    """Give what a run file says beyond the documents, or what these tell of that."""
    try:
        return sample_attributes(folder)
    except DAMAGE:
        found = {schema.SAMPLE_NAME: folder.name}
    for key in (schema.SAMPLE_NAME, schema.BUFFER):
        value = contents.start.get(key)
        if value and isinstance(value, str | list | tuple):
            found[key] = value if isinstance(value, str) else join_names(map(str, value))
    return found


def _our_files(folder: Path, contents: RunContents) -> list[Path]:
    """List our HDF5 files; others may be there, of detectors that go on writing."""
    begins = [safe_name(name) + mark for name in contents.streams for mark in ".-"]
    return [
        path
        for path in sorted(folder.glob("*.h5"))
        if path.name in _COMPLETE or path.name.startswith(tuple(begins))
    ]


def _was_left_open(path: Path) -> bool:
    """Tell whether a file needs repair; one without a superblock cannot hold data.

    One that was complete and is cut short is left: HDF5 would give zeros. Frames are looked at one
    by one when they are read.
    """
    try:
        found = read_superblock(path)
    except FileFormatError:
        logger.exception("%s has nothing to bring back", path)
        return False
    return found.needs_repair and not (found.is_cut and path.name in _COMPLETE)
