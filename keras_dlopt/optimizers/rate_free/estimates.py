"""Pieces that the rules without a learning rate are written with."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import Range
from keras_dlopt.optimizers.executor.moments import bias_correction

GrowthRate = Annotated[float, Range(1.0)]


def limited(estimate, d, growth_rate):
    """`estimate`, at most `growth_rate` times `d`; `None` sets no limit."""
    return estimate if growth_rate is None else ops.minimum(estimate, growth_rate * d)


def ratio(numerator, denominator):
    """`numerator / denominator`, and 0 where nothing has been seen yet and the denominator is 0."""
    return numerator / ops.where(denominator > 0, denominator, float("inf"))


def decayed(g, w, decay):
    """The gradient with weight decay added (`None` for none): as a penalty on the loss would."""
    return g if decay is None else g + decay * w


def step_size(rule, t, lr, d):
    """`lr * d`, and with the rule's `use_bias_correction` corrected for moments that start at 0, as in Adam."""
    if not rule.use_bias_correction:
        return lr * d
    return lr * d * ops.sqrt(bias_correction(rule.beta_2, t)) / bias_correction(rule.beta_1, t)
