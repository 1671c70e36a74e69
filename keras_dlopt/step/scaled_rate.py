"""A learning rate that is multiplied inside the step, and nowhere else."""

import keras
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.step.observer import Observer


class ScaledRate(Observer):
    """Makes updates with a multiple of the learning rate, which is as before after each of them.

    Where a `Follow` writes the rate, attach this one after it.

    Args:
        optimizer: the optimizer that `attach` will be given.
        factor: the multiple, >= 0.

    Raises:
        ValueError: if the optimizer's learning rate is no number but a schedule of Keras's.
    """

    def __init__(self, optimizer, factor):
        self.factor = factor
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if not isinstance(inner._learning_rate, keras.Variable):
            accepted = "one whose learning rate is a number; let a schedule callback change it"
            raise invalid("ScaledRate", "optimizer", optimizer, accepted)

    def before_apply(self, gradients, variables):
        self.carry.rate = ops.copy(ops.convert_to_tensor(self.optimizer._learning_rate))
        self.assign(self.optimizer._learning_rate, self.carry.rate * self.factor)
        return gradients

    def after_apply(self, gradients, variables):
        self.assign(self.optimizer._learning_rate, self.carry.rate)
        self.carry.rate = None
