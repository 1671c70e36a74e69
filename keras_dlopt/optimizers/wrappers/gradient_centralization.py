"""Gradient centralization."""

from keras import ops

from keras_dlopt.optimizers.wrappers.layouts import input_axes
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper


class GradientCentralization(Wrapper):
    r"""Takes from the gradient of each output unit's weights their mean, so that they sum to 0.

    $$\hat g_{i, o} = g_{i, o} - \frac{1}{n} \sum_{j=1}^{n} g_{j, o}$$

    The output unit $o$ is the last axis, as Keras lays out dense and convolution kernels (torch has it first), and for
    the query, key and value kernels of MultiHeadAttention the last two. Biases and gains are left as they are.

    Args:
        optimizer: the optimizer that gets the changed gradients, ours or Keras's.
        name: name of this wrapper.

    Memory: none.

    Source: Yong et al., arXiv 2004.01461.

    Example:

    >>> import keras
    >>> w = keras.Variable([[0.0], [0.0]])
    >>> gradient = keras.ops.convert_to_tensor([[1.0], [3.0]])
    >>> GradientCentralization(keras.optimizers.SGD(0.5)).apply([gradient], [w])
    >>> keras.ops.convert_to_numpy(w)
    array([[ 0.5],
           [-0.5]], dtype=float32)
    """

    def make_state(self, variables):
        self._axes = [input_axes(v) for v in variables]

    def transform(self, gradients, variables):
        axes = self.pick(self._axes, variables)
        return [
            g - ops.mean(g, axis=axis, keepdims=True) if axis else g for g, axis in zip(gradients, axes, strict=True)
        ]
