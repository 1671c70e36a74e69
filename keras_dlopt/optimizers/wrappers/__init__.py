"""What changes another optimizer's gradients, updates or weights."""

ROWS = ()

__all__ = [row.name for row in ROWS]
