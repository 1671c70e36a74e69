"""LAMB."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Lamb(Optimizer):
    r"""Adam whose steps have the length of the weights, variable by variable; Keras's arguments and numbers.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2, \qquad
      u_t = \frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)} + \epsilon}, \qquad
      w_{t+1} = w_t - \eta \frac{\|w_t\|}{\|u_t\|} u_t$$

    The ratio is 1 where a norm is 0. Weight decay is decoupled and comes before the step, as in Keras; the paper adds
    $\lambda w_t$ to $u_t$.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: You et al., arXiv 1904.00962.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 7.0])                 # Adam's first step is (1, 1); the weights are 5 times as long
    >>> Lamb(0.1).apply([w], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.5, 6.5], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-7
    slots = ("m", "v")
    nonnegative = ("v",)
    needs_weights = True

    def rule(self, g, w, s, t, each):
        m, v = mix(s.m, g, self.beta_1), mix(s.v, ops.square(g), self.beta_2)
        root = ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon
        u = m / root / bias_correction(self.beta_1, t)
        w_norm, u_norm = each.norm(w), each.norm(u)
        both = ops.logical_and(w_norm > 0, u_norm > 0)
        ratio = ops.where(both, w_norm / ops.where(both, u_norm, 1.0), 1.0)
        return u * each.spread(ratio), {"m": m, "v": v}
