"""DoG and its layer-wise form."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.rate_free.estimates import decayed


class DoG(Optimizer):
    r"""SGD whose step is the largest distance travelled over the root of the squared gradients' sum.

    $$\bar r_t = \max\big(\bar r_{t-1}, \lVert w_t - w_1 \rVert\big), \qquad
      \bar r_0 = r_\epsilon (1 + \lVert w_1 \rVert), \qquad G_t = G_{t-1} + \lVert g_t \rVert^2, \qquad G_0 = \epsilon$$
    $$w_{t+1} = w_t - \eta \frac{\bar r_t}{\sqrt{G_t}} g_t$$

    Norms run over all variables. The rate never falls, so use an average of the weights: `use_ema=True`.

    Args:
        learning_rate: eta, multiplies the step; >= 0, or a schedule. Leave it at 1.
        reps_rel: $r_\epsilon$, > 0, the first distance relative to the weights; 1e-4 with BatchNormalization.
        epsilon: > 0, keeps the root away from 0.
        init_eta: the size of the first step, > 0, in place of that from `reps_rel`; `None` for that.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is added to the gradient, as in the
            authors' code.

    Memory: 4 bytes a parameter.

    Source: Ivgi, Hinder and Carmon, arXiv 2302.12022, and the authors' implementation.

    Example:

    >>> import keras
    >>> w = keras.Variable([3.0, 4.0])
    >>> DoG(reps_rel=0.1).apply([w], [w])              # the first step has length 0.1 (1 + 5)
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([2.64, 3.52], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    reps_rel: Positive = 1e-6
    epsilon: Positive = 1e-8
    init_eta: Positive | None = None
    slots = ("start",)
    from_weights = ("start",)
    whole_step = True

    @property
    def shared(self):
        return {"distance": 0.0, "total": self.epsilon}

    def measure(self, g, w, s, t, decay):
        return {
            "moved": ops.sum(ops.square(w - s.start)),
            "start": ops.sum(ops.square(s.start)),
            "gradient": ops.sum(ops.square(decayed(g, w, decay))),
        }

    def combine(self, before, sums, t, lr):
        distance = self._distance(before.distance, ops.sqrt(sums.moved), ops.sqrt(sums.start))
        return {"distance": distance, "total": before.total + sums.gradient}

    def rule(self, g, w, s, t, lr, decay, shared):
        return self._step_size(t, lr, shared.distance, shared.total) * decayed(g, w, decay), {}

    def _distance(self, last, moved, start):
        distance = ops.maximum(last, moved)
        return distance if self.init_eta else ops.maximum(distance, self.reps_rel * (1 + start))

    def _step_size(self, t, lr, distance, total):
        size = lr * distance / ops.sqrt(total)
        return ops.where(t == 1, self.init_eta, size) if self.init_eta else size


class LDoG(DoG):
    r"""DoG with a distance and a sum of its own for each variable.

    $$\bar r^i_t = \max\big(\bar r^i_{t-1}, \lVert w^i_t - w^i_1 \rVert\big), \qquad
      G^i_t = G^i_{t-1} + \lVert g^i_t \rVert^2, \qquad
      w^i_{t+1} = w^i_t - \eta \frac{\bar r^i_t}{\sqrt{G^i_t}} g^i_t$$

    Args:
        learning_rate, reps_rel, epsilon, init_eta: as in `DoG`.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is added to the gradient, as in the
            authors' code.

    Memory: 4 bytes a parameter and 8 a variable.

    Source: Ivgi, Hinder and Carmon, arXiv 2302.12022, and the authors' implementation.

    Example:

    >>> import keras
    >>> w, b = keras.Variable([3.0, 4.0]), keras.Variable([1.0])
    >>> LDoG(reps_rel=0.1).apply([w, b], [w, b])       # the first steps have lengths 0.1 (1 + 5) and 0.1 (1 + 1)
    >>> keras.ops.convert_to_numpy(w).round(3), keras.ops.convert_to_numpy(b).round(3)
    (array([2.64, 3.52], dtype=float32), array([0.8], dtype=float32))
    """

    slots = ("start", "distance", "total")
    shared = {}  # the sums are slots

    def slot_shape(self, slot, shape):
        return shape if slot == "start" else ()

    def initial(self, slot):
        return self.epsilon if slot == "total" else 0.0

    def rule(self, g, w, s, t, lr, decay, each):
        g = decayed(g, w, decay)
        distance = self._distance(s.distance, each.norm(w - s.start), each.norm(s.start))
        total = s.total + each.sum(ops.square(g))
        size = self._step_size(t, lr, distance, total)
        return each.spread(size) * g, {"distance": distance, "total": total}
