"""FTRL."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Range, Switch
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Ftrl(Optimizer):
    r"""Follow the regularized leader, which keeps weights at exactly 0 where they do not pay; Keras's numbers.

    With $p$ for `-learning_rate_power`, $\lambda_1$, $\lambda_2$ and $\lambda_s$ for the three strengths,

    $$n_t = n_{t-1} + g_t^2, \qquad z_t = z_{t-1} + g_t + 2\lambda_s w_t - \frac{n_t^p - n_{t-1}^p}{\eta} w_t$$
    $$w_{t+1} = \frac{\operatorname{clip}(z_t, \pm\lambda_1) - z_t}{(n_t^p + \beta)/\eta + 2\lambda_2}$$

    The weights are computed anew from $z$ at every step. It starts at 0, as in Keras, so that what the weights were
    before the first step is all but lost: set `keep_weights` to go on from trained ones. Weight decay reaches only the
    $w_t$ of these equations, also as in Keras; use the strengths instead.

    Args:
        learning_rate: step size eta, > 0, or a schedule.
        learning_rate_power: <= 0, how fast steps shrink as gradients add up; 0 keeps them.
        initial_accumulator_value: $n_0$, >= 0. Where it and the sum of gradients are 0, the weight stays.
        l1_regularization_strength: lambda_1 >= 0.
        l2_regularization_strength: lambda_2 >= 0.
        l2_shrinkage_regularization_strength: lambda_s >= 0, a penalty on the weights where they have gradients.
        beta: >= 0.
        keep_weights: whether $z$ starts at the value that gives the weights of the first step back; not in Keras.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: McMahan et al. (2013), Ad Click Prediction: a View from the Trenches.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, -3.0])
    >>> Ftrl(0.5, initial_accumulator_value=0.0).apply([w], [w])       # the first step moves by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.5, -2.5], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    learning_rate_power: Annotated[float, Range(high=0.0)] = -0.5
    initial_accumulator_value: NonNegative = 0.1
    l1_regularization_strength: NonNegative = 0.0
    l2_regularization_strength: NonNegative = 0.0
    l2_shrinkage_regularization_strength: NonNegative = 0.0
    beta: NonNegative = 0.0
    keep_weights: Switch = False
    slots = ("n", "z")
    nonnegative = ("n",)
    needs_weights = True
    whole_step = True

    def initial(self, slot):
        return self.initial_accumulator_value if slot == "n" else 0.0

    def rule(self, g, w, s, t, lr):
        l1 = self.l1_regularization_strength

        def curvature(power_of_n):
            return (power_of_n + self.beta) / lr + 2 * self.l2_regularization_strength

        n = s.n + ops.square(g)
        before, after = ops.power(s.n, -self.learning_rate_power), ops.power(n, -self.learning_rate_power)
        z = s.z
        if self.keep_weights:
            z = ops.where(t == 1, -w * curvature(before) - l1 * ops.sign(w), z)
        z = z + g + 2 * self.l2_shrinkage_regularization_strength * w - (after - before) / lr * w
        total = curvature(after)
        moved = (ops.clip(z, -l1, l1) - z) / ops.where(total > 0, total, 1.0)
        return w - ops.where(total > 0, moved, w), {"n": n, "z": z}
