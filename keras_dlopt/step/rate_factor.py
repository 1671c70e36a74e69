"""A factor on the learning rate that lives together with a schedule."""

import keras
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.step.follow import Follow
from keras_dlopt.step.observer import Observer
from keras_dlopt.step.seam import observers


class RateFactor(Observer):
    """Multiplies the learning rate by a factor that may be lowered during the run.

    Where a `Follow` writes the learning rate before every step, the factor multiplies what it wrote: attach this one
    after it. Where none does, lowering the factor lowers the learning rate once.

    Args:
        where: name of what the user called, for messages.
        optimizer: the optimizer that `attach` will be given.
        least: the learning rate is not brought below this. Defaults to 0.

    Raises:
        ValueError: if the optimizer's learning rate is no number but a schedule of Keras's.
    """

    def __init__(self, where, optimizer, least=0.0):
        self.least = least
        check_rate_is_number(where, optimizer)

    def build(self, optimizer, variables):
        self.factor = self.add_variable((), initializer="ones", name="rate_factor")

    def before_apply(self, gradients, variables):
        if followed(self.optimizer):
            rate = self.optimizer._learning_rate
            self.assign(rate, self._lowered(rate, ops.convert_to_tensor(self.factor)))
        return gradients

    def lower(self, by):
        """Multiplies the factor, between steps."""
        self.factor.assign(ops.convert_to_tensor(self.factor) * by)
        if not followed(self.optimizer):
            rate = self.optimizer._learning_rate
            rate.assign(self._lowered(rate, by))

    def latest(self):
        """The learning rate used last."""
        return float(ops.convert_to_numpy(self.optimizer._learning_rate))

    def _lowered(self, rate, by):
        rate = ops.convert_to_tensor(rate)
        return ops.maximum(rate * by, ops.minimum(rate, ops.cast(self.least, rate.dtype)))


def followed(optimizer):
    """Whether a `Follow` writes the learning rate before every step."""
    return any(isinstance(other, Follow) and other.of == "learning_rate" for other in observers(optimizer))


def check_rate_is_number(where, optimizer):
    """Raises `ValueError` if the learning rate of `optimizer` is a schedule of Keras's, which nobody can write to."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner._learning_rate, keras.Variable):
        accepted = "one whose learning rate is a number; let a schedule callback change it"
        raise invalid(where, "optimizer", optimizer, accepted)
