"""The offline interface: `h5xs` and the objects it hands out."""
