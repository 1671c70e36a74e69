"""Adam and AdamW."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Adam(Optimizer):
    r"""Adaptive moment estimation; Keras's arguments and numbers.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2$$
    $$w_{t+1} = w_t - \eta\, \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\, \frac{m_t}{\sqrt{v_t} + \epsilon}$$

    This is the paper's second form ("epsilon-hat"), as in Keras; torch and optax add epsilon to the debiased root.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        amsgrad: whether to divide by the largest $v$ seen so far (arXiv 1904.09237).
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled, as in AdamW.

    Memory: 8 bytes a parameter, 12 with amsgrad.

    Source: Kingma and Ba, arXiv 1412.6980.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> Adam(0.1).apply([w], [w])                      # the first step moves every weight by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 99.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-7
    amsgrad: Switch = False

    nonnegative = ("v", "v_max")

    @property
    def slots(self):
        return ("m", "v", "v_max") if self.amsgrad else ("m", "v")

    def rule(self, g, w, s, t):
        new = {"m": mix(s.m, g, self.beta_1), "v": mix(s.v, ops.square(g), self.beta_2)}
        v = new["v"]
        if self.amsgrad:
            v = new["v_max"] = ops.maximum(s.v_max, v)
        scale = ops.sqrt(bias_correction(self.beta_2, t)) / bias_correction(self.beta_1, t)
        return (new["m"] / (ops.sqrt(v) + self.epsilon), scale), new


class AdamW(Adam):
    r"""Adam with decoupled weight decay on by default; Keras's arguments and numbers.

    $$w_{t+1} = w_t - \eta \lambda w_t - \eta\, \mathrm{Adam}(g_t)$$

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        weight_decay: lambda, >= 0. `exclude_from_weight_decay` or `groups` spare biases and gains.
        beta_1, beta_2, epsilon, amsgrad: as in `Adam`.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter, 12 with amsgrad.

    Source: Loshchilov and Hutter, arXiv 1711.05101.

    Example:

    >>> import keras
    >>> w = keras.Variable([2.0])
    >>> AdamW(0.1, weight_decay=0.5).apply([keras.ops.zeros(1)], [w])      # no gradient: decay alone
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([1.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    weight_decay: NonNegative | None = 0.004
