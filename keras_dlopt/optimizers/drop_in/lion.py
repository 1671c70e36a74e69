"""Lion."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Lion(Optimizer):
    r"""Sign of an interpolated momentum: one state array, every weight moves by the same amount.

    $$u_t = \operatorname{sign}(\beta_1 m_{t-1} + (1-\beta_1) g_t), \qquad
      m_t = \beta_2 m_{t-1} + (1-\beta_2) g_t, \qquad w_{t+1} = w_t - \eta u_t$$

    Its steps are larger than Adam's at the same rate: take a learning rate 3 to 10 times smaller and a weight decay
    as much larger. Keras's arguments and numbers.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: weight of the momentum in the update, in [0, 1).
        beta_2: decay of the momentum itself, in [0, 1).
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter.

    Source: Chen et al., arXiv 2302.06675.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, -100.0, 0.0])
    >>> Lion(0.1).apply([w], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([  0.9, -99.9,   0. ], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.99
    slots = ("m",)

    def rule(self, g, w, s, t):
        return ops.sign(mix(s.m, g, self.beta_1)), {"m": mix(s.m, g, self.beta_2)}
