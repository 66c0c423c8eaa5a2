"""Area detectors of ophyd-async that write their frames as areaDetector's file plugin does."""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np
from bluesky.protocols import StreamAsset
from numpy.typing import NDArray
from ophyd_async.core import (
    DetectorAcquireLogic,
    DetectorDataLogic,
    DetectorTriggerLogic,
    PathProvider,
    StandardDetector,
    StreamableDataProvider,
    StreamResourceDataProvider,
    StreamResourceInfo,
    TriggerInfo,
    soft_signal_r_and_setter,
)

from h5xs_bluesky.io.bitshuffle import compress
from h5xs_bluesky.io.frames import BITSHUFFLE_LZ4
from h5xs_bluesky.io.writing import close_growing, make_growing, or_abandoned, telling
from h5xs_bluesky.sim.endstation.frame_sources import FrameSource
from h5xs_bluesky.sim.endstation.scene import Exposed, Scene

if TYPE_CHECKING:
    from event_model import StreamRange

logger = logging.getLogger(__name__)

DATA = "/entry/data/data"
TIMESTAMPS = "/entry/instrument/NDAttributes/NDArrayTimeStamp"
_DTYPE = np.dtype("<i4")
_ROWS = 1024
_IMAGE = "_image"

Result = TypeVar("Result")


class IocFile:
    """A file of frames that others may read while it is written (SWMR).

    Parameters
    ----------
    path
        Of a file that does not exist yet.
    shape
        Of a frame.
    compressed
        With bitshuffle and LZ4; otherwise frames are written plain.
    """

    def __init__(self, path: Path, shape: tuple[int, int], *, compressed: bool = True) -> None:
        self.path = path
        self._compressed = compressed

        def lay_out(file: h5py.File) -> None:
            file.create_dataset(
                DATA,
                shape=(0, *shape),
                maxshape=(None, *shape),
                chunks=(1, *shape),
                dtype=_DTYPE,
                **(BITSHUFFLE_LZ4 if compressed else {}),
            )
            file.create_dataset(
                TIMESTAMPS, shape=(0,), maxshape=(None,), chunks=(_ROWS,), dtype="<f8"
            )

        self._file = make_growing(path, lay_out)
        self._frames, self._stamps = self._file[DATA], self._file[TIMESTAMPS]
        self.rows = 0

    def append(self, frame: NDArray[np.int32], stamp_s: float) -> None:
        """Write a frame, and when its exposure began; both are there for readers afterwards.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        row = self.rows
        if not self._file:
            raise OSError(errno.EIO, "it could not be written before", str(self.path))
        with telling(self.path), or_abandoned(self._file):
            self._frames.resize(row + 1, axis=0)
            self._stamps.resize(row + 1, axis=0)
            self._stamps[row] = stamp_s
            if self._compressed:
                self._frames.id.write_direct_chunk((row, 0, 0), compress(frame))
            else:
                self._frames[row] = frame
            self._file.flush()
        self.rows = row + 1

    def close(self) -> None:
        """Close the file; one that the disk does not take is left as it is there."""
        try:
            close_growing(self._file, self.path)
        except OSError as error:
            logger.warning("A detector's file could not be closed: %s", error)


class Camera:
    """What a detector does: it exposes, makes its frames, and writes them.

    The frame of an exposure is made while it lasts, of what will be in the beam; only if something
    has happened meanwhile it is made anew. So a frame is on disk soon after its exposure.

    Parameters
    ----------
    data_key
        The field of its frames.
    shape
        Of a frame.
    source
        Makes frames.
    scene
        Tells what is in the beam.
    rng
        The source of chance.
    compressed
        Whether files are.
    """

    def __init__(
        self,
        data_key: str,
        shape: tuple[int, int],
        *,
        source: FrameSource,
        scene: Scene,
        rng: np.random.Generator,
        compressed: bool,
    ) -> None:
        self.data_key, self.shape = data_key, shape
        self._source, self._scene, self._rng = source, scene, rng
        self._compressed = compressed
        self._file: IocFile | None = None
        self._task: asyncio.Task[None] | None = None
        self._plan = (1, 0.2, 0.2)  # exposures, their length and their distance in s
        self.exposure_time, self._set_exposure_time = soft_signal_r_and_setter(
            float, 0.2, units="s"
        )
        self.written, self._set_written = soft_signal_r_and_setter(int)
        # For whoever waits; at the end of the series once a frame could not be written, so that
        # nobody waits for the rest.
        self.over, self._set_over = soft_signal_r_and_setter(int)

    @property
    def exposures(self) -> int:
        """How many a series has."""
        return self._plan[0]

    def set_up(self, exposures: int, *, exposure_s: float, pause_s: float) -> None:
        """Get ready for a series; an exposure of 0 s is what it was before."""
        exposure_s = exposure_s or self._plan[1]
        self._plan = (exposures, exposure_s, exposure_s + pause_s)
        self._set_exposure_time(exposure_s)

    def open(self, path: Path) -> None:
        """Write into a new file."""
        self.close()
        self._file = IocFile(path, self.shape, compressed=self._compressed)
        self._set_written(0)
        self._set_over(0)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def start(self) -> None:
        """Begin the series; one that still runs is given up."""
        await self.stop()
        self._task = asyncio.create_task(self._take())

    async def finished(self) -> None:
        """Wait for the series to end."""
        if self._task is not None:
            await self._task

    async def stop(self) -> None:
        """End the series now; the frame that is being written still is."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, OSError):  # whoever waits for it has been told
                await self._task
            self._task = None

    async def _take(self) -> None:
        exposures, exposure_s, period_s = self._plan
        file, begin_s = self._file, time.time()
        if file is None:
            raise RuntimeError(f"{self.data_key}: expected an open file, found none: prepare it")
        last = file.rows + exposures
        for number in range(exposures):
            start_s = begin_s + number * period_s
            frame = await self._expose(start_s, start_s + exposure_s)
            try:
                await _undisturbed(file.append, frame, start_s)
            except OSError as error:
                self._set_over(last)
                raise OSError(error.errno, f"{file.path}: {error.strerror}") from None
            self._set_written(file.rows)
            self._set_over(file.rows)

    async def _expose(self, start_s: float, stop_s: float) -> NDArray[np.int32]:
        expected = self._scene.exposed(start_s, stop_s)
        making = asyncio.create_task(_undisturbed(self._frame, expected))
        await asyncio.sleep(max(stop_s - time.time(), 0))
        frame = await making
        seen = self._scene.exposed(start_s, stop_s)
        return frame if seen == expected else await _undisturbed(self._frame, seen)

    def _frame(self, seen: Exposed) -> NDArray[np.int32]:
        return self._source.frame(self.data_key, seen.position, seen.photons_cm, self._rng)


