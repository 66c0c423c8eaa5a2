"""Callbacks that turn Bluesky documents into frames and curves."""
