"""CAME."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.memory.factored import column_means, factor_shape, inverse_root, row_means


class CAME(Optimizer):
    r"""Adafactor with a momentum, divided by how far single updates stray from it.

    $$u_t = g_t / \sqrt{V_t}, \qquad \hat u_t = u_t / \max(1, \mathrm{RMS}(u_t)/d), \qquad
      m_t = \beta_1 m_{t-1} + (1-\beta_1) \hat u_t$$
    $$w_{t+1} = w_t - \eta \lambda w_t - \eta\, m_t / \sqrt{S_t}$$

    $V_t$ and $S_t$ are averages of $g_t^2 + \epsilon_1$ (with $\beta_2$) and of $(\hat u_t - m_t)^2 + \epsilon_2$ (with
    $\beta_3$), each kept as row means r and column means c: $r c^\top / \mathrm{mean}(r)$. No average is debiased.
    Variables of two and more axes are factored over their last two; all others keep $V_t$ itself and step by $m_t$,
    as in the author's code.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the momentum, in [0, 1).
        beta_2: decay of the squared gradient's average, in [0, 1).
        beta_3: decay of the squared residual's average, in [0, 1); the authors advise 0.9995 to 0.99995.
        epsilon_1: > 0, added to the squared gradient.
        epsilon_2: > 0, added to the squared residual.
        clip_threshold: d > 0, the largest root mean square of an update.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled.

    Memory: 4 bytes a parameter, 8 a row and 8 a column.

    Source: Luo et al., arXiv 2307.02047.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.ones((2, 2)))
    >>> CAME(0.1).apply([keras.ops.ones((2, 2))], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)                  # m = 0.1, sqrt(S) = 0.9 * sqrt(1 - beta_3) = 0.009
    array([[-0.111, -0.111],
           [-0.111, -0.111]], dtype=float32)
    """

    learning_rate: LearningRate = 2e-4
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    beta_3: UnitInterval = 0.9999
    epsilon_1: Positive = 1e-30
    epsilon_2: Positive = 1e-16
    clip_threshold: Positive = 1.0

    slots = ("m", "r", "c", "residual_r", "residual_c")
    form = "alone"

    def slot_shape(self, slot, shape):
        """The variable's shape, without its last axis (row means) or the one before it (column means)."""
        return shape if slot == "m" else factor_shape(slot[-1], shape)

    def takes(self, variable):
        """Whether `variable` has two axes to factor."""
        return len(variable.shape) >= 2

    def companion(self):
        """The same rule with an unfactored second moment, and without confidence."""
        return _Unfactored(
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon_1=self.epsilon_1,
            clip_threshold=self.clip_threshold,
            weight_decay=self.weight_decay,
        )

    def rule(self, g, w, s, t, each):
        square = ops.square(g) + self.epsilon_1
        r, c = mix(s.r, row_means(square), self.beta_2), mix(s.c, column_means(square), self.beta_2)
        u = self._clip(g * inverse_root(r, c), each)
        m = mix(s.m, u, self.beta_1)
        residual = ops.square(u - m) + self.epsilon_2
        residual_r = mix(s.residual_r, row_means(residual), self.beta_3)
        residual_c = mix(s.residual_c, column_means(residual), self.beta_3)
        new = {"m": m, "r": r, "c": c, "residual_r": residual_r, "residual_c": residual_c}
        return m * inverse_root(residual_r, residual_c), new

    def _clip(self, u, each):
        excess = ops.maximum(1.0, ops.sqrt(each.mean(ops.square(u))) / self.clip_threshold)
        return u / each.spread(excess)


class _Unfactored(CAME):
    """CAME for scalars and vectors."""

    slots = ("m", "v")
    nonnegative = ("v",)
    form = "flat"

    def slot_shape(self, slot, shape):
        return shape

    def takes(self, variable):
        return True

    def rule(self, g, w, s, t, each):
        v = mix(s.v, ops.square(g) + self.epsilon_1, self.beta_2)
        m = mix(s.m, self._clip(g * ops.rsqrt(v), each), self.beta_1)
        return m, {"m": m, "v": v}
