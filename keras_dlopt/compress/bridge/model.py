"""Whole models across the bridge."""

import dataclasses

import keras
import tf_keras

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.bridge import layers, operations, weights

NATIVELY = 'Without the bridge, `engine="native"` (callbacks.Prune, compress.quantize_aware, compress.cluster)'


def to_tf_keras(model):
    """A tf_keras model with the same layers, names, wiring and weights.

    Every built-in layer with a twin in tf_keras crosses, models inside models, shared layers and calls of `keras.ops`
    too. Where the two libraries compute differently under one name (`hard_sigmoid`, the slope of `LeakyReLU`), the
    twin computes as Keras 3 does. Regularizers and constraints cross, initializers do not: the weights are there.

    Args:
        model: a built Sequential or functional `keras.Model`; it is not changed. A tf_keras model is returned as it is.

    Returns:
        A `tf_keras.Sequential` for a Sequential model, else a functional `tf_keras.Model`; not compiled.

    Raises:
        ValueError: naming every layer that cannot cross, its type, why, and what to do natively.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt.compress import bridge
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="hard_sigmoid")])
    >>> twin = bridge.to_tf_keras(model)
    >>> x = np.ones((2, 4), "float32")
    >>> bool(np.allclose(twin(x), model(x), atol=1e-6))
    True
    """
    return model if isinstance(model, tf_keras.Model) else _checked(model, "to_tf_keras").nested(model)


def to_keras(twin, like):
    """A copy of a Keras 3 model with the weights of its tf_keras twin.

    Args:
        twin: what `to_tf_keras(like)` returned, after training.
        like: the Keras 3 model; it is not changed.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        ValueError: if `twin` lacks one of the layers.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt.compress import bridge
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> twin = bridge.to_tf_keras(model)
    >>> twin.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
    >>> float(bridge.to_keras(twin, model)(keras.ops.ones((1, 2)))[0, 0])
    6.0
    """
    if not isinstance(twin, tf_keras.Model):
        raise invalid("to_keras", "twin", twin, "a tf_keras.Model")
    _check_model(like, "to_keras")
    copy = keras.models.clone_model(like)
    _copy_back(twin, copy)
    return copy


def _copy_back(twin, model):
    for layer in model.layers:
        if not layer.weights:
            continue
        try:
            other = twin.get_layer(layer.name)
        except ValueError:
            raise invalid("to_keras", "twin", twin, f"a model with the layer `{layer.name}` of `like`") from None
        if isinstance(layer, keras.Model):
            _copy_back(other, layer)
        else:
            weights.to_keras(other, layer)


@dataclasses.dataclass
class Flat:
    """A tf_keras model without models inside, for tfmot: it looks into none.

    Attributes:
        model: the functional `tf_keras.Model`.
        layers: maps the name of each of its layers to the Keras 3 layer that it is the twin of.
    """

    model: tf_keras.Model
    layers: dict


def flatten(model, where):
    """Takes a Keras 3 model across, with the layers of models inside it put in their place.

    Layers are called by their path and the ending `_`: tfmot makes layers of its own whose names must be free.
    """
    crossing = _checked(model, where)
    graph = graphs.functional(model)
    inputs = _inputs(graph)
    outputs = crossing.walk(graph, inputs, prefix="", flat=True)
    twin = tf_keras.Model(*_packed(graph, inputs, outputs), name=model.name)
    crossing.copy_weights()
    return Flat(twin, {twin.name: layer for layer, twin in crossing.made.values()})


