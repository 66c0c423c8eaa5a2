"""The ancestor's names: a notebook for py4xs runs once its imports name this package.

``from py4xs.hdf import h5xs`` becomes ``from h5xs_bluesky.compat.py4xs.hdf import h5xs``, and so on
for every module. ``docs/how-to/port-from-py4xs.md`` lists the names, what differs, and what is not
carried over.
"""
