"""The magics, and a few lines that tell what runs."""

from h5xs_bluesky.session import session

with session.optional("magics"):
    get_ipython().run_line_magic("load_ext", "h5xs_bluesky")  # noqa: F821 - IPython puts it here
