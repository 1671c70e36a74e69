"""RAdam."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class RAdam(Optimizer):
    r"""Adam with a built-in warm-up: adaptive steps only once the second moment can be trusted.

    With $\rho_\infty = 2/(1-\beta_2) - 1$ and $\rho_t = \rho_\infty - 2t\beta_2^t/(1-\beta_2^t)$, the length of the
    average behind $v_t$,

    $$w_{t+1} = w_t - \eta\, \hat m_t r_t \frac{\sqrt{1-\beta_2^t}}{\sqrt{v_t} + \epsilon}, \qquad
      r_t = \sqrt{\frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}}
      \quad\text{if } \rho_t > 5,$$

    and plain momentum, $w_{t+1} = w_t - \eta\, \hat m_t$, before that (the first five steps for the default
    $\beta_2$).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Liu et al., arXiv 1908.03265; the threshold 5 and epsilon's place are torch.optim.RAdam's.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> RAdam(0.1).apply([w], [w])                     # the first steps follow the gradient itself
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 90. ], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-8
    slots = ("m", "v")
    nonnegative = ("v",)

    def rule(self, g, w, s, t):
        m = mix(s.m, g, self.beta_1)
        v = mix(s.v, ops.square(g), self.beta_2)
        m_hat = m / bias_correction(self.beta_1, t)
        seen = bias_correction(self.beta_2, t)
        longest = 2 / (1 - self.beta_2) - 1
        length = longest - 2 * t * (1 - seen) / seen
        enough = ops.maximum(length, 5.0)  # keeps the root real in the branch that is not taken
        r = ops.sqrt((enough - 4) * (enough - 2) * longest / ((longest - 4) * (longest - 2) * enough))
        adaptive = m_hat * r * ops.sqrt(seen) / (ops.sqrt(v) + self.epsilon)
        return ops.where(length > 5, adaptive, m_hat), {"m": m, "v": v}
