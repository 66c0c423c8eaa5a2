"""From the pixels of a frame to the sums of its bins."""
