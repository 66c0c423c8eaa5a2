"""The numerical core: arrays in, arrays out."""
