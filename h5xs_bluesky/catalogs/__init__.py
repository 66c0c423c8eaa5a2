"""Runs that are stored elsewhere: in Tiled, in databroker, in our own journals."""

from h5xs_bluesky.catalogs.transfer import StoredOutcome, from_catalog

__all__ = ["StoredOutcome", "from_catalog"]
