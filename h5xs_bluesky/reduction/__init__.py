"""The numerical core: arrays in, arrays out."""

import logging

# silx, which pyFAI loads, asks for OpenCL, which is not used; its other messages pass.
logging.getLogger("silx.opencl.common").addFilter(
    lambda record: not record.getMessage().startswith("Unable to import pyOpenCl")
)
