"""Rules that find the learning rate themselves."""

ROWS = ()

__all__ = [row.name for row in ROWS]
