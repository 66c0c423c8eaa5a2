"""From raw frames on disk to a sample's accumulators, with bounded memory, on any executor."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.monitors import FramesOfSample, complete_trans
from h5xs_bluesky.api.raw import FrameSource, RawSample, read_raw
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import H5xsError, ReductionError
from h5xs_bluesky.io.frames import open_frames, read_frame
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration.integrate import Integrator
from h5xs_bluesky.reduction.sample import ReducedSample

logger = logging.getLogger(__name__)

Advance = Callable[[int], None]

_FRAMES = 16  # of a task; it holds one of them at a time
_AHEAD = 32  # tasks that wait for their turn


def reduce_sample(
    workspace: Workspace,
    name: str,
    integrators: Mapping[str, Integrator],
    *,
    executor: Executor,
    update_only: bool,
    required: bool,
    progress: bool,
) -> None:
    """Reduce a sample's raw frames into the workspace.

    Parameters
    ----------
    update_only
        Not if as many frames are reduced as measured.
    required
        Whether a sample without frames is an error.
    progress
        Show it on the terminal.

    Raises
    ------
    ReductionError
        If the sample has no frames.
    """
    source = workspace.source
    try:
        sample = source.sample(name)
        raw = read_raw(sample, workspace.beamline, roots=source.roots)
    except ReductionError as error:
        if required:
            raise
        logger.warning("%s is passed over: %s", name, error)
        return
    before = workspace.read_before(name)
    if update_only and before is not None and len(before.superseded) == len(raw):
        workspace.read(name)
        return
    with progress_bar(name, raw.frame_count, shown=progress) as advance:
        fresh = reduce_raw(raw, integrators, executor=executor, advance=advance)
    frames = FramesOfSample(
        group=sample, frames_per_event=raw.frames_per_event, size=len(raw), roots=source.roots
    )
    fresh, problems = complete_trans(fresh, frames, workspace.beamline)
    for problem in problems:
        logger.warning("%s: %s", name, problem)
    workspace.take(name, fresh, before)


def reduce_raw(
    raw: RawSample,
    integrators: Mapping[str, Integrator],
    *,
    executor: Executor,
    advance: Advance | None = None,
) -> ReducedSample:
    """Reduce all frames of a sample, as the live reduction does, to the same bits.

    Parameters
    ----------
    raw
        Where the frames lie.
    integrators
        By extension.
    executor
        Runs the tasks; each opens a file and reduces a few frames of it.
    advance
        Called with the number of frames that have just been reduced.

    Returns
    -------
    ReducedSample
        NaN where a detector's frame is missing, does not fit or cannot be read.
    """
    sums = {
        extension: np.full(
            (len(raw), len(Accumulators.FIELDS), len(integrators[extension].qgrid)), np.nan
        )
        for extension in raw.frames
    }
    pending: deque[tuple[str, NDArray[np.int64], Future[NDArray[np.float64]]]] = deque()

    def collect() -> None:
        extension, positions, future = pending.popleft()
        sums[extension][positions] = future.result()
        if advance is not None:
            advance(len(positions))

    try:
        for extension, source, part in _parts(raw):
            while len(pending) >= _AHEAD:
                collect()
            rows = source.rows[part]
            task = executor.submit(
                reduce_rows, source.path, source.dataset, rows, integrators[extension]
            )
            pending.append((extension, source.positions[part], task))
        while pending:
            collect()
    finally:
        for _, _, future in pending:
            future.cancel()
    return ReducedSample(
        detectors={extension: Accumulators.from_array(array) for extension, array in sums.items()},
        transmitted=raw.transmitted,
        incident=raw.incident,
        superseded=raw.superseded,
    )


def _parts(raw: RawSample) -> Iterator[tuple[str, FrameSource, slice]]:
    for extension, sources in raw.frames.items():
        for source in sources:
            for first in range(0, source.rows.size, _FRAMES):
                yield extension, source, slice(first, first + _FRAMES)


def reduce_rows(
    path: Path, dataset: str, rows: NDArray[np.int64], integrator: Integrator
) -> NDArray[np.float64]:
    """Reduce some frames of one dataset; what an executor runs, so all it needs are values.

    Returns
    -------
    ndarray, shape (len(rows), 5, nq)
        Accumulators; NaN for a frame that does not fit or cannot be read, which is logged.
    """
    sums = np.full((len(rows), len(Accumulators.FIELDS), len(integrator.qgrid)), np.nan)
    with open_frames(path) as file:
        data = file[dataset]
        for place, row in enumerate(rows):
            try:
                sums[place] = integrator.integrate(read_frame(data, int(row))).to_array()
            except (H5xsError, OSError) as error:
                logger.warning("%s: frame %d was left out: %s", path, row, error)
    return sums


@contextmanager
def executor_or_threads(executor: Executor | None) -> Iterator[Executor]:
    """Give the executor, or threads, one for each processor at hand, that end with the block."""
    if executor is not None:
        yield executor
        return
    own = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="h5xs-offline")
    try:
        yield own
    finally:
        own.shutdown(cancel_futures=True)


@contextmanager
def progress_bar(title: str, frames: int | None, *, shown: bool) -> Iterator[Advance]:
    """Show on the terminal how many frames are done, of how many where that is known."""
    if not shown:
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task(title, total=frames)
        yield lambda count: bar.advance(task, count)
