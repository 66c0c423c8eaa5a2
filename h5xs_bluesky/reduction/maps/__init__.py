"""Maps in two coordinates, as sums over cells."""