class _Crossing:
    """One conversion. Layers that are used twice are made once."""

    def __init__(self):
        self.made = {}  # id of the Keras 3 layer -> (layer, twin)

    def nested(self, model):
        """The twin of a model, models inside it staying models."""
        if id(model) in self.made:
            return self.made[id(model)][1]
        graph = graphs.functional(model)
        inputs = _inputs(graph)
        outputs = self.walk(graph, inputs)
        sequential = isinstance(model, keras.Sequential)
        if sequential:
            parts = [self.made[id(layer)][1] for layer in model.layers]
            twin = tf_keras.Sequential([tf_keras.layers.InputLayer(input_tensor=inputs[0]), *parts], name=model.name)
        else:
            twin = tf_keras.Model(*_packed(graph, inputs, outputs), name=model.name)
        self.copy_weights()
        if not model.trainable:
            twin.trainable = False  # the other way round it would set every layer's
        self.made[id(model)] = (model, twin)
        return twin

    def walk(self, graph, inputs, prefix="", flat=False):
        """Runs the graph on tf_keras tensors; returns the outputs."""
        tensors = {id(old): new for old, new in zip(graph.inputs, inputs, strict=True)}
        for node in graphs.nodes(graph):
            operation = node.operation
            name = f"{prefix}{operation.name}" + "_" * flat
            if not isinstance(operation, keras.Layer):
                outputs = operations.convert(node, tensors, name)
            else:
                args, kwargs = node.arguments.fill_in(tensors)
                if flat and isinstance(operation, keras.Model):
                    inner = graphs.functional(operation)
                    given = keras.tree.flatten(args[0])
                    outputs = self.walk(inner, given, f"{prefix}{operation.name}_", flat)
                else:
                    # Whatever `training` a layer was called with, Keras 3 replaces it when the model is called.
                    kwargs = {key: value for key, value in kwargs.items() if value is not None and key != "training"}
                    outputs = self._twin(operation, name)(*args, **kwargs)
            outputs = keras.tree.flatten(outputs)
            tensors.update((id(old), new) for old, new in zip(node.outputs, outputs, strict=True))
        return [tensors[id(tensor)] for tensor in graph.outputs]

    def _twin(self, layer, name):
        if isinstance(layer, keras.Model):
            return self.nested(layer)
        if id(layer) not in self.made:
            self.made[id(layer)] = (layer, layers.convert(layer, name, self.nested))
        return self.made[id(layer)][1]

    def copy_weights(self):
        for layer, twin in self.made.values():
            if not isinstance(layer, keras.Model):
                weights.to_tf_keras(layer, twin)


def _inputs(graph):
    return [
        tf_keras.Input(batch_shape=old.shape, dtype=old.dtype, name=old._keras_history.operation.name)
        for old in graph.inputs
    ]


def _packed(graph, inputs, outputs):
    return (
        keras.tree.pack_sequence_as(graph._inputs_struct, inputs),
        keras.tree.pack_sequence_as(graph._outputs_struct, outputs),
    )


def _check_model(model, where):
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"`{where}` needs Keras on the TensorFlow backend, as tf_keras has no other; this is "
            f"{keras.backend.backend()}. {NATIVELY} runs here."
        )
    if not isinstance(model, keras.Model):
        raise invalid(where, "model", model, "a keras.Model or a tf_keras.Model")
    if graphs.functional(model) is None:
        raise invalid(
            where,
            "model",
            model,
            f"a built Sequential or functional model: {type(model).__name__} `{model.name}` has no graph that could be "
            f"rebuilt in tf_keras. {NATIVELY} needs none",
        )


def _checked(model, where):
    _check_model(model, where)
    refused = _refused(graphs.functional(model))
    if refused:
        listed = "; ".join(f"{type(layer).__name__} `{layer.name}` ({reason})" for layer, reason in refused[:8])
        listed += f"; and {len(refused) - 8} more" if len(refused) > 8 else ""
        raise invalid(where, "model", model, f"made of layers that tf_keras has, unlike {listed}. {NATIVELY} takes it")
    return _Crossing()


def _refused(graph):
    """Layers that cannot cross, each with the reason, as far as the graph and its models go."""
    found = {}
    for node in graphs.nodes(graph):
        layer = node.operation
        if not isinstance(layer, keras.Layer) or id(layer) in found:
            continue
        if isinstance(layer, keras.Model):
            inner = graphs.functional(layer)
            reasons = [(layer, "a subclassed model, without a graph")] if inner is None else _refused(inner)
            found.update((id(part), (part, reason)) for part, reason in reasons)
            continue
        try:
            layers.convert(layer, layer.name, lambda held: _checked(held, "to_tf_keras").nested(held))
        except layers.NoTwin as error:
            found[id(layer)] = (layer, str(error))
    return list(found.values())
