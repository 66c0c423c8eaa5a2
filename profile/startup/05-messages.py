"""Less noise: silx.opencl warns where there is no OpenCL, which is not used; all else is told."""

import logging

logging.getLogger("silx.opencl").setLevel(logging.ERROR)
