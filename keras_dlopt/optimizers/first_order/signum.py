"""Signum."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Signum(Optimizer):
    r"""Sign of the momentum: one bit of every gradient's element decides, and every weight moves by the same amount.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad w_{t+1} = w_t - \eta \operatorname{sign}(m_t)$$

    With $\beta_1 = 0$ this is signSGD, which keeps no state.

    Args:
        learning_rate: step size eta, >= 0, or a schedule; about a tenth of Adam's.
        beta_1: decay of the momentum, in [0, 1).
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter, none with `beta_1=0`.

    Source: Bernstein et al., arXiv 1802.04434.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> Signum(0.1).apply([w], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 99.9], dtype=float32)
    """

    learning_rate: LearningRate = 1e-4
    beta_1: UnitInterval = 0.9

    @property
    def slots(self):
        return ("m",) if self.beta_1 else ()

    def rule(self, g, w, s, t):
        if not self.beta_1:
            return ops.sign(g), {}
        m = mix(s.m, g, self.beta_1)
        return ops.sign(m), {"m": m}
