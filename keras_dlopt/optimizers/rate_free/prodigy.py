"""Prodigy."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.rate_free.estimates import GrowthRate, limited, ratio, step_size


class Prodigy(Optimizer):
    r"""Adam whose step is an estimate $d$ of how far the solution lies from the start; no rate to tune.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, d_t g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\, d_t^2 g_t^2$$
    $$r_t = \beta_3 r_{t-1} + \eta d_t^2 \langle g_t, w_0 - w_t \rangle, \qquad s_t = \beta_3 s_{t-1} + \eta d_t^2 g_t$$
    $$d_{t+1} = \max\Big(d_t, \frac{c\, r_t}{\lVert s_t \rVert_1}\Big), \qquad
      w_{t+1} = w_t - \eta d_t \Big(\frac{m_t}{\sqrt{v_t} + d_{t+1}\epsilon} + \lambda w_t\Big)$$

    One $d$ serves all variables. Where the paper's Algorithm and the authors' code differ, this is the code: bias
    correction is off by default.

    Args:
        learning_rate: eta, multiplies $d$; >= 0, or a schedule (a cosine to 0 is the authors' advice). Leave it at 1.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        beta_3: decay of the estimate's sums, in [0, 1); `None` for the root of `beta_2`.
        epsilon: > 0, times $d$ keeps the root away from 0.
        use_bias_correction: whether $\eta$ is corrected for moments that start at 0, as in Adam.
        safeguard_warmup: whether $s$ leaves out eta, so that a warm-up does not inflate $d$.
        d0: the first $d$, > 0; needs changing if even that is too large a step.
        d_coef: $c$, > 0, scales the estimate: the one to tune, 0.5 or 2 where 1 does not do.
        growth_rate: $d$ grows at most by this factor a step, >= 1 (not while it is `d0`); `None` for no limit.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled, times $\eta d_t$.

    Memory: 16 bytes a parameter.

    Source: Mishchenko and Defazio, arXiv 2306.06101, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> Prodigy(d0=0.01).apply([w], [w])               # the first step: d0 (1 - beta_1) / sqrt(1 - beta_2)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.968, 99.968], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    beta_3: UnitInterval | None = None
    epsilon: Positive = 1e-8
    use_bias_correction: Switch = False
    safeguard_warmup: Switch = False
    d0: Positive = 1e-6
    d_coef: Positive = 1.0
    growth_rate: GrowthRate | None = None
    slots = ("m", "v", "s", "start")
    nonnegative = ("v",)
    from_weights = ("start",)
    whole_step = True

    @property
    def shared(self):
        return {"d": self.d0, "d_max": self.d0, "numerator": 0.0}

    def measure(self, g, w, s, t, lr, before):
        return {"dot": ops.sum(g * (s.start - w)), "norm": ops.sum(ops.abs(self._sum(g, s, t, lr, before.d)))}

    def combine(self, before, sums, t, lr):
        d = before.d
        # Divided by d0, which cancels, so that float32 holds the sums of a d of 1e-6.
        numerator = self._beta_3 * before.numerator + d / self.d0 * step_size(self, t, lr, d) * sums.dot
        estimate = self.d_coef * ratio(numerator, sums.norm)
        d = ops.where(d == self.d0, ops.maximum(d, estimate), d)
        d_max = ops.maximum(before.d_max, estimate)
        return {"d": limited(d_max, d, self.growth_rate), "d_max": d_max, "numerator": numerator}

    def rule(self, g, w, s, t, lr, decay, before, shared):
        d = before.d
        m = mix(s.m, d * g, self.beta_1)
        v = mix(s.v, ops.square(d * g), self.beta_2)
        u = m / (ops.sqrt(v) + shared.d * self.epsilon)
        step = step_size(self, t, lr, d) * (u if decay is None else u + decay * w)
        return step, {"m": m, "v": v, "s": self._sum(g, s, t, lr, d)}

    @property
    def _beta_3(self):
        return math.sqrt(self.beta_2) if self.beta_3 is None else self.beta_3

    def _sum(self, g, s, t, lr, d):
        """The new $s$."""
        return self._beta_3 * s.s + d / self.d0 * (d if self.safeguard_warmup else step_size(self, t, lr, d)) * g
