"""MoMo."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Range, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.first_order.step_loss import LossAware


class MoMo(LossAware):
    r"""Momentum whose step size comes from the losses seen: Polyak's, for the average of all past batches.

    $$d_t = \beta_1 d_{t-1} + (1-\beta_1) g_t, \quad \bar f_t = \beta_1 \bar f_{t-1} + (1-\beta_1) f_t, \quad
      \gamma_t = \beta_1 \gamma_{t-1} + (1-\beta_1) \langle g_t, w_t \rangle$$
    $$\tau_t = \min\!\Big(\eta, \frac{\max\big((1+\eta\lambda)(\bar f_t - f_{\min} - \gamma_t) +
      \langle d_t, w_t \rangle, 0\big)}{\|d_t\|^2}\Big), \qquad w_{t+1} = \frac{w_t - \tau_t d_t}{1+\eta\lambda}$$

    with the loss $f_t$ of the batch, products and norms over all variables, and averages that start at their first
    value. `fit` provides the loss; in a loop of your own call `optimizer.provide(loss=...)` before `apply`. Weight
    decay is proximal.

    Args:
        learning_rate: eta, the largest step size, >= 0, or a schedule.
        beta_1: decay of the averages, in [0, 1).
        f_min: a lower bound of the loss; 0 fits most losses.
        adapt_f_min: whether to estimate the lower bound on the way, never below `f_min`.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter, and four numbers.

    Source: Schaipp et al., arXiv 2305.07583, and the authors' implementation.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([3.0, 4.0]), MoMo()
    >>> optimizer.provide(loss=keras.ops.sum(w**2) / 2)
    >>> optimizer.apply([w], [w])                      # the first step is Polyak's
    >>> keras.ops.convert_to_numpy(w)
    array([1.5, 2. ], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    beta_1: UnitInterval = 0.9
    f_min: Annotated[float, Range()] = 0.0
    adapt_f_min: Switch = False
    slots = ("d",)
    needs_weights = True
    whole_step = True
    proximal_weight_decay = True

    @property
    def shared(self):
        return {"f": 0.0, "gamma": 0.0, "f_min": self.f_min, "rate": 0.0}

    def _average(self, old, new, t):
        return ops.where(t == 1, new, mix(old, new, self.beta_1))

    def measure(self, g, w, s, t):
        d = self._average(s.d, g, t)
        return {"gw": ops.sum(g * w), "dw": ops.sum(d * w), "d2": ops.sum(ops.square(d))}

    def combine(self, before, sums, t, lr, loss):
        f, gamma = self._average(before.f, loss, t), self._average(before.gamma, sums.gw, t)
        decay, f_min, length = 1 + lr * (self.weight_decay or 0.0), before.f_min, ops.where(sums.d2 > 0, sums.d2, 1.0)
        if self.adapt_f_min:
            reached = f - gamma + sums.dw / decay
            f_min = ops.where(reached < f_min, ops.maximum(reached / 2, self.f_min), f_min)
        rate = ops.maximum(decay * (f - f_min - gamma) + sums.dw, 0.0) / length
        if self.adapt_f_min:
            f_min = ops.maximum(f - gamma + sums.dw - ops.minimum(lr, rate) * sums.d2 / 2, self.f_min)
        return {"f": f, "gamma": gamma, "f_min": f_min, "rate": rate}

    def rule(self, g, w, s, t, lr, shared):
        d = self._average(s.d, g, t)
        return ops.minimum(lr, shared.rate) * d, {"d": d}
