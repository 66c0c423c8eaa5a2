"""Files: every one is append-only or replaced whole."""
