"""Rules that average the weights in place of a schedule."""

ROWS = ()

__all__ = [row.name for row in ROWS]
