"""A learning rate that is multiplied inside the step, and nowhere else."""

from keras import ops

from keras_dlopt.step.observer import Observer


class ScaledRate(Observer):
    """Makes updates with a multiple of the learning rate, which is as before after each of them.

    It must be a number, see `check_rate_is_number`.

    Where a `Follow` writes the rate, attach this one after it.

    Args:
        factor: the multiple, >= 0.
    """

    def __init__(self, factor):
        self.factor = factor

    def before_apply(self, gradients, variables):
        self.carry.rate = ops.copy(ops.convert_to_tensor(self.optimizer._learning_rate))
        self.assign(self.optimizer._learning_rate, self.carry.rate * self.factor)
        return gradients

    def after_apply(self, gradients, variables):
        self.assign(self.optimizer._learning_rate, self.carry.rate)
        self.carry.rate = None
