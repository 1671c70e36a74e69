"""Gradient descent."""

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class GradientDescent(Optimizer):
    r"""Steepest descent with a fixed step, the method of Cauchy (1847).

    $$w_{t+1} = w_t - \eta\, g_t$$

    With the gradient of the whole training set in one batch this is the textbook method; with mini-batches it is
    stochastic gradient descent without momentum.

    Args:
        learning_rate: step size eta, >= 0, or a schedule. It converges on a quadratic while eta < 2 / (largest
            curvature).
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: no state.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, -2.0])
    >>> GradientDescent(0.5).apply([2.0 * w], [w])     # the gradient of w**2
    >>> keras.ops.convert_to_numpy(w)
    array([0., 0.], dtype=float32)
    """

    learning_rate: LearningRate = 0.01
    keeps_sparse = True

    def rule(self, g, w, s, t):
        return g, {}
