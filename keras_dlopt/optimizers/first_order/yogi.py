"""Yogi."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Yogi(Optimizer):
    r"""Adam whose second moment moves towards the squared gradient by a bounded amount.

    $$v_t = v_{t-1} - (1-\beta_2)\operatorname{sign}(v_{t-1} - g_t^2)\, g_t^2, \qquad
      w_{t+1} = w_t - \eta\, \frac{m_t / (1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)} + \epsilon}$$

    with Adam's $m_t$. The effective learning rate cannot shoot up when gradients suddenly vanish.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, added to the root; the paper's 1e-3 bounds the steps of small gradients.
        initial_accumulator_value: start of both moments, >= 0, as in optax.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Zaheer et al., "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0])
    >>> Yogi(0.1, epsilon=1.0, initial_accumulator_value=0.0).apply([w], [w])      # 1 - 0.1 * 1 / (1 + 1)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.95], dtype=float32)
    """

    learning_rate: LearningRate = 0.01
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-3
    initial_accumulator_value: NonNegative = 1e-6
    slots = ("m", "v")
    nonnegative = ("v",)

    def initial(self, slot):
        return self.initial_accumulator_value

    def rule(self, g, w, s, t):
        m, g2 = mix(s.m, g, self.beta_1), ops.square(g)
        v = s.v - (1 - self.beta_2) * ops.sign(s.v - g2) * g2
        root = ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon
        return m / bias_correction(self.beta_1, t) / root, {"m": m, "v": v}
