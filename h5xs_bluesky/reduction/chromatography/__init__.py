"""Series behind a column (SEC): the trace, its peaks, the ranges, Rg and I(0) of every frame."""
