"""What may be named as a store of runs, on the command line and in Python."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from h5xs_bluesky.catalogs.journals import JournalRuns
from h5xs_bluesky.catalogs.source import RunSource
from h5xs_bluesky.catalogs.tiled_runs import TiledRuns
from h5xs_bluesky.config import Roots
from h5xs_bluesky.errors import CatalogError
from h5xs_bluesky.io.external import AllowedFolders

_PUBLISHED = ("runs", "raw")  # where `h5xs serve` and `h5xs publish` put raw runs
_PROFILE, _DATABROKER = "profile:", "databroker:"
_KEY_VARIABLE, _TILEDS_KEY = "H5XS_API_KEY", "TILED_API_KEY"
_ANSWERS_WITHIN_S = 10.0


def open_source(source: Any, *, roots: Roots, api_key: str | None = None) -> RunSource:
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
    api_key
        Of a server that is named. By default an address gets the environment's ``H5XS_API_KEY`` or
        ``TILED_API_KEY``, and a profile its own.

    Raises
    ------
    CatalogError
        If it is none of these, or cannot be reached.
    FileNotFoundError
        If a folder holds no journal.
    """
    if isinstance(source, str | Path):
        source = _named(str(source), api_key)
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


def _named(text: str, api_key: str | None) -> Any:
    """Give the client, the Broker or the folder of a name."""
    try:
        if text.startswith(("http://", "https://")):
            return _raw_runs(_of_address(text, api_key))
        if text.startswith(_PROFILE):
            from tiled.client import from_profile

            given = {} if api_key is None else {"api_key": api_key}
            return _raw_runs(from_profile(text.removeprefix(_PROFILE), **given))
        if text.startswith(_DATABROKER):
            from databroker import Broker

            return Broker.named(text.removeprefix(_DATABROKER))
    except ImportError as error:
        raise CatalogError(
            f"{text}: expected the packages that read it, found no {error.name}: install "
            "h5xs_bluesky[tiled], or h5xs_bluesky[databroker] for databroker"
        ) from error
    except CatalogError:
        raise
    except Exception as error:
        raise CatalogError(
            f"{text.split('?')[0]}: it cannot be opened: {type(error).__name__}: {error}"
        ) from error
    return Path(text)


def _of_address(address: str, api_key: str | None) -> Any:
    """Give the client of a server's node; one that is not there is told at once."""
    import httpx
    from tiled.client import from_uri
    from tiled.client.context import CannotPrompt
    from tiled.client.utils import ClientError

    plain, _, query = address.partition("?")
    httpx.get(plain, timeout=_ANSWERS_WITHIN_S)  # Tiled's client would try for half a minute
    in_address = "api_key" in parse_qs(query)
    if not in_address:
        api_key = api_key or os.environ.get(_KEY_VARIABLE)
    found = "one that is refused" if api_key or in_address or _TILEDS_KEY in os.environ else "none"
    advice = f"give --api-key (api_key), or set {_KEY_VARIABLE} or {_TILEDS_KEY}"
    message = f"{plain}: expected a key that the server takes, found {found}: {advice}"
    try:
        return from_uri(address, api_key=api_key)
    except ClientError as error:
        if error.response.status_code != httpx.codes.UNAUTHORIZED:
            raise
        raise CatalogError(message) from error
    except (CannotPrompt, RuntimeError) as error:  # there is no key, and nobody to ask for one
        raise CatalogError(message) from error


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
