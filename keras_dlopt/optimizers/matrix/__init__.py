"""Rules that see a kernel as a matrix."""

ROWS = ()

__all__ = [row.name for row in ROWS]
