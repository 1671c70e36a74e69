"""Stochastic gradient descent with momentum."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Share, Switch
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class SGD(Optimizer):
    r"""Stochastic gradient descent, with heavy-ball or Nesterov momentum; Keras's arguments and numbers.

    $$m_t = \mu m_{t-1} + \eta g_t, \qquad w_{t+1} = w_t - m_t$$

    and with Nesterov's look-ahead $w_{t+1} = w_t - (\mu m_t + \eta g_t)$. The learning rate stands inside the
    momentum, as in Keras: when a schedule lowers it, the steps already in $m$ keep the rate they were taken with
    (torch multiplies by the current rate instead; for a constant rate the two are equal).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        momentum: mu in [0, 1]; 0 needs no state.
        nesterov: whether to evaluate momentum one step ahead.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter with momentum, none without.

    Source: Polyak (1964), Nesterov (1983); Sutskever et al. (2013) for the form with Nesterov's momentum.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable(1.0), SGD(0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.ones(())], [w])
    >>> round(float(w), 4)                             # 1 - 0.1 - (0.05 + 0.1)
    0.75
    """

    learning_rate: LearningRate = 0.01
    momentum: Share = 0.0
    nesterov: Switch = False
    whole_step = True

    @property
    def slots(self):
        return ("m",) if self.momentum else ()

    @property
    def keeps_sparse(self):
        return not self.momentum

    def rule(self, g, w, s, t, lr):
        step = ops.multiply(g, lr)  # not `*`, which would make a sparse gradient dense
        if not self.momentum:
            return step, {}
        m = self.momentum * s.m + step
        return (self.momentum * m + step if self.nesterov else m), {"m": m}
