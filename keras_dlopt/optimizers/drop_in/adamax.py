"""Adamax."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Adamax(Optimizer):
    r"""Adam with the infinity norm in place of the root mean square; Keras's arguments and numbers.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad u_t = \max(\beta_2 u_{t-1}, |g_t|), \qquad
      w_{t+1} = w_t - \frac{\eta}{1-\beta_1^t}\, \frac{m_t}{u_t + \epsilon}$$

    Epsilon is added to $u_t$, as in Keras (torch and optax put it inside the maximum).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the norm, in [0, 1).
        epsilon: > 0, keeps the norm away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Kingma and Ba, arXiv 1412.6980, section 7.1.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> Adamax(0.1).apply([w], [w])                    # the first step moves every weight by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 99.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-7
    slots = ("m", "u")
    nonnegative = ("u",)

    def rule(self, g, w, s, t):
        m = mix(s.m, g, self.beta_1)
        u = ops.maximum(self.beta_2 * s.u, ops.abs(g))
        return (m / (u + self.epsilon), 1 / bias_correction(self.beta_1, t)), {"m": m, "u": u}
