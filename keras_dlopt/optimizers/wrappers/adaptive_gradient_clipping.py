"""Adaptive gradient clipping."""

import re

from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.executor.hyperparameters import Name, Positive
from keras_dlopt.optimizers.wrappers import replicas
from keras_dlopt.optimizers.wrappers.layouts import input_axes
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper


class AdaptiveGradientClipping(Wrapper):
    r"""Clips the gradient of each output unit relative to the norm of its weights.

    $$\hat g_o = g_o \cdot
    \min\!\left(1,\; \lambda\, \frac{\max(\lVert w_o \rVert, \epsilon)}{\lVert g_o \rVert}\right)$$

    The weights of a unit $o$ run over all axes but the last, and for the query, key and value kernels of
    MultiHeadAttention over the first; a bias or gain is one unit. The paper leaves the last layer unclipped: pass its
    name as `exclude`.

    Args:
        optimizer: the optimizer that gets the clipped gradients, ours or Keras's.
        clipping: lambda, the largest ratio of the two norms, > 0. Smaller for larger batches; 0.01 at 4096.
        epsilon: > 0, what counts as the norm of weights that are smaller, such as those that start at 0.
        exclude: pattern; variables in whose `path` it is found are not clipped. `None` clips all.
        name: name of this wrapper.

    Memory: none.

    Source: Brock, De, Smith and Simonyan, arXiv 2102.06171 (NFNets).

    Example:

    >>> import keras
    >>> w, gradient = keras.Variable([[3.0], [4.0]]), keras.ops.convert_to_tensor([[10.0], [0.0]])
    >>> AdaptiveGradientClipping(keras.optimizers.SGD(1.0), clipping=0.2).apply([gradient], [w])
    >>> keras.ops.convert_to_numpy(w)                                  # a norm of 5 allows a gradient of norm 1
    array([[2.],
           [4.]], dtype=float32)
    """

    clipping: Positive = 0.01
    epsilon: Positive = 1e-3
    exclude: Name | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        try:
            re.compile(self.exclude or "")
        except re.error as error:
            raise invalid(type(self).__name__, "exclude", self.exclude, f"a regular expression ({error})") from None

    def make_state(self, variables):
        def axes(variable):
            if self.exclude and re.search(self.exclude, variable.path):
                return None
            return input_axes(variable) or tuple(range(len(variable.shape)))

        self._axes = [axes(v) for v in variables]

    def transform(self, gradients, variables):
        triples = zip(gradients, variables, self.pick(self._axes, variables), strict=True)
        return [g if axes is None else self._clip(g, replicas.read(v), axes) for g, v, axes in triples]

    def _clip(self, gradient, weight, axes):
        largest = self.clipping * ops.maximum(_norm(weight, axes), self.epsilon)
        norm = _norm(gradient, axes)
        # As the authors' code: where nothing is to be clipped, the gradient keeps its bits.
        factor = ops.cast(largest / ops.maximum(norm, 1e-6), gradient.dtype)
        return ops.where(norm > largest, gradient * factor, gradient)


def _norm(tensor, axes):
    return ops.sqrt(ops.sum(ops.square(ops.cast(tensor, "float32")), axis=axes, keepdims=True))
