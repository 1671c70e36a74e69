"""AdaBelief."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class AdaBelief(Optimizer):
    r"""Adam that divides by how far the gradient is from its own prediction.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad s_t = \beta_2 s_{t-1} + (1-\beta_2)(g_t - m_t)^2 + \epsilon$$
    $$w_{t+1} = w_t - \eta\, \frac{m_t / (1-\beta_1^t)}{\sqrt{s_t / (1-\beta_2^t)} + \epsilon}$$

    A gradient that does as expected takes a large step, a surprising one a small step. As in the authors' code, the
    residual uses the new $m_t$ and epsilon is added to the stored $s_t$ at every step.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the squared residual, in [0, 1).
        epsilon: > 0; the authors use 1e-16 for transformers and 1e-8 for convolutional nets.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Zhuang et al., arXiv 2010.07468.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0])
    >>> AdaBelief(0.09).apply([w], [w])                # first step: m = 0.1 g, s = 0.001 (0.9 g)^2, so eta / 0.9
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-16
    slots = ("m", "s")
    nonnegative = ("s",)

    def rule(self, g, w, s, t):
        m = mix(s.m, g, self.beta_1)
        belief = mix(s.s, ops.square(g - m), self.beta_2) + self.epsilon
        debiased = ops.sqrt(belief / bias_correction(self.beta_2, t))
        return m / bias_correction(self.beta_1, t) / (debiased + self.epsilon), {"m": m, "s": belief}
