"""MARS."""

from keras import ops

from keras_dlopt.optimizers.drop_in.adam import AdamW
from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class MARS(Optimizer):
    r"""AdamW on gradients whose variance is reduced by their change since the last step.

    $$c_t = g_t + \gamma \frac{\beta_1}{1-\beta_1} (g_t - g_{t-1}), \qquad \tilde c_t = c_t / \max(1, \|c_t\|)$$
    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) \tilde c_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) \tilde c_t^2, \qquad
      w_{t+1} = w_t - \eta\lambda w_t - \eta\, \frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)} + \epsilon}$$

    The norm is each variable's own and $g_0 = 0$. This is the authors' approximate form, which takes $g_{t-1}$ from
    the last batch instead of a second backward pass. Variables with fewer than two axes follow AdamW with decays 0.9
    and 0.95, as in the authors' code; their weight decay is the same lambda here (the authors: 0.1, set apart).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        gamma: strength of the correction, >= 0; 0 leaves AdamW with clipping.
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 12 bytes a parameter, 8 for those with fewer than two axes.

    Source: Yuan et al., arXiv 2411.10438, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([[1.0, 100.0]])
    >>> MARS(0.1).apply([w], [w])                      # the first step moves every weight by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([[ 0.9, 99.9]], dtype=float32)
    """

    learning_rate: LearningRate = 0.003
    beta_1: UnitInterval = 0.95
    beta_2: UnitInterval = 0.99
    gamma: NonNegative = 0.025
    epsilon: Positive = 1e-8
    slots = ("m", "v", "g_last")
    nonnegative = ("v",)

    def takes(self, variable):
        return len(variable.shape) >= 2

    def companion(self):
        return AdamW(beta_1=0.9, beta_2=0.95, epsilon=self.epsilon, weight_decay=self.weight_decay)

    def rule(self, g, w, s, t, each):
        c = g + self.gamma * self.beta_1 / (1 - self.beta_1) * (g - s.g_last)
        c = c / each.spread(ops.maximum(each.norm(c), 1.0))
        m, v = mix(s.m, c, self.beta_1), mix(s.v, ops.square(c), self.beta_2)
        root = ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon
        return (m / root, 1 / bias_correction(self.beta_1, t)), {"m": m, "v": v, "g_last": g}
