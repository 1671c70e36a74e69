"""DoWG."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.rate_free.estimates import decayed


class DoWG(Optimizer):
    r"""DoG with the gradients weighted by the distance they were seen at, so that late ones count more.

    $$\bar r^2_t = \max\big(\bar r^2_{t-1}, \lVert w_t - w_1 \rVert^2\big), \qquad \bar r^2_0 = \epsilon, \qquad
      v_t = v_{t-1} + \bar r^2_t \lVert g_t \rVert^2$$
    $$w_{t+1} = w_t - \eta \frac{\bar r^2_t}{\sqrt{v_t} + \epsilon} g_t$$

    Norms run over all variables.

    Args:
        learning_rate: eta, multiplies the step; >= 0, or a schedule. Leave it at 1.
        epsilon: > 0, the first squared distance; also keeps the root away from 0, as in the authors' code.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is added to the gradient.

    Memory: 4 bytes a parameter.

    Source: Khaled, Mishchenko and Jin, arXiv 2305.16284, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([3.0, 4.0])
    >>> DoWG(epsilon=0.25).apply([w], [w])             # 0.25 / (0.5 * 5 + 0.25) of the gradient
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([2.727, 3.636], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    epsilon: Positive = 1e-4
    slots = ("start",)
    from_weights = ("start",)
    whole_step = True

    @property
    def shared(self):
        return {"squared_distance": self.epsilon, "total": 0.0}

    def measure(self, g, w, s, t, decay):
        return {
            "moved": ops.sum(ops.square(w - s.start)),
            "gradient": ops.sum(ops.square(decayed(g, w, decay))),
        }

    def combine(self, before, sums, t, lr):
        squared_distance = ops.maximum(before.squared_distance, sums.moved)
        return {"squared_distance": squared_distance, "total": before.total + squared_distance * sums.gradient}

    def rule(self, g, w, s, t, lr, decay, shared):
        size = lr * shared.squared_distance / (ops.sqrt(shared.total) + self.epsilon)
        return size * decayed(g, w, decay), {}
