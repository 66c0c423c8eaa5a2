"""`python -m h5xs_bluesky.cli` does what `h5xs` does."""

from h5xs_bluesky.cli import app

app(prog_name="h5xs")
