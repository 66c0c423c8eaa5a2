"""Files of other types than ours, in `h5xs serve`: refused, but for what Tiled itself writes there.

Tiled's own adapters follow paths with ``..``, symbolic links and links in HDF5 files out of what is
served, if whoever has the key registers them.
"""

from typing import Any, Final, NoReturn

from fastapi import HTTPException
from tiled.adapters.zarr import ZarrAdapter
from tiled.mimetypes import (
    DEFAULT_ADAPTERS_BY_MIMETYPE,
    TILED_SQL_TABLE_MIMETYPE,
    ZARR_MIMETYPE,
)
from tiled.utils import path_from_uri

# Tables lie in databases that the configuration names; no path is taken for them.
_WRITTEN: Final = {TILED_SQL_TABLE_MIMETYPE, ZARR_MIMETYPE}


class RefusingAdapter:
    """Reads nothing."""

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **parameters: Any) -> NoReturn:
        """Refuse.

        Raises
        ------
        HTTPException
            403.
        """
        del node, parameters
        raise HTTPException(
            403, detail=f"h5xs serve gives no files of type {data_source.mimetype!r}"
        )


class WrittenArrays(ZarrAdapter):  # type: ignore[misc]
    """Reads arrays that were sent to the server, and none by a path that leads elsewhere."""

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **parameters: Any) -> Any:
        """Open an array.

        Raises
        ------
        HTTPException
            403 if an asset has no parameter, in which case Tiled does not compare its path with the
            storage, or its path is not its own resolved form.
        """
        for asset in data_source.assets:
            path = path_from_uri(asset.data_uri)
            if asset.parameter is None or path != path.resolve():
                raise HTTPException(403, detail="expected an array that was sent to this server")
        return super().from_catalog(data_source, node, **parameters)


def adapters_of_other_types() -> dict[str, str]:
    """Give the adapter of each type of file that Tiled knows, but for tables that it writes."""
    refused = dict.fromkeys(
        DEFAULT_ADAPTERS_BY_MIMETYPE.keys() - _WRITTEN, f"{__name__}:{RefusingAdapter.__name__}"
    )
    return {**refused, ZARR_MIMETYPE: f"{__name__}:{WrittenArrays.__name__}"}
