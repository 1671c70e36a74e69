"""MADGRAD."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, UnitInterval
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class MADGRAD(Optimizer):
    r"""Dual averaging: the weights follow the sum of all gradients, counted from where they started.

    With $\lambda_t = (\eta + \epsilon) \sqrt t$,

    $$s_t = s_{t-1} + \lambda_t g_t, \qquad \nu_t = \nu_{t-1} + \lambda_t g_t^2, \qquad
      z_t = x_0 - \frac{s_t}{\sqrt[3]{\nu_t} + \epsilon}$$
    $$w_{t+1} = \mu w_t + (1-\mu) z_t$$

    Weight decay, where it is asked for, is the authors' decoupled form: $(\eta + \epsilon)\lambda w_t$ is subtracted
    too. Less of it is needed than elsewhere, often none.

    Args:
        learning_rate: step size eta, >= 0, or a schedule; not comparable with other optimizers'.
        momentum: mu in [0, 1).
        epsilon: >= 0, keeps the root away from 0; with 0, weights that never had a gradient stay.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 12 bytes a parameter.

    Source: Defazio and Jelassi, arXiv 2101.11075, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> MADGRAD(0.125, momentum=0.0, epsilon=0.0).apply([w], [w])   # g = w: 0.125 g / (0.125 g**2)**(1/3)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.75, 98.84], dtype=float32)
    """

    learning_rate: LearningRate = 0.01
    momentum: UnitInterval = 0.9
    epsilon: NonNegative = 1e-6
    slots = ("x0", "s", "nu")
    nonnegative = ("nu",)
    from_weights = ("x0",)
    whole_step = True

    def rule(self, g, w, s, t, lr, decay):
        lr = ops.where(lr > 0, lr + self.epsilon, lr)
        scale = lr * ops.sqrt(t)
        total = s.s + scale * g
        nu = s.nu + scale * ops.square(g)
        root = ops.power(nu, 1 / 3) + self.epsilon
        z = s.x0 - total / (root if self.epsilon else ops.where(root > 0, root, 1.0))
        step = (1 - self.momentum) * (w - z)
        if decay is not None:
            step = step + lr * decay * w
        return step, {"s": total, "nu": nu}
