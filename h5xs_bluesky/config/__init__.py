"""The configuration of a beamline, from one TOML file or from an experiment."""

from h5xs_bluesky.config.beamline import AVERAGING_CHOICE, Beamline
from h5xs_bluesky.config.monitors import Asynchronous, Monitors
from h5xs_bluesky.config.options import MetadataSource, Output, ReductionOptions, Roots
from h5xs_bluesky.reduction.similarity import SelectionOptions

__all__ = [
    "AVERAGING_CHOICE",
    "Asynchronous",
    "Beamline",
    "MetadataSource",
    "Monitors",
    "Output",
    "ReductionOptions",
    "Roots",
    "SelectionOptions",
]
