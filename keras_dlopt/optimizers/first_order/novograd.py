"""NovoGrad."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class NovoGrad(Optimizer):
    r"""Momentum on gradients that are normalised variable by variable: one second moment for each, not each element.

    $$v_t = \beta_2 v_{t-1} + (1-\beta_2) \|g_t\|^2, \qquad
      m_t = \beta_1 m_{t-1} + \frac{g_t}{\sqrt{v_t} + \epsilon} + \lambda w_t, \qquad w_{t+1} = w_t - \eta m_t$$

    starting with $v_1 = \|g_1\|^2$ and $m_0 = 0$. Weight decay goes through the momentum.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the momentum, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter, and one number a variable.

    Source: Ginsburg et al., arXiv 1905.11286.

    Example:

    >>> import keras
    >>> w = keras.Variable([3.0, 4.0])
    >>> NovoGrad(0.1).apply([w], [w])                  # the first step is the gradient over its norm
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([2.94, 3.92], dtype=float32)
    """

    learning_rate: LearningRate = 0.01
    beta_1: UnitInterval = 0.95
    beta_2: UnitInterval = 0.98
    epsilon: Positive = 1e-8
    slots = ("m", "v")
    needs_weights = True

    def slot_shape(self, slot, shape):
        return () if slot == "v" else shape

    def rule(self, g, w, s, t, each, decay):
        g2 = each.sum(ops.square(g))
        v = ops.where(t == 1, g2, mix(s.v, g2, self.beta_2))
        u = g / each.spread(ops.sqrt(v) + self.epsilon)
        if decay is not None:
            u = u + decay * w
        m = self.beta_1 * s.m + u
        return m, {"m": m, "v": v}
