"""Adam with D-Adaptation."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.rate_free.estimates import GrowthRate, limited, ratio, step_size


class DAdaptAdam(Optimizer):
    r"""Adam whose step is a lower bound $d$ on the distance from the start to the solution; no rate to tune.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, \eta d_t g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\, g_t^2$$
    $$s_t = \sqrt{\beta_2}\, s_{t-1} + (1-\sqrt{\beta_2})\, \eta d_t g_t, \qquad
      r_t = \sqrt{\beta_2}\, r_{t-1} + (1-\sqrt{\beta_2})\, \eta d_t
      \Big\langle g_t, \frac{s_{t-1}}{\sqrt{v_{t-1}} + \epsilon} \Big\rangle$$
    $$d_{t+1} = \max\Big(d_t, \frac{r_t}{(1-\sqrt{\beta_2}) \lVert s_t \rVert_1}\Big), \qquad
      w_{t+1} = w_t - \frac{m_t}{\sqrt{v_t} + \epsilon} - \eta d_t \lambda w_t$$

    One $d$ serves all variables. $r$ sees $v$ before this step, as in the authors' code; a group's learning rate
    multiplier is that code's `layer_scale`.

    Args:
        learning_rate: eta, multiplies $d$; >= 0, or a schedule. Leave it at 1.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        use_bias_correction: whether eta is corrected for moments that start at 0, as in Adam.
        d0: the first $d$, > 0; needs changing if even that is too large a step.
        growth_rate: $d$ grows at most by this factor a step, >= 1: 1.02 makes a warm-up; `None` for no limit.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled, times $\eta d_t$.

    Memory: 12 bytes a parameter.

    Source: Defazio and Mishchenko, arXiv 2301.07733, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> DAdaptAdam(d0=0.01).apply([w], [w])            # the first step: d0 (1 - beta_1) / sqrt(1 - beta_2)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.968, 99.968], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-8
    use_bias_correction: Switch = False
    d0: Positive = 1e-6
    growth_rate: GrowthRate | None = None
    slots = ("m", "v", "s")
    nonnegative = ("v",)
    needs_weights = True
    whole_step = True

    @property
    def shared(self):
        return {"d": self.d0, "numerator": 0.0}

    def measure(self, g, w, s, t, lr, before):
        dot = ops.sum(g * s.s / (ops.sqrt(s.v) + self.epsilon))
        return {"dot": dot, "norm": ops.sum(ops.abs(self._average(g, s, t, lr, before.d)))}

    def combine(self, before, sums, t, lr):
        beta, d = math.sqrt(self.beta_2), before.d
        numerator = mix(before.numerator, step_size(self, t, lr, d) * sums.dot, beta)
        estimate = limited(ratio(numerator, (1 - beta) * sums.norm), d, self.growth_rate)
        return {"d": ops.maximum(d, estimate), "numerator": numerator}

    def rule(self, g, w, s, t, lr, decay, before):
        size = step_size(self, t, lr, before.d)
        m = mix(s.m, size * g, self.beta_1)
        v = mix(s.v, ops.square(g), self.beta_2)
        step = m / (ops.sqrt(v) + self.epsilon)
        if decay is not None:
            step = step + size * decay * w
        return step, {"m": m, "v": v, "s": self._average(g, s, t, lr, before.d)}

    def _average(self, g, s, t, lr, d):
        """The new $s$."""
        return mix(s.s, step_size(self, t, lr, d) * g, math.sqrt(self.beta_2))
