"""The pieces that schedules are made of: curves from one value to another between two steps."""

import math

from keras import ops


def progress(t, start, end):
    """How far `t` is from step `start` to step `end`: 0 before, 1 after, linear between."""
    return ops.clip((t - start) / max(end - start, 1), 0.0, 1.0)


def linear(t, start, end, first, last):
    """A straight line from `first` at step `start` to `last` at step `end`, constant outside.

    >>> import numpy as np
    >>> np.array(linear(np.array([5.0, 10.0, 15.0, 25.0]), 10, 20, 0.0, 1.0)).tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    return first + (last - first) * progress(t, start, end)


def cosine(t, start, end, first, last):
    """Half a cosine wave from `first` at step `start` to `last` at step `end`, constant outside.

    >>> import numpy as np
    >>> np.array(cosine(np.arange(5.0), 0, 4, 1.0, 0.0)).round(3)[::2].tolist()
    [1.0, 0.5, 0.0]
    """
    return last + (first - last) * 0.5 * (1.0 + ops.cos(math.pi * progress(t, start, end)))
