"""Callbacks that turn Bluesky documents into frames and curves."""

from h5xs_bluesky.callbacks.chromatography import ChromatographyFollower
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.callbacks.path_provider import SamplePathProvider

__all__ = ["ChromatographyFollower", "LiveReduction", "SamplePathProvider"]
