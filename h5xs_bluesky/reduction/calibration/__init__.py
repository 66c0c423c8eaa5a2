"""Detectors calibrated from the rings of a standard."""
