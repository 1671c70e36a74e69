"""Calls of `keras.ops` in a functional model's graph, as layers of tf_keras."""

import keras
import tf_keras

from keras_dlopt.compress.bridge.layers import SAME_ACTIVATIONS

# Operations that are a layer there, which tfmot knows, between tensors of one shape: it broadcasts by other rules.
MERGES = {"Add", "Subtract", "Multiply", "Maximum", "Minimum"}


def convert(node, tensors, name):
    """Calls the layer that computes one node.

    Args:
        node: a node of the Keras 3 graph whose operation is no layer.
        tensors: maps the `id` of the node's Keras 3 tensors to tensors of tf_keras.
        name: name of the new layer.

    Returns:
        The tf_keras tensors that it makes.
    """
    kind = type(node.operation).__name__
    args, kwargs = node.arguments.fill_in(tensors)
    shapes = {tensor.shape for tensor in node.input_tensors}
    if kind in MERGES and len(node.input_tensors) == 2 and len(shapes) == 1 and not kwargs:
        return getattr(tf_keras.layers, kind)(name=name)(list(args))
    if kind.lower() in SAME_ACTIVATIONS - {"gelu", "softmax", "elu"}:  # these three have arguments
        return tf_keras.layers.Activation(kind.lower(), name=name)(*args)
    reads = list({id(tensor): None for tensor in node.input_tensors})
    return KerasOperation(Held(node, reads), name=name)([tensors[read] for read in reads])


class Held:
    """A node, kept as it is where tf_keras and tfmot copy a layer's configuration."""

    def __init__(self, node, reads):
        self.node, self.reads = node, reads

    def __deepcopy__(self, memo):
        return self


@tf_keras.saving.register_keras_serializable("keras_dlopt")
class KerasOperation(tf_keras.layers.Layer):
    """Runs an operation of Keras 3, which on this backend is TensorFlow code, with its arguments in the graph."""

    def __init__(self, held, **kwargs):
        super().__init__(**kwargs)
        self._held = held

    def call(self, tensors):
        tensors = tensors if isinstance(tensors, list | tuple) else [tensors]
        made = dict(zip(self._held.reads, tensors, strict=True))
        args, kwargs = self._held.node.arguments.fill_in(made)
        return keras.tree.map_structure(keras.ops.convert_to_tensor, self._held.node.operation.call(*args, **kwargs))

    def get_config(self):
        return {**super().get_config(), "held": self._held}
