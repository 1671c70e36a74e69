"""Adan."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Adan(Optimizer):
    r"""Adaptive Nesterov momentum, from the gradient and its change since the last step.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)(g_t - g_{t-1})$$
    $$n_t = \beta_3 n_{t-1} + (1-\beta_3)\,[g_t + \beta_2 (g_t - g_{t-1})]^2$$
    $$w_{t+1} = \frac{1}{1 + \eta\lambda} \Big(w_t - \eta\,
      \frac{m_t/(1-\beta_1^t) + \beta_2 v_t/(1-\beta_2^t)}{\sqrt{n_t/(1-\beta_3^t)} + \epsilon}\Big)$$

    The betas are decays, as in the authors' code (the paper writes one minus them), the first difference is 0, and
    weight decay is proximal: it divides after the step.

    Args:
        learning_rate: step size eta, >= 0, or a schedule; the authors use 5 to 10 times Adam's.
        beta_1: decay of the gradient's average, in [0, 1).
        beta_2: decay of the difference's average, in [0, 1).
        beta_3: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 16 bytes a parameter.

    Source: Xie et al., arXiv 2208.06677, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> Adan(0.1).apply([w], [w])                      # the first step moves every weight by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 99.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.98
    beta_2: UnitInterval = 0.92
    beta_3: UnitInterval = 0.99
    epsilon: Positive = 1e-8
    slots = ("m", "v", "n", "g_last")
    nonnegative = ("n",)
    proximal_weight_decay = True

    def rule(self, g, w, s, t):
        difference = ops.where(t == 1, ops.zeros_like(g), g - s.g_last)
        m = mix(s.m, g, self.beta_1)
        v = mix(s.v, difference, self.beta_2)
        n = mix(s.n, ops.square(g + self.beta_2 * difference), self.beta_3)
        ahead = m / bias_correction(self.beta_1, t) + self.beta_2 * v / bias_correction(self.beta_2, t)
        root = ops.sqrt(n / bias_correction(self.beta_3, t)) + self.epsilon
        return ahead / root, {"m": m, "v": v, "n": n, "g_last": g}
