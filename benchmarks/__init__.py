"""How fast and how large: ratios measured in one run, since machines differ and are noisy."""
