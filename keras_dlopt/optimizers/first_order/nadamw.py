"""NAdamW."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class NAdamW(Optimizer):
    r"""AdamW with Nesterov's look-ahead at a constant beta_1, the baseline of the AlgoPerf benchmark.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2$$
    $$w_{t+1} = w_t - \eta\lambda w_t - \eta\, \frac{\beta_1 m_t/(1-\beta_1^{t+1}) + (1-\beta_1) g_t/(1-\beta_1^t)}
      {\sqrt{v_t/(1-\beta_2^t)} + \epsilon}$$

    `Nadam` is Keras's, where beta_1 warms up over the first steps.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        weight_decay: lambda, >= 0 or `None`, decoupled.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Dozat (2016), Incorporating Nesterov momentum into Adam; Dahl et al., arXiv 2306.07179, for this form.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> NAdamW(0.1, weight_decay=0.0).apply([w], [w])          # 0.9 * 0.1 / 0.19 + 0.1 / 0.1 = 1.474 times 0.1
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.853, 99.853], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-8
    weight_decay: NonNegative | None = 1e-4
    slots = ("m", "v")
    nonnegative = ("v",)

    def rule(self, g, w, s, t):
        m = mix(s.m, g, self.beta_1)
        v = mix(s.v, ops.square(g), self.beta_2)
        ahead = self.beta_1 / bias_correction(self.beta_1, t + 1) * m
        ahead = ahead + (1 - self.beta_1) / bias_correction(self.beta_1, t) * g
        return ahead / (ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon), {"m": m, "v": v}
