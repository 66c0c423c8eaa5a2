"""lixtools' names: ``from lixtools.hdf import h5sol_HT`` finds its `hdf` here."""
