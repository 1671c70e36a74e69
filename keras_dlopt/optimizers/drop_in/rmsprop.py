"""RMSprop."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, Share, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class RMSprop(Optimizer):
    r"""Gradient divided by the root of its mean square; Keras's arguments and numbers.

    $$v_t = \rho v_{t-1} + (1-\rho) g_t^2, \qquad
      \Delta_t = \frac{\eta\, g_t}{\sqrt{v_t - \bar g_t^2 + \epsilon}}, \qquad
      m_t = \mu m_{t-1} + \Delta_t, \qquad w_{t+1} = w_t - m_t$$

    with $\bar g_t = \rho \bar g_{t-1} + (1-\rho) g_t$ if `centered`, else 0. Epsilon stands inside the root, as in
    Keras (torch adds it outside).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        rho: decay of the mean square, in [0, 1).
        momentum: mu in [0, 1].
        epsilon: > 0, keeps the root away from 0.
        centered: whether to divide by an estimate of the variance instead of the second moment.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter, 4 more with momentum, 4 more if centered.

    Source: Tieleman and Hinton, Lecture 6.5 (2012); the centered form is Graves, arXiv 1308.0850.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> RMSprop(0.1, rho=0.75).apply([w], [w])         # every weight moves by 0.1 / sqrt(1 - rho)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.8, 99.8], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    rho: UnitInterval = 0.9
    momentum: Share = 0.0
    epsilon: Positive = 1e-7
    centered: Switch = False
    whole_step = True

    nonnegative = ("v",)

    @property
    def slots(self):
        return ("v", *(["m"] if self.momentum else []), *(["mean"] if self.centered else []))

    def rule(self, g, w, s, t, lr):
        new = {"v": mix(s.v, ops.square(g), self.rho)}
        variance = new["v"]
        if self.centered:
            new["mean"] = mix(s.mean, g, self.rho)
            variance = variance - ops.square(new["mean"])
        step = lr * g / ops.sqrt(variance + self.epsilon)
        if self.momentum:
            step = new["m"] = self.momentum * s.m + step
        return step, new
