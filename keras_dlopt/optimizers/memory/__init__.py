"""Rules whose state is smaller than the weights."""

ROWS = ()

__all__ = [row.name for row in ROWS]
