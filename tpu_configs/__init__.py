"""TPU slices as data."""
