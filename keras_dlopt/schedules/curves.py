"""The pieces that schedules are made of: curves from one value to another between two steps.

Steps are whole numbers, and differences of them are taken before they become float32, which is exact up to 2**24.
"""

import math

from keras import ops


def since(t, start):
    """The steps from step `start` to `t`, as a float32 tensor."""
    return ops.cast(t - start, "float32")


def progress(t, start, end):
    """How far `t` is from step `start` to step `end`: 0 before, 1 after, linear between."""
    return ops.clip(since(t, start) / max(end - start, 1), 0.0, 1.0)


def linear(t, start, end, first, last):
    """A straight line from `first` at step `start` to `last` at step `end`, constant outside.

    >>> import numpy as np
    >>> np.array(linear(np.array([5, 10, 15, 25]), 10, 20, 0.0, 1.0)).tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    return first + (last - first) * progress(t, start, end)


def cosine(t, start, end, first, last):
    """Half a cosine wave from `first` at step `start` to `last` at step `end`, constant outside.

    >>> import numpy as np
    >>> np.array(cosine(np.arange(5), 0, 4, 1.0, 0.0)).round(3)[::2].tolist()
    [1.0, 0.5, 0.0]
    """
    return last + (first - last) * falling_cosine(progress(t, start, end))


def falling_cosine(p):
    """Half a cosine wave from 1 at p = 0 to 0 at p = 1."""
    return 0.5 * (1.0 + ops.cos(math.pi * p))


def power(base, exponent):
    """`base ** exponent` for a Python number > 0 and a float32 tensor.

    As an exponential: a base near 1 rounded to float32 would be off by 1e-4 after some thousand steps.
    """
    return ops.exp(math.log(base) * exponent)
