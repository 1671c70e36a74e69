"""Pieces that many rules are written with."""

import math
import numbers

from keras import ops


def mix(average, value, beta):
    """Exponential moving average: `beta * average + (1 - beta) * value`, in the form that rounds least."""
    return average + (value - average) * (1 - beta)


def bias_correction(beta, t):
    """`1 - beta**t`, the weight that an average started at zero has seen after `t` steps.

    Written with `expm1`: in float32, `1 - 0.999**1` is off by 1e-5 of its value, this by 1e-7.
    """
    if not beta:
        return ops.ones_like(t)
    # A beta that follows a schedule is no Python number: its logarithm is taken in the step.
    return -ops.expm1(ops.multiply(t, math.log(beta) if isinstance(beta, numbers.Real) else ops.log(beta)))
