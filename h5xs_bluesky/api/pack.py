"""Packing an experiment into one file that needs no other."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.api.pack_py4xs import Py4xsNames
from h5xs_bluesky.api.reduce_offline import progress_bar
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.api.source import ExperimentSource, experiment_file
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.experiment import other_groups
from h5xs_bluesky.io.frames import LIBVER
from h5xs_bluesky.io.pack import Packer, copy_root
from h5xs_bluesky.io.provenance import read_provenance
from h5xs_bluesky.io.replace import replace_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """What became of one sample.

    Parameters
    ----------
    sample
        Its group.
    frames
        How many were copied, of all detectors together.
    added
        Names that were added for py4xs.
    left_out
        Why it is not in the file; "" if it is.
    """

    sample: str
    frames: int = 0
    added: tuple[str, ...] = ()
    left_out: str = ""


def pack(
    path: Path,
    target: Path,
    samples: str | Sequence[str] | None = None,
    *,
    roots: Sequence[Path] = (),
    keep_compression: bool = False,
    py4xs: bool = False,
    overwrite: bool = False,
    workers: int = 2,
    progress: bool = False,
) -> list[Packed]:
    """Copy an experiment, or some samples of it, into one file in the ancestor's layout.

    What else a file of the ancestor or of lixtools holds comes along, unless it would hinder py4xs.
    Results in a sidecar are merged in. The file has no links, and opens in `h5xs` with the same
    numbers.

    Parameters
    ----------
    path
        An experiment's folder or file.
    target
        The new file, which appears when it is complete.
    samples
        One or several; all by default.
    roots
        Folders outside the experiment's that links may lead into.
    keep_compression
        Copy frames as they are compressed (bitshuffle-LZ4), instead of making them gzip, which
        every HDF5 library reads.
    py4xs
        Add the names that py4xs insists on, and leave out what it cannot bear: samples without
        frames, and groups that are no samples.
    overwrite
        Replace a file that is there.
    workers
        Threads that compress.
    progress
        Show it on the terminal.

    Raises
    ------
    FileExistsError
        If the file is there.
    RefusedError
        If a link leads out of the roots.
    FileFormatError
        If data cannot be read.
    ConfigurationError
        If py4xs has no names for so many detectors.
    """
    file = experiment_file(path)
    if target.exists() and (not overwrite or target.resolve() == file.resolve()):
        raise FileExistsError(f"expected a new file, found {target}: name another, or overwrite it")
    source = ExperimentSource(file, roots=roots)
    with (
        source.reading() as opened,
        replace_whole(target) as temporary,
        h5py.File(temporary, "w", libver=LIBVER) as new,
        ThreadPoolExecutor(workers, thread_name_prefix="h5xs-pack") as executor,
    ):
        names = source.chosen(samples)
        copy_root(opened, new)
        packer = Packer(
            target=new, roots=source.roots, executor=executor, keep_compression=keep_compression
        )
        ancestor = _py4xs_names(source, names) if py4xs else None
        done = [_pack_sample(packer, source, name, ancestor, progress=progress) for name in names]
        if ancestor is not None:
            ancestor.write_root(new)
        elif samples is None:
            for name, group in other_groups(opened):
                packer.group(name, group)
    return done


def _pack_sample(
    packer: Packer,
    source: ExperimentSource,
    name: str,
    ancestor: Py4xsNames | None,
    *,
    progress: bool,
) -> Packed:
    group, copied = source.sample(name), 0
    if schema.STOP not in group.attrs and schema.SAMPLE_NAME in group.attrs:
        logger.warning("%s is still being measured, or was cut short: packed as far as it is", name)
    if ancestor is not None:
        missing = ancestor.missing(group)
        if missing:
            logger.warning("%s: %s", name, missing)
            return Packed(sample=name, left_out=missing)

    with progress_bar(name, None, shown=progress) as advance:

        def count(frames: int) -> None:
            nonlocal copied
            copied += frames
            advance(frames)

        packer.advance = count
        with source.results(name) as results:
            packer.sample(name, group, results=None if results == group else results)
            _pack_corrections(packer, source, name, results)
    _pack_buffer(packer.target[name], source.assigned_buffer(name))
    added = () if ancestor is None else ancestor.add(packer.target[name])
    return Packed(sample=name, frames=copied, added=added)


def pack_without_frames(source: ExperimentSource, name: str, target: h5py.File) -> None:
    """Copy one sample but for its frames into a file; the source's file is open.

    The file opens in `h5xs`, with the same curves, monitors and headers. Of the frames it tells
    where they would stand; reading one says that it is not there. What a link leads to out of the
    roots is left out.

    Raises
    ------
    RefusedError
        If the sample itself, or its results, lie there.
    FileFormatError
        If data cannot be read.
    """
    copy_root(source.opened, target)
    packer = Packer(target=target, roots=source.roots, executor=None, leave_out_refused=True)
    with source.results(name) as results:
        group = source.sample(name)
        packer.sample(name, group, results=None if results == group else results)
        _pack_corrections(packer, source, name, results)
    _pack_buffer(target[name], source.assigned_buffer(name))


def _py4xs_names(source: ExperimentSource, names: Sequence[str]) -> Py4xsNames:
    samples = [source.sample(name) for name in names]
    return Py4xsNames(read_beamline(source.opened, None, ""), samples, roots=source.roots)


def _pack_buffer(new: h5py.Group, assigned: str | None) -> None:
    """Let a packed sample have the buffers that its sidecar names."""
    if assigned is None:
        return
    for name in {schema.BUFFER, schema.H5XS_BUFFER, schema.BUFFER_ASSIGNED} & set(new.attrs):
        del new.attrs[name]
    if assigned:
        new.attrs[schema.BUFFER] = assigned
        new.attrs[schema.BUFFER_ASSIGNED] = "yes"


def _pack_corrections(
    packer: Packer, source: ExperimentSource, name: str, results: h5py.Group
) -> None:
    """Pack the flats and darks of the detectors as they are, and as the results were made with."""
    packer.corrections(name, [source.opened.attrs.get(schema.DETECTORS, "[]")], source.opened)
    try:
        provenance = read_provenance(results, roots=source.roots)
        if provenance is not None:
            packer.corrections(name, [provenance.frames.detectors], source.opened)
    except FileFormatError as error:
        logger.warning("%s: its results cannot be verified from the packed file: %s", name, error)
