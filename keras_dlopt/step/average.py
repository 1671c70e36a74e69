"""The mean of the weights over the steps of training, kept inside the step."""

import keras
from keras import ops

from keras_dlopt.step.observer import Observer


class Average(Observer):
    r"""Keeps the mean of the trainable weights after every update from update `begin` on.

    With $t$ weights in the mean already, the next ones enter as

    $$a \leftarrow a + r_t (w - a), \qquad r_t = \frac{1}{t + 1}
      \quad\text{or}\quad r_0 = 1,\; r_t = 1 - \min\left(d, \frac{1 + t}{10 + t}\right),$$

    the equal mean, and the exponential mean of decay $d$, whose decay starts low so that early weights are soon
    forgotten. What is no update (accumulated or skipped batches) does not count.

    Args:
        begin: number of updates that are left out.
        decay: $d$ in [0, 1); `None` is the equal mean.

    Attributes:
        swapped: whether the mean has the weights' place.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import step
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.25), "mse")
    >>> average = step.Average()
    >>> step.attach(model.optimizer, average, model)
    >>> _ = model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, verbose=0)  # weights 0.5, 0.75
    >>> average.swap()
    >>> float(model.get_weights()[0][0, 0])
    0.625
    """

    def __init__(self, begin=0, decay=None):
        self.begin, self.decay, self.swapped = begin, decay, False

    def build(self, optimizer, variables):
        self.weights = list(variables)
        self.averages = []
        for weight in self.weights:
            dtype = keras.backend.result_type(weight.dtype, "float32")
            self.averages.append(self.add_variable(weight.shape, dtype, name="average"))
        self.updates = self.add_variable((), "int32", name="updates")
        self.number = self.add_variable((), "int32", name="number")

    def before_apply(self, gradients, variables):
        self.carry.iterations = ops.cast(self.optimizer.iterations, "int32")
        return gradients

    def after_apply(self, gradients, variables):
        moved = ops.cast(self.optimizer.iterations, "int32") > self.carry.iterations
        updates, number = ops.convert_to_tensor(self.updates), ops.convert_to_tensor(self.number)
        enters = ops.logical_and(moved, updates >= self.begin)
        t = ops.cast(number, "float32")
        if self.decay is None:
            rate = 1 / (t + 1)
        else:
            rate = ops.where(number == 0, 1.0, 1 - ops.minimum(self.decay, (1 + t) / (10 + t)))
        for average, weight in zip(self.averages, self.weights, strict=True):
            old = ops.convert_to_tensor(average)
            new = old + ops.cast(rate, average.dtype) * (ops.cast(weight, average.dtype) - old)
            self.assign(average, ops.where(enters, new, old))
        self.assign(self.updates, updates + ops.cast(moved, "int32"))
        self.assign(self.number, number + ops.cast(enters, "int32"))

    def has_any(self):
        """Whether there are weights in the mean."""
        return int(ops.convert_to_numpy(self.number)) > 0

    def swap(self):
        """Exchanges the mean and the weights, between steps."""
        self.swapped = not self.swapped
        placed = []
        for average, weight in zip(self.averages, self.weights, strict=True):
            mean, now = ops.convert_to_numpy(average), ops.convert_to_numpy(weight)
            average.assign(ops.cast(now, average.dtype))
            weight.assign(ops.cast(mean, weight.dtype))
            placed.append(ops.convert_to_numpy(weight).tobytes() if self.swapped else None)
        self._placed = placed

    def is_in_place(self):
        """Whether the weights are the mean that `swap` has put there, and no others that were loaded since."""
        return self.swapped and self._placed == [ops.convert_to_numpy(weight).tobytes() for weight in self.weights]
