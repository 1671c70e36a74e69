"""Nadam."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Nadam(Optimizer):
    r"""Adam with Nesterov's look-ahead and a momentum that warms up; Keras's arguments and numbers.

    With $\mu_t = \beta_1 (1 - \tfrac12\, 0.96^t)$ and the product $\pi_t = \mu_1 \mu_2 \cdots \mu_t$,

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2$$
    $$w_{t+1} = w_t - \eta\, \Big(\frac{\mu_{t+1} m_t}{1-\pi_{t+1}} + \frac{(1-\mu_t) g_t}{1-\pi_t}\Big) \Big/
      \Big(\sqrt{v_t/(1-\beta_2^t)} + \epsilon\Big)$$

    The momentum warms up within a hundred steps, as in Keras; Dozat's schedule, torch's, has $0.96^{0.004 t}$ and takes
    250 times as long. `NAdamW` keeps it constant.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter, and one number.

    Source: Dozat (2016), Incorporating Nesterov momentum into Adam.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> Nadam(0.1).apply([w], [w])                     # 0.4852 * 0.1 / (1 - 0.2271) + 0.532 / 0.532 = 1.063 times 0.1
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.894, 99.894], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-7
    slots = ("m", "v")
    nonnegative = ("v",)
    shared = {"product": 1.0}

    def _mu(self, t):
        return self.beta_1 * (1 - 0.5 * ops.power(0.96, t))

    def combine(self, before, sums, t, lr):
        return {"product": before.product * self._mu(t)}

    def rule(self, g, w, s, t, shared):
        m, v = mix(s.m, g, self.beta_1), mix(s.v, ops.square(g), self.beta_2)
        ahead = self._mu(t + 1) / (1 - shared.product * self._mu(t + 1)) * m
        ahead = ahead + (1 - self._mu(t)) / (1 - shared.product) * g
        return ahead / (ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon), {"m": m, "v": v}
