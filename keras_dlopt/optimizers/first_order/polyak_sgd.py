"""Polyak's step size."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Range
from keras_dlopt.optimizers.first_order.step_loss import LossAware


class PolyakSGD(LossAware):
    r"""Gradient descent whose step size comes from the loss: as far as a straight line needs to reach the minimum.

    $$w_{t+1} = w_t - \eta_t (g_t + \lambda w_t), \qquad
      \eta_t = \min\!\Big(\eta, \frac{\max(f_t - f_{\min}, 0)}{\|g_t\|^2 + \epsilon}\Big)$$

    with the loss $f_t$ of the batch and the norm over all variables. `fit` provides the loss; in a loop of your own
    call `optimizer.provide(loss=...)` before `apply`.

    Args:
        learning_rate: eta, the largest step size, >= 0, or a schedule.
        f_min: a lower bound of the loss, regularisation included; 0 fits most losses.
        epsilon: >= 0, keeps the denominator away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: one number.

    Source: Polyak (1969); Loizou et al., arXiv 2002.10542, for batches; the maximum with 0 is SPS+ of Garrigos et al.,
    arXiv 2307.14528.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([3.0, 4.0]), PolyakSGD()
    >>> optimizer.provide(loss=keras.ops.sum(w**2) / 2)
    >>> optimizer.apply([w], [w])                      # a loss of 12.5, a gradient of length 5: half the way
    >>> keras.ops.convert_to_numpy(w)
    array([1.5, 2. ], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    f_min: Annotated[float, Range()] = 0.0
    epsilon: NonNegative = 0.0
    shared = {"rate": 0.0}
    needs_weights = True
    whole_step = True

    def measure(self, g, w, s, t):
        return {"g2": ops.sum(ops.square(g))}

    def combine(self, before, sums, t, lr, loss):
        length = sums.g2 + self.epsilon
        rate = ops.maximum(loss - self.f_min, 0.0) / ops.where(length > 0, length, 1.0)
        return {"rate": rate}

    def rule(self, g, w, s, t, lr, decay, shared):
        return ops.minimum(lr, shared.rate) * (g if decay is None else g + decay * w), {}
