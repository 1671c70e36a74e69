"""Adafactor."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, Range, Switch
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.memory.factored import column_means, factor_shape, inverse_root, row_means


class Adafactor(Optimizer):
    r"""Adam's second moment as row and column means, without a first moment; Keras's arguments and numbers.

    $$r_t = \hat\beta_t r_{t-1} + (1-\hat\beta_t)\, \mathrm{mean}_\mathrm{columns}(g_t^2 + \epsilon_1), \qquad
      c_t = \hat\beta_t c_{t-1} + (1-\hat\beta_t)\, \mathrm{mean}_\mathrm{rows}(g_t^2 + \epsilon_1), \qquad
      \hat\beta_t = 1 - t^{-0.8}$$
    $$u_t = g_t / \sqrt{r_t c_t^\top / \mathrm{mean}(r_t)}, \qquad
      w_{t+1} = w_t - \rho_t \max(\epsilon_2, \mathrm{RMS}(w_t))\, \frac{u_t}{\max(1, \mathrm{RMS}(u_t)/d)}$$

    with $\rho_t = \min(\eta, 1/\sqrt t)$. Variables of two and more axes are factored over their last two, all others
    keep $v_t$ itself. Two differences to Keras: there is no array of the variable's size left in the state (Keras
    keeps one, and so 4 bytes a parameter), and `relative_step=False` does leave the learning rate as it is (Keras
    takes the smaller of it and $1/\sqrt t$ all the same).

    Args:
        learning_rate: largest relative step size eta, >= 0, or a schedule.
        beta_2_decay: exponent of the averages' decay, < 0.
        epsilon_1: > 0, added to the squared gradient.
        epsilon_2: > 0, least size that the weights are taken to have.
        clip_threshold: d > 0, the largest root mean square of an update.
        relative_step: whether the rate is at most $1/\sqrt t$.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled.

    Memory: 4 bytes a row and 4 a column: 0.002 bytes a parameter for a matrix of 4096 x 4096.

    Source: Shazeer and Stern, arXiv 1804.04235.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.full((2, 2), 10.0))
    >>> Adafactor(0.1).apply([keras.ops.ones((2, 2))], [w])          # a tenth of the weights' size
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([[9., 9.],
           [9., 9.]], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_2_decay: Annotated[float, Range(high=0.0, ends="()")] = -0.8
    epsilon_1: Positive = 1e-30
    epsilon_2: Positive = 1e-3
    clip_threshold: Positive = 1.0
    relative_step: Switch = True

    slots = ("r", "c")
    form = "alone"
    needs_weights = True
    whole_step = True

    def slot_shape(self, slot, shape):
        """The variable's shape without its last axis, or without the one before it."""
        return factor_shape(slot, shape)

    def takes(self, variable):
        """Whether `variable` has two axes to factor."""
        return len(variable.shape) >= 2

    def companion(self):
        """The same rule with an unfactored second moment."""
        return _Unfactored(
            beta_2_decay=self.beta_2_decay,
            epsilon_1=self.epsilon_1,
            epsilon_2=self.epsilon_2,
            clip_threshold=self.clip_threshold,
            relative_step=self.relative_step,
            weight_decay=self.weight_decay,
        )

    def rule(self, g, w, s, t, lr, each):
        square, weight = ops.square(g) + self.epsilon_1, ops.power(t, self.beta_2_decay)
        r = s.r + (row_means(square) - s.r) * weight
        c = s.c + (column_means(square) - s.c) * weight
        return self._step(g * inverse_root(r, c), w, t, lr, each), {"r": r, "c": c}

    def _step(self, u, w, t, lr, each):
        """The direction, clipped and scaled to the weights, times the learning rate."""
        rho = ops.minimum(lr, ops.rsqrt(t)) if self.relative_step else lr
        size = ops.maximum(self.epsilon_2, ops.sqrt(each.mean(ops.square(w))))
        excess = ops.maximum(1.0, ops.sqrt(each.mean(ops.square(u))) / self.clip_threshold)
        return u * each.spread(rho * size / excess)


class _Unfactored(Adafactor):
    """Adafactor for scalars and vectors."""

    slots = ("v",)
    nonnegative = ("v",)
    form = "flat"

    def slot_shape(self, slot, shape):
        return shape

    def takes(self, variable):
        return True

    def rule(self, g, w, s, t, lr, each):
        v = s.v + (ops.square(g) + self.epsilon_1 - s.v) * ops.power(t, self.beta_2_decay)
        return self._step(g * ops.rsqrt(v), w, t, lr, each), {"v": v}
