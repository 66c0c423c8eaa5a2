"""Plans for X-ray scattering: plain generators of Bluesky's messages, for any devices."""

from h5xs_bluesky.plans.binding import with_devices
from h5xs_bluesky.plans.counting import calibrate, count_sample, measure_with_buffer
from h5xs_bluesky.plans.scanning import map_scan
from h5xs_bluesky.plans.series import fly_scan, sec_series

__all__ = [
    "calibrate",
    "count_sample",
    "fly_scan",
    "map_scan",
    "measure_with_buffer",
    "sec_series",
    "with_devices",
]
