"""What is told of: warnings of this package; of the libraries below it errors only."""

import logging

logging.getLogger("silx.opencl").setLevel(logging.ERROR)
