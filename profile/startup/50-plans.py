"""The plans, given this beamline's devices; bluesky's own are `bp` and `bps`."""

from bluesky import plan_stubs as bps
from bluesky import plans as bp

from h5xs_bluesky import plans
from h5xs_bluesky.plans import with_devices
from h5xs_bluesky.session import session

_beam = {"shutter": session.endstation.shutter, "changer": session.endstation.changer}
_read = session.endstation.read

count_sample = with_devices(plans.count_sample, _read, **_beam)
measure_with_buffer = with_devices(plans.measure_with_buffer, _read, **_beam)
calibrate = with_devices(plans.calibrate, _read, **_beam)
map_scan = with_devices(plans.map_scan, _read, **_beam)
fly_scan = with_devices(plans.fly_scan, session.endstation.detectors, **_beam)
sec_series = with_devices(plans.sec_series, session.endstation.detectors, **_beam)

session.notes.append('plans    RE(count_sample("protein")), and measure_with_buffer, calibrate,')
session.notes.append("         map_scan, fly_scan, sec_series, bp.*; for example")
session.notes.append('         RE(measure_with_buffer("protein", "buffer"))')
