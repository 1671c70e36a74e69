"""AdaPNM."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class AdaPNM(Optimizer):
    r"""Adam whose momentum is a positive and a negative one, which strengthens the gradient noise it explores with.

    Two momenta take turns: each step updates the older one and subtracts the other,

    $$m_t = \beta_1^2 m_{t-2} + (1-\beta_1^2) g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2, \qquad
      \bar v_t = \max(\bar v_{t-1}, v_t)$$
    $$w_{t+1} = w_t - \frac{\eta}{1-\beta_1^t}\, \frac{(1+\beta_3) m_t - \beta_3 m_{t-1}}
      {\sqrt{(1+\beta_3)^2 + \beta_3^2}}\, \Big/ \Big(\sqrt{\bar v_t/(1-\beta_2^t)} + \epsilon\Big)$$

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the momenta, in [0, 1); each forgets by its square, every second step.
        beta_2: decay of the second moment, in [0, 1).
        beta_3: weight of the negative momentum, >= 0 (the paper's beta_0); 0 leaves Adam on every second momentum.
        epsilon: > 0, keeps the root away from 0.
        amsgrad: whether to divide by the largest $v$ seen so far, as the authors do.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 16 bytes a parameter, 12 without amsgrad.

    Source: Xie et al., arXiv 2103.17182, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> AdaPNM(0.1).apply([w], [w])                    # 2 * 0.19 / 0.1 / sqrt(5) = 1.699 times 0.1
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.83, 99.83], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    beta_3: NonNegative = 1.0
    epsilon: Positive = 1e-8
    amsgrad: Switch = True

    nonnegative = ("v", "v_max")

    @property
    def slots(self):
        return ("m", "m_last", "v", "v_max") if self.amsgrad else ("m", "m_last", "v")

    def rule(self, g, w, s, t):
        m = mix(s.m_last, g, self.beta_1**2)
        v = mix(s.v, ops.square(g), self.beta_2)
        new = {"m": m, "m_last": s.m, "v": v}
        if self.amsgrad:
            v = new["v_max"] = ops.maximum(s.v_max, v)
        noise = math.hypot(1 + self.beta_3, self.beta_3)
        u = (1 + self.beta_3) * m - self.beta_3 * s.m
        root = ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon
        return (u / root, 1 / (noise * bias_correction(self.beta_1, t))), new
