"""What may be named as a store of runs, on the command line and in Python."""

from pathlib import Path
from typing import Any

from h5xs_bluesky.catalogs.journals import JournalRuns
from h5xs_bluesky.catalogs.source import RunSource
from h5xs_bluesky.catalogs.tiled_runs import TiledRuns
from h5xs_bluesky.config import Roots
from h5xs_bluesky.errors import CatalogError
from h5xs_bluesky.io.external import AllowedFolders

_PROFILE, _DATABROKER = "profile:", "databroker:"


def open_source(source: Any, *, roots: Roots) -> RunSource:
    """Open a store of runs.

    Parameters
    ----------
    source
        The address of a Tiled server; ``profile:NAME``, a profile of Tiled; ``databroker:NAME``;
        a folder with our journals; or a client of Tiled, a `Broker` of databroker (of either
        interface), or a `RunSource`.
    roots
        Which folders files may be read from that documents name.

    Raises
    ------
    CatalogError
        If it is none of these, or cannot be reached.
    FileNotFoundError
        If a folder holds no journal.
    """
    if isinstance(source, str | Path):
        source = _named(str(source))
    if isinstance(source, Path):
        return JournalRuns(source, roots=roots)
    if hasattr(source, "run") and hasattr(source, "search") and not hasattr(source, "context"):
        found: RunSource = source
        return found
    client = source if hasattr(source, "context") else getattr(source, "v2", None)
    if client is None:
        raise CatalogError(
            f"expected a client of Tiled, a Broker of databroker or a folder, found {source!r:.80}"
        )
    folders = AllowedFolders(permanent=roots.permanent, allowed=roots.allowed)
    return TiledRuns(client, folders=folders)


def _named(text: str) -> Any:
    """Give the client, the Broker or the folder of a name."""
    try:
        if text.startswith(("http://", "https://")):
            from tiled.client import from_uri

            return from_uri(text)
        if text.startswith(_PROFILE):
            from tiled.client import from_profile

            return from_profile(text.removeprefix(_PROFILE))
        if text.startswith(_DATABROKER):
            from databroker import Broker

            return Broker.named(text.removeprefix(_DATABROKER))
    except ImportError as error:
        raise CatalogError(
            f"{text}: expected the packages that read it, found no {error.name}: install "
            "h5xs_bluesky[tiled], or h5xs_bluesky[databroker] for databroker"
        ) from error
    except Exception as error:
        raise CatalogError(
            f"{text.split('?')[0]}: it cannot be opened: {type(error).__name__}: {error}"
        ) from error
    return Path(text)
