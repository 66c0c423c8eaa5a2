"""The magic command ``%h5xs`` of IPython: ``%load_ext h5xs_bluesky``."""
