"""Callbacks that turn Bluesky documents into frames and curves."""

from h5xs_bluesky.callbacks.live_reduction import LiveReduction

__all__ = ["LiveReduction"]
