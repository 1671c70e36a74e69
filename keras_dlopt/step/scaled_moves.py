"""Weights that move by a part of what the optimizer would have moved them."""

from keras import ops

from keras_dlopt.step.observer import Observer


class ScaledMoves(Observer):
    r"""Replaces an update $w \to w + \Delta$ of some weights by $w \to w + f(t) \Delta$.

    For a learning rate of their own, under any optimizer; what the optimizer remembers is left alone. Weight decay is a
    part of the update.

    Args:
        factors: pairs of a list of weights and a pure function `calls of the optimizer before this one -> factor`. The
            factor 1 leaves an update as it is.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import step
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> step.attach(model.optimizer, step.ScaledMoves([(model.weights, lambda t: 0.5)]), model)
    >>> _ = model.fit(np.ones((1, 1)), np.ones((1, 1)), verbose=0)
    >>> float(model.get_weights()[0][0, 0])                            # not 1.0
    0.5
    """

    def __init__(self, factors):
        self.factors = [(list(weights), factor) for weights, factor in factors]

    def before_apply(self, gradients, variables):
        moving = {id(v) for g, v in zip(gradients, variables, strict=True) if g is not None}
        self.carry.calls = ops.cast(self.optimizer._iterations, "int32")  # a tensor: the variable will have moved on
        self.carry.before = [
            (weight, ops.copy(ops.convert_to_tensor(weight)), factor)
            for weights, factor in self.factors
            for weight in weights
            if id(weight) in moving
        ]
        return gradients

    def after_apply(self, gradients, variables):
        for weight, before, factor in self.carry.before:
            now = ops.convert_to_tensor(weight)
            f = ops.cast(factor(self.carry.calls), before.dtype)
            self.assign(weight, ops.where(ops.equal(f, 1), now, before + f * (now - before)))
        self.carry.before = None
