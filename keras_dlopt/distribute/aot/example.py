"""The shapes of one batch, from a model or from an example of its data."""

import keras
from keras import tree

from keras_dlopt.arguments import invalid


def shapes(model, data):
    """One example's shapes: `data`'s own, or those of the model's inputs and of the targets its loss expects.

    Returns:
        What `fit` gets of a batch, `(x, y)` or `(x, y, sample_weight)`, with a pair (shape without the batch, dtype) in
        place of each array.
    """
    if data is not None:
        if not isinstance(data, tuple) or not 1 <= len(data) <= 3:
            raise invalid("preflight", "data", data, "a batch as `fit` gets it, (x, y) or (x, y, sample_weight)")
        return tree.map_structure(_of_array, tuple(data))
    graph = getattr(model, "_functional", None) or model  # of a Sequential
    if not hasattr(graph, "_inputs_struct"):
        accepted = f'a batch (x, y) to take the shapes from, for the inputs of "{model.name}" are not known'
        raise invalid("preflight", "data", None, accepted)
    x = tree.map_structure(lambda tensor: _fixed(model, tensor.shape[1:], tensor), graph._inputs_struct)
    targets = [_target(model, output, loss) for output, loss in zip(graph.outputs, _losses(model, graph), strict=True)]
    return x, _packed(graph._outputs_struct, iter(targets))


def _packed(structure, leaves):
    """`leaves` in the place of those of `structure`, in the order in which Keras flattens it."""
    if isinstance(structure, dict):
        packed = {key: _packed(structure[key], leaves) for key in sorted(structure)}
        return {key: packed[key] for key in structure}
    if isinstance(structure, list | tuple):
        return type(structure)(_packed(part, leaves) for part in structure)
    return next(leaves)


def batch_of(shapes, size):
    """`shapes` as symbolic tensors of `size` examples."""
    return _map(lambda shape, dtype: keras.KerasTensor((size, *shape), dtype), shapes)


def _map(function, shapes):
    if shapes is None:
        return None
    if isinstance(shapes, Leaf):
        return function(shapes.shape, shapes.dtype)
    if isinstance(shapes, dict):
        return {key: _map(function, value) for key, value in shapes.items()}
    return type(shapes)(_map(function, value) for value in shapes)


class Leaf:
    """Shape, without the batch, and dtype of one array."""

    def __init__(self, shape, dtype):
        self.shape = tuple(int(extent) for extent in shape)
        self.dtype = dtype

    def with_dtype(self, dtype):
        return Leaf(self.shape, dtype)


def _of_array(array):
    if array is None:
        return None
    return Leaf(array.shape[1:], keras.backend.standardize_dtype(array.dtype))


def _fixed(model, shape, tensor):
    if None in shape:
        known = f'"{tensor.name}" of "{model.name}" has shape {tuple(tensor.shape)}'
        raise invalid("preflight", "data", None, f"a batch (x, y): a TPU needs every length fixed, and {known}")
    return Leaf(shape, tensor.dtype)


def _losses(model, graph):
    loss = model.loss
    if isinstance(loss, dict):
        return [loss.get(name) for name in graph.output_names]
    return list(loss) if isinstance(loss, list | tuple) else [loss] * len(graph.outputs)


def _target(model, output, loss):
    if loss is None:
        return None
    name = getattr(loss, "name", None) or getattr(loss, "__name__", None) or str(loss)
    if "sparse" in name.lower():
        return _fixed(model, output.shape[1:-1], output).with_dtype("int32")
    return _fixed(model, output.shape[1:], output).with_dtype(keras.config.floatx())
