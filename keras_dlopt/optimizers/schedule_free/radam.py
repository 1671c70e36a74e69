"""ScheduleFreeRAdam."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.schedule_free.averaging import Between, ScheduleFree


class ScheduleFreeRAdam(ScheduleFree):
    r"""Schedule-Free AdamW with RAdam's warm-up: neither a schedule nor the length of a warm-up to give.

    As `ScheduleFreeAdamW`, with the rate
    $$\eta_t = \eta \sqrt{\frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}}
      \quad\text{if } \rho_t > 4, \qquad \rho_\infty = \frac{2}{1-\beta_2} - 1, \qquad
      \rho_t = \rho_\infty - \frac{2t\beta_2^t}{1-\beta_2^t}.$$
    Before that (the first four steps for the default $\beta_2$) only $v$ moves, or, with `silent_sgd_phase=False`,
    the step is the gradient's own: $z_{t+1} = z_t - \eta\, (g_t + \lambda y_t)$.

    Args:
        learning_rate: step size eta, >= 0, or a schedule (none is needed).
        beta_1: the share of the average in y, in (0, 1).
        beta_2: decay of the second moment, in [0, 1); up to 0.6 every step is one of the first.
        epsilon: > 0, keeps the root away from 0.
        r: >= 0; above 0 later steps count more in the average.
        weight_lr_power: p, >= 0; how much less the short steps of the warm-up count.
        silent_sgd_phase: whether the weights stay put in the first steps.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` lambda acts at y.

    Memory: 8 bytes a parameter.

    Source: Defazio et al., arXiv 2405.15682, and Liu et al., arXiv 1908.03265; the authors' code (schedulefree 1.4)
    for the threshold 4.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> ScheduleFreeRAdam(0.1).apply([w], [w])                     # the first steps are silent
    >>> keras.ops.convert_to_numpy(w)
    array([  1., 100.], dtype=float32)
    """

    learning_rate: LearningRate = 0.0025
    beta_1: Between = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-8
    r: NonNegative = 0.0
    weight_lr_power: NonNegative = 2.0
    silent_sgd_phase: Switch = True
    slots = ("z", "v")
    nonnegative = ("v",)

    def pace(self, t):
        longest, length = self._lengths(t)
        enough = ops.maximum(length, 4.0)  # keeps the root real in the branch that is not taken
        r = ops.sqrt((enough - 4) * (enough - 2) * longest / ((longest - 4) * (longest - 2) * enough))
        return ops.where(length > 4, r, 0.0 if self.silent_sgd_phase else 1.0)

    def _lengths(self, t):
        """The length of the average behind v, at last and at step t."""
        seen = bias_correction(self.beta_2, t)
        longest = 2 / (1 - self.beta_2) - 1
        return longest, longest - 2 * t * (1 - seen) / seen

    def direction(self, g, s, t):
        v = mix(s.v, ops.square(g), self.beta_2)
        adaptive = g / (ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon)
        return ops.where(self._lengths(t)[1] > 4, adaptive, g), {"v": v}
