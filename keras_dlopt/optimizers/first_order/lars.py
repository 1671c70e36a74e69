"""LARS."""

from keras import ops

from keras_dlopt.optimizers.drop_in.sgd import SGD
from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class LARS(Optimizer):
    r"""Momentum whose steps are a set share of each variable's norm: for very large batches.

    $$m_t = \mu m_{t-1} + \eta\, \tau \frac{\|w_t\|}{\|g_t\| + \lambda \|w_t\|} (g_t + \lambda w_t), \qquad
      w_{t+1} = w_t - m_t$$

    The denominator is the paper's (optax takes the norm of the sum). The ratio is 1 where a norm is 0. Variables with
    fewer than two axes follow plain momentum without weight decay.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        momentum: mu in [0, 1).
        trust_coefficient: tau > 0, the share of its norm that a variable moves by at eta = 1.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter.

    Source: You, Gitman and Ginsburg, arXiv 1708.03888.

    Example:

    >>> import keras
    >>> w = keras.Variable([[3.0, 4.0]])
    >>> LARS(1.0, trust_coefficient=0.1).apply([100.0 * w], [w])    # the gradient's length does not matter
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([[2.7, 3.6]], dtype=float32)
    """

    learning_rate: LearningRate = 0.1
    momentum: UnitInterval = 0.9
    trust_coefficient: Positive = 0.001
    slots = ("m",)
    needs_weights = True
    whole_step = True

    def takes(self, variable):
        return len(variable.shape) >= 2

    def companion(self):
        return SGD(momentum=self.momentum)

    def rule(self, g, w, s, t, each, lr, decay):
        decay = decay or 0.0
        w_norm, g_norm = each.norm(w), each.norm(g)
        length = g_norm + decay * w_norm
        moves = ops.logical_and(w_norm > 0, length > 0)
        ratio = ops.where(moves, self.trust_coefficient * w_norm / ops.where(moves, length, 1.0), 1.0)
        m = self.momentum * s.m + lr * each.spread(ratio) * (g + decay * w)
        return m, {"m": m}
