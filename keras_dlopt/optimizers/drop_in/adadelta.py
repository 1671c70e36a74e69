"""Adadelta."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Adadelta(Optimizer):
    r"""Steps in the units of the weights: the size of past updates over that of the gradients; Keras's numbers.

    $$a_t = \rho a_{t-1} + (1-\rho) g_t^2, \qquad
      \Delta_t = \sqrt{\frac{d_{t-1} + \epsilon}{a_t + \epsilon}}\; g_t, \qquad
      d_t = \rho d_{t-1} + (1-\rho) \Delta_t^2, \qquad w_{t+1} = w_t - \eta \Delta_t$$

    The paper has no learning rate: 1.0 is its method. Keras's default is 0.001.

    Args:
        learning_rate: eta, >= 0, or a schedule.
        rho: decay of both averages, in [0, 1).
        epsilon: > 0; it also sets the size of the first steps.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Zeiler, arXiv 1212.5701.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0])
    >>> Adadelta(1.0, rho=0.75, epsilon=0.25).apply([w], [w])              # sqrt(0.25 / (0.25 + 0.25))
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.293], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    rho: UnitInterval = 0.95
    epsilon: Positive = 1e-7
    slots = ("a", "d")
    nonnegative = ("a", "d")

    def rule(self, g, w, s, t):
        a = mix(s.a, ops.square(g), self.rho)
        step = ops.sqrt(s.d + self.epsilon) * g / ops.sqrt(a + self.epsilon)
        return step, {"a": a, "d": mix(s.d, ops.square(step), self.rho)}
