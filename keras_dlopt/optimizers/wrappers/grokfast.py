"""Grokfast."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import NonNegative, UnitInterval
from keras_dlopt.optimizers.wrappers import replicas
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper


class Grokfast(Wrapper):
    r"""Amplifies the slow part of the gradient, which shortens the wait until a model generalizes ("grokking").

    $$\mu_t = \alpha \mu_{t-1} + (1 - \alpha) g_t, \qquad \mu_1 = g_1, \qquad \hat g_t = g_t + \lambda \mu_t$$

    As the gradient becomes up to $1 + \lambda$ times as large, a smaller learning rate may serve optimizers that do
    not normalize it.

    Args:
        optimizer: the optimizer that gets the changed gradients, ours or Keras's.
        alpha: decay of the gradient's average, in [0, 1).
        lamb: lambda, how much of the average is added, >= 0.
        name: name of this wrapper.

    Memory: 4 bytes a parameter.

    Source: Lee et al., arXiv 2405.20233; the authors' `gradfilter_ema`.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0])
    >>> Grokfast(keras.optimizers.SGD(0.25), lamb=1.0).apply([w], [w])     # the first gradient counts twice
    >>> keras.ops.convert_to_numpy(w)
    array([0.5], dtype=float32)
    """

    alpha: UnitInterval = 0.98
    lamb: NonNegative = 2.0

    def make_state(self, variables):
        self._average = self.add_copies(variables, "average")
        self._steps = self.add_variable((), dtype="int32", name="steps")

    def transform(self, gradients, variables):
        average, steps = self.pick(self._average, variables), replicas.read(self._steps)
        new = []
        for variable, gradient in zip(average, gradients, strict=True):
            g, old = ops.cast(gradient, variable.dtype), replicas.read(variable)
            new.append(ops.where(ops.equal(steps, 0), g, old + (1 - self.alpha) * (g - old)))
        replicas.write([*average, self._steps], [*new, steps + 1])
        return [g + ops.cast(self.lamb * mu, g.dtype) for g, mu in zip(gradients, new, strict=True)]
