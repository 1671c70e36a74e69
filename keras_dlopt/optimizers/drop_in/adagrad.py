"""Adagrad."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Adagrad(Optimizer):
    r"""Gradient divided by the root of the sum of its squares so far; Keras's arguments and numbers.

    $$a_t = a_{t-1} + g_t^2, \qquad w_{t+1} = w_t - \frac{\eta\, g_t}{\sqrt{a_t + \epsilon}}$$

    Rare features keep large steps, which suits sparse inputs. Epsilon stands inside the root, as in Keras (torch adds
    it outside and starts the sum at 0).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        initial_accumulator_value: $a_0$, >= 0.
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter.

    Source: Duchi, Hazan and Singer, Journal of Machine Learning Research 12 (2011).

    Example:

    >>> import keras
    >>> w = keras.Variable([3.0])
    >>> Adagrad(0.5, initial_accumulator_value=16.0).apply([w], [w])        # 3 - 0.5 * 3 / sqrt(16 + 9)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([2.7], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    initial_accumulator_value: NonNegative = 0.1
    epsilon: Positive = 1e-7
    slots = ("a",)
    nonnegative = ("a",)

    def initial(self, slot):
        return self.initial_accumulator_value

    def rule(self, g, w, s, t):
        a = s.a + ops.square(g)
        return g / ops.sqrt(a + self.epsilon), {"a": a}
