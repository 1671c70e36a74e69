"""Functions of Keras that were replaced, and how."""

import functools

UPSTREAM = {}


def replace(owner, name, mend):
    """Puts `mend(upstream)` in place of an attribute, once; what was there is kept in `UPSTREAM`."""
    key = f"{owner.__name__.rpartition('.')[2]}.{name}"
    if key not in UPSTREAM:
        UPSTREAM[key] = getattr(owner, name)
        setattr(owner, name, functools.wraps(UPSTREAM[key])(mend(UPSTREAM[key])))
