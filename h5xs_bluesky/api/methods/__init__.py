"""The methods of `h5xs`, a module for each thing that they do; all work on an `Experiment`."""
