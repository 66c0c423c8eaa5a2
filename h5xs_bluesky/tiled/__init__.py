"""Serving experiments with Tiled: adapter, catalogue, server, exports, client classes.

Nothing here is loaded before it is named: Tiled is an extra (``pip install h5xs_bluesky[tiled]``).
"""
