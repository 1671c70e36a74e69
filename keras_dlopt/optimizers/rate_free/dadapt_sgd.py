"""SGD with D-Adaptation."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.rate_free.estimates import GrowthRate, decayed, limited, ratio


class DAdaptSGD(Optimizer):
    r"""SGD whose step is a lower bound $d$ on the distance from the start to the solution; no rate to tune.

    $$s_t = s_{t-1} + \frac{\eta d_t}{\lVert g_1 \rVert} g_t, \qquad
      r_t = r_{t-1} + \frac{\eta d_t}{\lVert g_1 \rVert} \langle g_t, s_{t-1} \rangle$$
    $$d_{t+1} = \max\Big(d_t, \frac{2 r_t}{\lVert s_t \rVert}\Big), \qquad
      w_{t+1} = \mu w_t + (1 - \mu)(w_1 - s_t)$$

    Norms and products run over all variables; $g_1$ is the first gradient that is not 0.

    Args:
        learning_rate: eta, multiplies $d$; >= 0, or a schedule. Leave it at 1.
        momentum: $\mu$, in [0, 1): how slowly the weights follow.
        d0: the first $d$, > 0; needs changing if even that is too large a step.
        growth_rate: $d$ grows at most by this factor a step, >= 1: 1.02 helps an unstable run; `None` for no limit.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is added to the gradient (but not in
            $\lVert g_1 \rVert$), as in the authors' code.

    Memory: 8 bytes a parameter.

    Source: Defazio and Mishchenko, arXiv 2301.07733, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([3.0, 4.0])
    >>> DAdaptSGD(d0=0.5).apply([w], [w])              # the first step has length d0
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([2.7, 3.6], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    momentum: UnitInterval = 0.0
    d0: Positive = 1e-6
    growth_rate: GrowthRate | None = None
    slots = ("s", "start")
    from_weights = ("start",)
    whole_step = True

    @property
    def shared(self):
        return {"d": self.d0, "numerator": 0.0, "first_norm": 0.0}

    def measure(self, g, w, s, t, lr, decay):
        g_and_decay = decayed(g, w, decay)
        # |s + c g|^2 in parts, for the scale c holds the first gradient's norm over all variables.
        return {
            "ss": ops.sum(ops.square(s.s)),
            "gs": ops.sum(g_and_decay * s.s),
            "gs_lr": lr * ops.sum(g_and_decay * s.s),
            "gg_lr": ops.square(lr) * ops.sum(ops.square(g_and_decay)),
            "first": ops.sum(ops.square(g)),
        }

    def combine(self, before, sums, t, lr):
        first_norm = ops.where(before.first_norm > 0, before.first_norm, ops.sqrt(sums.first))
        scale = ratio(before.d, first_norm)
        numerator = before.numerator + scale * lr * sums.gs
        length = ops.sqrt(sums.ss + 2 * scale * sums.gs_lr + ops.square(scale) * sums.gg_lr)
        estimate = limited(ratio(2 * numerator, length), before.d, self.growth_rate)
        return {"d": ops.maximum(before.d, estimate), "numerator": numerator, "first_norm": first_norm}

    def rule(self, g, w, s, t, lr, decay, before, shared):
        total = s.s + lr * ratio(before.d, shared.first_norm) * decayed(g, w, decay)
        return (1 - self.momentum) * (w - s.start + total), {"s": total}
