"""What one downloads of a whole sample: NXcanSAS for other programs, and all but the frames.

Tiled calls a serializer of a container with the media type, the container and its metadata, in a
thread. Nothing is left on disk.
"""

import logging
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final

import h5py
from fastapi import HTTPException

from h5xs_bluesky.api.exported import CANSAS_CURVES, cansas_entry
from h5xs_bluesky.api.pack import pack_without_frames
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.frames import LIBVER
from h5xs_bluesky.io.nxcansas import nxcansas_bytes
from h5xs_bluesky.tiled.adapter import H5XSContainer, SampleContainer

logger = logging.getLogger(__name__)

NXCANSAS: Final = "application/x-nxcansas"
SAMPLE: Final = "application/x-h5xs-sample"

_IN_MEMORY = 1 << 24  # bytes of a sample; a larger one goes through a file without a name
_PART = 1 << 20  # bytes that are sent at a time


def sample_to_nxcansas(
    mimetype: str, container: H5XSContainer, metadata: Mapping[str, Any], filter_for_access: Any
) -> bytes:
    """Write the averaged and the subtracted curve as `h5xs.export_nxcansas` does.

    Raises
    ------
    HTTPException
        404 if there is neither; 406 if they cannot be written in this form; what
        `ServedFile.reading` answers.
    """
    with _opened(container) as (source, name):
        memory = Workspace(source, read_beamline(source.opened, None, ""))
        memory.load(name)
        if not set(CANSAS_CURVES) & set(memory.d1s[name]):
            raise HTTPException(404, detail=f"{name} has neither of {list(CANSAS_CURVES)} yet")
        return nxcansas_bytes(cansas_entry(memory, name, normalize=False))


def sample_to_h5xs(
    mimetype: str, container: H5XSContainer, metadata: Mapping[str, Any], filter_for_access: Any
) -> Generator[bytes, None, None]:
    """Write all of a sample but its frames, as a file that `h5xs` opens.

    Raises
    ------
    HTTPException
        406 if it cannot be copied; what `ServedFile.reading` answers.
    """
    target = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - `_parts` closes
    with _opened(container) as (source, name), h5py.File(target, "w", libver=LIBVER) as file:
        pack_without_frames(source, name, file)
    target.seek(0)
    return _parts(target)


def _parts(file: IO[bytes]) -> Generator[bytes, None, None]:
    with file:
        while part := file.read(_PART):
            yield part


@contextmanager
def _opened(container: H5XSContainer) -> Iterator[tuple[ExperimentSource, str]]:
    """Open the file that a sample is served from; what goes wrong becomes an answer."""
    if not isinstance(container, SampleContainer):  # its tags hide what is in it
        raise HTTPException(404, detail="There is no sample here")
    served = container.served
    source = ExperimentSource(served.path, roots=served.roots)
    try:
        with served.reading(), source.reading():
            yield source, container.sample
    except H5xsError as error:
        logger.warning("%s in %s is not exported: %s", container.sample, served.path, error)
        raise HTTPException(406, detail="The sample cannot be given in this form") from error
