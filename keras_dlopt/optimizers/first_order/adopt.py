"""ADOPT."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class ADOPT(Optimizer):
    r"""Adam that converges for every beta_2: the gradient is divided by the second moment before it, then averaged.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) \operatorname{clip}\!\Big(\frac{g_t}{\max(\sqrt{v_{t-1}}, \epsilon)},
      \pm (t-1)^{1/4}\Big), \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2, \qquad w_{t+1} = w_t - \eta m_t$$

    The first step only sets $v_1 = g_1^2$ and moves nothing.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the momentum, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, the least divisor.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Taniguchi et al., arXiv 2411.02853, with the clipping of the authors' code.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([1.0]), ADOPT(0.5)
    >>> for _ in range(2):                             # the second step: m = 0.1 * 1 / 1
    ...     optimizer.apply([w], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.95], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.9999
    epsilon: Positive = 1e-6
    slots = ("m", "v")
    nonnegative = ("v",)

    def rule(self, g, w, s, t):
        limit = ops.power(t - 1, 0.25)
        scaled = ops.clip(g / ops.maximum(ops.sqrt(s.v), self.epsilon), -limit, limit)
        first = t == 1
        m = ops.where(first, s.m, mix(s.m, scaled, self.beta_1))
        v = ops.where(first, ops.square(g), mix(s.v, ops.square(g), self.beta_2))
        return m, {"m": m, "v": v}
