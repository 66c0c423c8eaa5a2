"""py4xs' ``local``: what is peculiar to LiX (beamline 16-ID of NSLS-II)."""

from h5xs_bluesky.compat.py4xs.exp_para import ExpPara
from h5xs_bluesky.io.py4xs_files import lix_fields

__all__ = [
    "ExpPara",
    "beamline_name",
    "det_model",
    "det_names",
    "exp_attr",
    "incident_monitor",
    "incident_monitor_field",
    "transmitted_monitor",
    "transmitted_monitor_field",
]

exp_attr = [
    "wavelength",
    "bm_ctr_x",
    "bm_ctr_y",
    "ratioDw",
    "det_orient",
    "det_tilt",
    "det_phi",
    "grazing_incident",
    "flip",
    "incident_angle",
    "sample_normal",
    "fix_azimuthal_angles",
]

_EXTENSIONS = ("_SAXS", "_WAXS1", "_WAXS2")

# The fields of frames by the detectors' extensions, in either of LiX's configurations.
det_names = [{name: lix_fields(name)[number] for name in _EXTENSIONS} for number in (0, 1)]

beamline_name = "# LiX (16-ID), NSLS-II"

det_model = {
    "_SAXS": "Pilatus3X 1M",
    "_WAXS1": "Pilatus3X 300K",
    "_WAXS2": "Pilatus3X 900K",
}

incident_monitor = "em1"
transmitted_monitor = "em2"
incident_monitor_field = "em1_sum_all_mean_value"
transmitted_monitor_field = "em2_sum_all_mean_value"
