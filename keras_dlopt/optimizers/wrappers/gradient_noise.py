"""Gradient noise."""

import random
from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hashed_normal import normal
from keras_dlopt.optimizers.executor.hyperparameters import NonNegative, Range
from keras_dlopt.optimizers.wrappers import replicas
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper

Seed = Annotated[int, Range(0, 2**31 - 1, integer=True)]


class GradientNoise(Wrapper):
    r"""Adds normal noise to the gradient, less and less of it.

    $$\hat g_t = g_t + \mathcal N(0, \sigma_t^2), \quad \sigma_t^2 = \frac{\eta}{(1 + t)^\gamma}, \; t = 0, 1, \dots$$

    The noise of a step follows from seed and step, and is the same on every replica: training that goes on from a file
    sees what it would have seen.

    Args:
        optimizer: the optimizer that gets the noisy gradients, ours or Keras's.
        eta: variance of the noise in the first step, >= 0; the paper tries 0.01, 0.3 and 1.
        gamma: how fast the variance falls, >= 0.
        seed: whole number >= 0; `None` draws one.
        name: name of this wrapper.

    Memory: none.

    Source: Neelakantan et al., arXiv 1511.06807.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros(10_000))
    >>> GradientNoise(keras.optimizers.SGD(1.0), eta=0.25, seed=1).apply([keras.ops.zeros(10_000)], [w])
    >>> round(float(keras.ops.std(w)), 1)
    0.5
    """

    eta: NonNegative = 0.01
    gamma: NonNegative = 0.55
    seed: Seed | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.seed is None:
            self.seed = random.randint(0, 2**31 - 1)

    def make_state(self, variables):
        self._steps = self.add_variable((), dtype="int32", name="steps")

    def transform(self, gradients, variables):
        steps = replicas.read(self._steps)
        sigma = ops.sqrt(self.eta / ops.power(1.0 + ops.cast(steps, "float32"), self.gamma))
        replicas.write([self._steps], [steps + 1])
        indices = [self._get_variable_index(v) for v in variables]
        return [
            g + ops.cast(sigma * normal(g.shape, steps, self.seed, i), g.dtype)
            for g, i in zip(gradients, indices, strict=True)
        ]
