"""Amos."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Amos(Optimizer):
    r"""Steps and weight decay that shrink on their own as the weights near the scale they are expected to end at.

    Each variable has a scale $\eta$, one second moment $v$ and one decay counter $b$. With $\hat r_t =
    (1-\beta_2^t)/v_t$, $c_t = (1 + \zeta\sqrt\xi\, b_t)^{-1/2}$ and $d_t = (1 + \zeta\sqrt{\xi\eta}\, b_t)^{-1}$,

    $$v_t = \beta_2 v_{t-1} + (1-\beta_2) \operatorname{mean}(g_t^2), \qquad
      \gamma_t = c_t\, \xi^2\, \hat r_t \operatorname{mean}(g_t^2), \qquad b_{t+1} = b_t + \gamma_t (1 + b_t)$$
    $$w_{t+1} = w_t - d_t \Big(\xi\eta \sqrt{\hat r_t}\, g_t + \tfrac12 \gamma_t w_t\Big)$$

    Args:
        learning_rate: xi >= 0, the relative step, or a schedule; the authors advise 1 / sqrt(batches an epoch), and
            no schedule after the warm-up.
        beta_2: decay of the second moment, in [0, 1); 1 - beta_2 about the learning rate.
        scale: eta > 0, the root mean square that weights are expected to end at. By default 1 / sqrt(inputs of an
            output) for kernels, and 0.5 for variables with fewer than two axes, as in the paper.
        zeta: > 0, how fast steps and decay shrink.
        momentum: mu in [0, 1), the decay of an average of the steps; 0 needs no state.
        epsilon: > 0, the least second moment.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` comes on top of Amos's own.

    Memory: two numbers a variable; 4 bytes a parameter more with momentum.

    Source: Tian and Parikh, arXiv 2210.11693, and the authors' implementation, with $v$ and $b$ over whole variables.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, -1.0])
    >>> Amos(0.1, scale=1.0).apply([w], [w])           # 0.1 * g and half of 0.1**2 * w
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.895, -0.895], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_2: UnitInterval = 0.999
    scale: Positive | None = None
    zeta: Positive = 0.25
    momentum: UnitInterval = 0.0
    epsilon: Positive = 2.0**-125
    form = "alone"  # the scale depends on the shape
    needs_weights = True
    whole_step = True

    @property
    def slots(self):
        return ("v", "b", "m") if self.momentum else ("v", "b")

    def slot_shape(self, slot, shape):
        return shape if slot == "m" else ()

    def rule(self, g, w, s, t, each, lr):
        eta = self.scale or (math.prod(g.shape[:-1]) ** -0.5 if len(g.shape) > 1 else 0.5)
        g2 = each.mean(ops.square(g))
        v = mix(s.v, g2, self.beta_2)
        r = bias_correction(self.beta_2, t) / ops.maximum(v, self.epsilon)
        c = ops.rsqrt(1 + self.zeta * ops.sqrt(lr) * s.b)
        d = 1 / (1 + self.zeta * ops.sqrt(lr * eta) * s.b)
        gamma = c * ops.square(lr) * r * g2
        step = each.spread(d * lr * eta * ops.sqrt(r)) * g + each.spread(0.5 * d * gamma) * w
        new = {"v": v, "b": s.b + gamma * (1 + s.b)}
        if self.momentum:
            step = new["m"] = mix(s.m, step, self.momentum)
        return step, new
