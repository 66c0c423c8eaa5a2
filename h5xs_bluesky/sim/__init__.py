"""A simulated beamline: patterns from physics, devices, plans."""
