"""The frame files of one run: one for each kind of frames, opened when the first of them comes."""

import logging
import os
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.documents import FrameStack
from h5xs_bluesky.callbacks.external_reader import Arrival
from h5xs_bluesky.errors import details_of
from h5xs_bluesky.io.frames import FrameFile, LinkedFrames
from h5xs_bluesky.io.journal import FrameReference
from h5xs_bluesky.io.run_files import RunFolder

logger = logging.getLogger(__name__)

# Frames in one file share stream, field, shape and dtype, and whose clock their times are of.
_Kind = tuple[str, str, tuple[int, ...], str, bool]
# Links in one file share stream, field, the other file with its dataset, and frames per event.
_Target = tuple[str, str, Path, str, int]

_MOST_OPEN_LINKS = 32  # a file each; a run may have one for every event


class FrameFiles:
    """Opens and keeps the frame files of a run; one thread calls it.

    Parameters
    ----------
    folder
        The run's.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._own: dict[_Kind, FrameFile] = {}
        self._linked: dict[_Target, LinkedFrames] = {}  # the last one used at the end
        self._numbers: dict[tuple[str, str], int] = {}  # of the last file of a stream and field
        self.made = 0

    def append(
        self,
        stream: str,
        stacks: dict[str, FrameStack],
        *,
        row: int,
        stamps: "Stamps",
        reconstructed: Collection[str] = (),
    ) -> dict[str, FrameReference]:
        """Append the frames that one event brings, and make them count.

        Parameters
        ----------
        stamps
            Gives the times of a field's frames.
        reconstructed
            Fields whose times are not those of a device.

        Raises
        ------
        OSError
            If the disk does not take them; none of them counts then.
        """
        files = {
            field: self._file(
                (
                    *(stream, field, stack.frames.shape[1:], stack.frames.dtype.str),
                    field in reconstructed,
                ),
                len(stack.frames),
            )
            for field, stack in stacks.items()
        }
        try:
            references = {}
            for field, stack in stacks.items():
                count = len(stack.frames)
                references[field] = _append(
                    files[field],
                    stack.chunks.result(),
                    stamps=_for_each(stamps(field), count),
                    rows=[row],
                    kind=(stack.frames.shape[1:], stack.frames.dtype.str),
                )
            for file in files.values():
                file.commit()
        except Exception:
            for file in files.values():
                file.discard()
            raise
        return references

    def copy(self, arrival: Arrival, chunks: list[bytes], rows: list[int]) -> FrameReference:
        """Append a copy of frames from the file of another writer, and make them count.

        Raises
        ------
        OSError
            If the disk does not take them; none of them counts then.
        """
        wanted = arrival.announcement
        file = self._file(
            (wanted.stream, wanted.field, arrival.shape, arrival.dtype, True), wanted.per_event
        )
        try:
            reference = _append(
                file,
                chunks,
                stamps=np.full(len(chunks), wanted.received),
                rows=rows,
                kind=(arrival.shape, arrival.dtype),
            )
            file.commit()
        except Exception:
            file.discard()
            raise
        return reference

    def link(self, arrival: Arrival, rows: list[int]) -> FrameReference:
        """Link frames in the file of another writer, and make them count.

        A frame that belongs to a second row, too, is linked once more, in a file of its own.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        wanted = arrival.announcement
        first = wanted.first + arrival.first * wanted.per_event
        count = arrival.frame_count
        positions = _positions(rows, wanted.per_event)
        target = wanted.stream, wanted.field, wanted.path, wanted.dataset, wanted.per_event
        file = self._linked.pop(target, None)
        if file is not None and not file.takes(first, positions=positions):
            file.close()
            file = None
        file = file or self._new_link(target)
        self._linked[target] = file
        file.append(first, timestamps=np.full(count, wanted.received), positions=positions)
        file.commit()
        for rested in islice(
            reversed(self._linked.values()), _MOST_OPEN_LINKS, 1 + _MOST_OPEN_LINKS
        ):
            rested.close()
        return FrameReference(
            file=file.path.name, row=first, rows=count, shape=arrival.shape, dtype=arrival.dtype
        )

    def close(self) -> None:
        """Close all files; one that cannot be closed is left to a repair."""
        files: list[FrameFile | LinkedFrames] = [*self._own.values(), *self._linked.values()]
        for file in files:
            try:
                file.close()
            except (OSError, RuntimeError) as error:
                logger.error(
                    "%s could not be closed: h5xs repair makes it readable: %s",
                    *(file.path, error),
                    exc_info=details_of(error),
                )

    def _file(self, kind: _Kind, frames_per_event: int) -> FrameFile:
        stream, field, shape, dtype, reconstructed = kind
        if kind not in self._own:
            path = self._new(stream, field, f"frames {shape} {dtype}", level=logging.WARNING)
            self._own[kind] = FrameFile(
                path,
                field=field,
                frame_shape=shape,
                dtype=np.dtype(dtype),
                frames_per_event=frames_per_event,
                reconstructed=reconstructed,
            )
        return self._own[kind]

    def _new_link(self, target: _Target) -> LinkedFrames:
        stream, field, other, dataset, per_event = target
        return LinkedFrames(
            self._new(stream, field, f"frames in {other}", level=logging.DEBUG),
            field=field,
            target=_link_target(other, self._folder.path),
            dataset=dataset,
            frames_per_event=per_event,
        )

    def _new(self, stream: str, field: str, what: str, *, level: int) -> Path:
        number = self._numbers.get((stream, field), 0) + 1
        path = self._folder.new_file(stream, field, number=number)
        if number > 1:
            logger.log(
                level, "%s: %s now sends %s: they go to %s", path.parent, field, what, path.name
            )
        self._numbers[stream, field] = number
        self.made += 1
        return path


Stamps = Callable[[str], NDArray[np.float64]]


def _append(
    file: FrameFile,
    chunks: list[bytes],
    *,
    stamps: NDArray[np.float64],
    rows: list[int],
    kind: tuple[tuple[int, ...], str],
) -> FrameReference:
    per_event = len(chunks) // len(rows)
    fits = per_event == file.frames_per_event
    first = file.append(
        chunks,
        timestamps=stamps,
        positions=_positions(rows, per_event) if fits else np.full(len(chunks), schema.NO_POSITION),
    )
    return FrameReference(
        file=file.path.name, row=first, rows=len(chunks), shape=kind[0], dtype=kind[1]
    )


def _positions(rows: list[int], per_event: int) -> NDArray[np.int64]:
    each = np.asarray(rows, dtype=np.int64)[:, np.newaxis] * per_event + np.arange(per_event)
    return each.ravel()


def _for_each(stamps: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return stamps if stamps.size == count else np.full(count, stamps[-1])


def _link_target(other: Path, folder: Path) -> str:
    """Name the other file relative to the run's folder if both lie in one experiment."""
    resolved, experiment = other.resolve(), folder.resolve().parent
    if resolved.is_relative_to(experiment):
        return Path(os.path.relpath(resolved, folder.resolve())).as_posix()
    return str(resolved)
