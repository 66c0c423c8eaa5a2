"""Opening files for a server: at each request anew, and never one that was not meant."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import httpx
from fastapi import HTTPException
from tiled.utils import path_from_uri

from h5xs_bluesky.errors import H5xsError, RefusedError
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.links import follow

logger = logging.getLogger(__name__)

# Folders that links may lead into beside the served file's own, separated as in PATH. They come
# from whoever runs the server: no file, and no client that registers one, is trusted to name them.
ROOTS_VARIABLE = "H5XS_ROOTS"

# HDF5 reads one thing at a time anyway; and a dataset that two have open cannot be refreshed.
one_reader = threading.RLock()

RETRY_AFTER_S = 1
_DATA_URIS = "data_uris"

# What a file or a server does not give now and then: no traceback is needed to understand it.
EXPECTED = (H5xsError, HTTPException, httpx.HTTPError, OSError)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedFile:
    """A file that is served, and to whom.

    Parameters
    ----------
    path
        An experiment, a packed or an ancestor's file.
    access_tags
        Those of the node that serves it; everything in the file bears them, too.
    """

    path: Path
    access_tags: frozenset[str] = frozenset()

    @property
    def roots(self) -> list[Path]:
        """The folders that links in the file may lead into."""
        named = os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep)
        return [self.path.parent, *(Path(root) for root in named if root)]

    @contextmanager
    def reading(self) -> Iterator[h5py.File]:
        """Open the file for one read; what goes wrong becomes an answer of the server.

        Raises
        ------
        HTTPException
            404 if the file is not there; 403 if a link leads out of the roots; 503 with
            ``Retry-After`` if the file cannot be read at the moment.
        """
        try:
            with one_reader, open_for_reading(self.path) as file:
                yield file
        except FileNotFoundError as error:
            raise HTTPException(404, detail=f"{self.path.name} is not there") from error
        except RefusedError as error:
            logger.warning("Refused: %s", error)
            raise HTTPException(403, detail="A link leads out of the served folders") from error
        except (OSError, RuntimeError) as error:  # h5py gives either
            logger.info("Not ready: %s: %s", self.path, error)  # with paths that concern no client
            raise not_ready(f"{self.path.name} cannot be read at the moment") from error

    def member(self, group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
        """Give a member of an open group; None where it is not there, or may not be seen."""
        try:
            return follow(group, path, roots=self.roots)
        except RefusedError as error:
            logger.warning("Not served: %s", error)
            return None

    def group(self, parent: h5py.Group, name: str) -> h5py.Group:
        """Give a group in an open one.

        Raises
        ------
        HTTPException
            404 if there is none of this name, or it may not be seen.
        """
        found = self.member(parent, name) if name and "/" not in name else None
        if not isinstance(found, h5py.Group):
            raise HTTPException(404, detail=f"{self.path.name} has no group {name!r}")
        return found


def reason_of(error: Exception) -> str:
    """Tell why something could not be done, with the error's name where its words need it."""
    words = str(error)
    return words if words and isinstance(error, EXPECTED) else f"{type(error).__name__}: {words}"


def not_ready(detail: str) -> HTTPException:
    """Make the answer that asks to try again in a moment."""
    return HTTPException(503, detail=detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def served_path(data_source: Any) -> Path:
    """Give the one file of a data source, whoever registered it.

    Tiled compares an asset's path with its readable storage, but not where the asset's parameter is
    None, and it compares the text: ``..`` and symbolic links would lead out.

    Raises
    ------
    HTTPException
        403 if there is more than one asset, an asset without a parameter, or a path that is not its
        own resolved form.
    """
    assets = data_source.assets
    if len(assets) != 1 or assets[0].parameter != _DATA_URIS:
        found = [asset.parameter for asset in assets]
        raise HTTPException(
            403, detail=f"expected one asset, with the parameter {_DATA_URIS!r}, found {found}"
        )
    try:
        path: Path = path_from_uri(assets[0].data_uri)
    except ValueError as error:
        raise HTTPException(403, detail=f"expected the URI of a file: {error}") from error
    if path != path.resolve():
        raise HTTPException(
            403,
            detail="expected the path of a file without '..' and symbolic links: register it so",
        )
    return path


def file_uri(path: Path) -> str:
    """Give the URI under which a file is registered.

    Raises
    ------
    RefusedError
        If Tiled would read another path from it.
    """
    uri = f"file://localhost{path.resolve().as_posix()}"
    if path_from_uri(uri) != path.resolve():
        raise RefusedError(
            f"{path}: expected a path without '#', '?' and control characters, which Tiled takes "
            "apart as parts of a URI: rename the folder or the file"
        )
    return uri
