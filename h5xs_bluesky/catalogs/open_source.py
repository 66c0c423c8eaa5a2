"""What may be named as a store of runs, on the command line and in Python."""

from pathlib import Path
from typing import Any

from h5xs_bluesky.catalogs.journals import JournalRuns
from h5xs_bluesky.catalogs.source import RunSource
from h5xs_bluesky.catalogs.tiled_runs import TiledRuns
from h5xs_bluesky.config import Roots
from h5xs_bluesky.errors import CatalogError
from h5xs_bluesky.io.external import AllowedFolders

_PUBLISHED = ("runs", "raw")  # where `h5xs serve` and `h5xs publish` put raw runs
_PROFILE, _DATABROKER = "profile:", "databroker:"


def open_source(source: Any, *, roots: Roots) -> RunSource:
    """Open a store of runs.

    Parameters
    ----------
    source
        The address of a Tiled server, or of a node in it; where the server is one of `h5xs serve`
        or `h5xs publish`, its runs are found below ``runs/raw``. Or ``profile:NAME``, a profile of
        Tiled; ``databroker:NAME``; a folder with our journals; or a client of Tiled, a `Broker` of
        databroker (of either interface), or a `RunSource`.
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

            return _raw_runs(from_uri(text))
        if text.startswith(_PROFILE):
            from tiled.client import from_profile

            return _raw_runs(from_profile(text.removeprefix(_PROFILE)))
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


def _raw_runs(client: Any) -> Any:
    """Give the raw runs of a server's root that we publish to, or else what was named."""
    if any(client.path_parts):
        return client
    node = client
    for name in _PUBLISHED:
        if name not in node:
            return client
        node = node[name]
    return node
