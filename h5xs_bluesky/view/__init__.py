"""Windows, or pictures, that follow the live reduction and never disturb it."""

from h5xs_bluesky.view.live_view import LiveView
from h5xs_bluesky.view.while_scanning import WhileScanning

__all__ = ["LiveView", "WhileScanning"]
