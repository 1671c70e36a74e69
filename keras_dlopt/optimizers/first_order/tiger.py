"""Tiger."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.first_order.signum import Signum


class Tiger(Optimizer):
    r"""Sign of the momentum, in steps that are a share of each variable's root mean square.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
      w_{t+1} = w_t - \eta\, \mathrm{RMS}(w_t) \big(\operatorname{sign}(m_t) + \lambda w_t\big)$$

    As in the author's code, variables with fewer than two axes move by $\eta/2$ instead, without weight decay. A
    matrix that starts at zero stays there: give it to `Signum`, which is this rule without the share.

    Args:
        learning_rate: step size eta relative to the weights, >= 0, or a schedule.
        beta_1: decay of the momentum, in [0, 1).
        weight_decay: lambda, >= 0 or `None`.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter.

    Source: Su Jianlin (2023), Tiger: A Tight-fisted Optimizer, and the author's implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([[1.0, 7.0]])               # root mean square 5
    >>> Tiger(0.1, weight_decay=0.0).apply([w], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([[0.5, 6.5]], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.965
    weight_decay: NonNegative | None = 0.01
    slots = ("m",)
    needs_weights = True
    companion_learning_rate = 0.5

    def takes(self, variable):
        return len(variable.shape) >= 2

    def companion(self):
        return Signum(beta_1=self.beta_1)

    def rule(self, g, w, s, t, each, decay):
        m = mix(s.m, g, self.beta_1)
        u = ops.sign(m)
        if decay is not None:
            u = u + decay * w
        return u * each.spread(ops.sqrt(each.mean(ops.square(w)))), {"m": m}