async def _undisturbed(function: Callable[..., Result], *args: Any) -> Result:
    """Call in a thread; who is cancelled meanwhile ends only after that."""
    calling = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(calling)
    except asyncio.CancelledError:
        with suppress(Exception):
            await calling
        raise


class _Triggering(DetectorTriggerLogic):
    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    async def prepare_internal(self, num: int, livetime: float, deadtime: float) -> None:
        self._camera.set_up(num, exposure_s=livetime, pause_s=deadtime)

    async def default_trigger_info(self) -> TriggerInfo:
        return TriggerInfo()


class _Acquiring(DetectorAcquireLogic):
    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    async def start_acquiring(self) -> None:
        await self._camera.start()

    async def wait_for_idle(self) -> None:
        await self._camera.finished()

    async def ensure_stopped(self) -> None:
        await self._camera.stop()


class _Announcing(StreamResourceDataProvider):
    """Announces what was written; where exposures are triggered one by one, the last only.

    A plan that was paused during an exposure takes it again: the first one belongs to no event.
    """

    def __init__(self, camera: Camera, uri: str, resources: Sequence[StreamResourceInfo]) -> None:
        super().__init__(uri, resources, "application/x-hdf5", camera.over)
        self._camera = camera
        self._told = False

    async def make_stream_docs(
        self, collections_written: int, collections_per_event: int
    ) -> AsyncIterator[StreamAsset]:
        on_disk = await self._camera.written.get_value()
        written = min(collections_written, on_disk) // collections_per_event
        if written and not self._told:
            self._told = True
            for bundle in self.bundles:
                yield "stream_resource", bundle.stream_resource_doc
        if self._camera.exposures == collections_per_event:
            self.last_emitted = max(self.last_emitted, written - 1)
        if written > self.last_emitted:
            indices: StreamRange = {"start": self.last_emitted, "stop": written}
            self.last_emitted = written
            for bundle in self.bundles:
                yield "stream_datum", bundle.compose_stream_datum(indices)


class _Writing(DetectorDataLogic):
    def __init__(self, camera: Camera, suffix: str, stamp_key: str, paths: PathProvider) -> None:
        self._camera, self._stamp_key, self._paths = camera, stamp_key, paths
        self.datakey_suffix = suffix

    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        place = self._paths(datakey_name)
        name = f"{place.filename}.h5"
        await asyncio.to_thread(self._camera.open, Path(place.directory_path / name))
        frames = StreamResourceInfo(
            data_key=datakey_name,
            shape=self._camera.shape,
            chunk_shape=(1, *self._camera.shape),
            dtype_numpy=_DTYPE.str,
            parameters={"dataset": DATA},
        )
        stamps = StreamResourceInfo(
            data_key=self._stamp_key,
            shape=(),
            chunk_shape=(_ROWS,),
            dtype_numpy="<f8",
            parameters={"dataset": TIMESTAMPS},
        )
        return _Announcing(self._camera, f"{place.directory_uri}{name}", [frames, stamps])

    async def stop(self) -> None:
        await self._camera.stop()
        self._camera.close()


class SimulatedDetector(StandardDetector):
    """An area detector; its fields are ``<data_key>`` and ``<name>_timestamp``.

    The latter, a number for each frame, is when its exposure began, in s since the epoch.

    Parameters
    ----------
    data_key
        The field of its frames. The device is named so, without ``_image``.
    shape
        Of a frame.
    path_provider
        Tells where files are written.
    source, scene, rng, compressed
        As for `Camera`.
    """

    def __init__(
        self,
        data_key: str,
        shape: tuple[int, int],
        *,
        path_provider: PathProvider,
        source: FrameSource,
        scene: Scene,
        rng: np.random.Generator,
        compressed: bool = True,
    ) -> None:
        name = data_key.removesuffix(_IMAGE)
        camera = Camera(data_key, shape, source=source, scene=scene, rng=rng, compressed=compressed)
        self.exposure_time = camera.exposure_time
        self.frames_written = camera.written
        self.add_detector_logics(
            _Triggering(camera),
            _Acquiring(camera),
            _Writing(camera, data_key.removeprefix(name), f"{name}_timestamp", path_provider),
        )
        self.add_config_signals(self.exposure_time)
        super().__init__(name="")
        self.set_name(name, child_name_separator="_")
