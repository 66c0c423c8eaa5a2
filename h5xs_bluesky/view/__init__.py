"""Windows, or pictures, that follow the live reduction and never disturb it."""

from h5xs_bluesky.view.live_view import LiveView
from h5xs_bluesky.view.while_scanning import WhileScanning
from h5xs_bluesky.view.windows import WINDOWS

__all__ = ["WINDOWS", "LiveView", "WhileScanning"]
