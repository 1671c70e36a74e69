"""A Keras 3 layer's twin in tf_keras: the same class, built from the part of the configuration that both know."""

import functools
import importlib
import inspect

import keras
import tf_keras
from keras import layers

# What tf_keras has no argument for and needs none: no effect on the outputs, or said by the weights.
WITHOUT_EFFECT = {"autocast", "flash_attention", "seed", "vocabulary_size", "use_cudnn"}
# Arguments that are functions of one tensor, with the same values under the same name in both.
SAME_ACTIVATIONS = {
    "elu",
    "exponential",
    "gelu",
    "linear",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
}


_CATEGORIES = {layers.Discretization: "int32", layers.IntegerLookup: "int64", layers.StringLookup: "int64"}


class NoTwin(Exception):
    """Why a layer cannot be rebuilt in tf_keras."""


@tf_keras.saving.register_keras_serializable("keras_dlopt")
class SpectralNormalization(tf_keras.layers.SpectralNormalization):
    """Without a specification of its input: tf_keras makes one of Keras 3's class, which it then refuses."""

    input_spec = property(lambda self: None, lambda self, value: None)


def twin_class(layer):
    """The tf_keras class of a built-in Keras 3 layer.

    Raises:
        NoTwin: for a layer that is not Keras's own, a `Lambda`, a random one, and where tf_keras has no such class.
    """
    kind = type(layer)
    if kind is layers.Lambda:
        raise NoTwin("its function may be any code; a built-in layer or a `keras.ops` call in its place can be bridged")
    if kind.__module__.startswith("keras.src.applications."):
        return getattr(importlib.import_module("tf_" + kind.__module__), kind.__name__)
    if kind is layers.SpectralNormalization:
        return SpectralNormalization
    if getattr(layers, kind.__name__, None) is not kind:
        raise NoTwin("no built-in layer of Keras")
    if kind.__name__.startswith("Random"):
        raise NoTwin("random: augment the data before the model")
    twin = getattr(tf_keras.layers, kind.__name__, None)
    if twin is None:
        raise NoTwin("tf_keras has no such layer")
    return twin


def convert(layer, name, convert_model):
    """Rebuilds one layer, not built yet.

    Args:
        layer: a Keras 3 layer that is not a model.
        name: name of the new layer.
        convert_model: called with a model that a wrapper such as `TimeDistributed` holds.

    Raises:
        NoTwin: if it cannot be.
    """
    twin = twin_class(layer)
    given = layer.get_config() | ADAPTED.get(type(layer), lambda _: {})(layer)
    accepted, defaults = _arguments(twin), _defaults(type(layer))
    config, lost = {}, {}
    for key, value in given.items():
        if key.endswith("_initializer") or key in WITHOUT_EFFECT:
            continue  # weights are copied
        if key == "dtype":
            value = _dtype(layer)
        elif key.endswith("activation"):
            value = _activation(value)
        elif key.endswith(("_regularizer", "_constraint")):
            value = _same_class(value, key)
        elif key == "cells":
            value = [convert(cell, cell.name, convert_model) for cell in layer.cells]
        elif key in ("layer", "backward_layer", "cell"):
            value = _held(layer, key, value, convert_model)
        if key in accepted:
            config[key] = value
        elif not _same(value, defaults.get(key)):
            lost[key] = value
    if lost:
        raise NoTwin("tf_keras knows nothing like " + ", ".join(f"{key}={value!r}" for key, value in lost.items()))
    return twin(**{**config, "name": name})


def _held(layer, key, value, convert_model):
    if value is None:
        return None
    held = getattr(layer, key, None)
    if not isinstance(held, keras.Layer):
        held = keras.saving.deserialize_keras_object(value)
    if isinstance(held, keras.Model):
        return convert_model(held)
    return convert(held, held.name, convert_model)


def _dtype(layer):
    if layer.quantization_mode is not None:
        raise NoTwin(f"quantized to {layer.quantization_mode}")
    if type(layer) is layers.TextVectorization:
        return "string"
    if type(layer) in (layers.Discretization, layers.IntegerLookup, layers.StringLookup):
        # What Keras 3 returns, whatever it is told.
        return _CATEGORIES[type(layer)] if layer.output_mode == "int" else keras.config.floatx()
    return layer.dtype_policy.name


def _activation(value):
    """The name in tf_keras where both mean the same; else Keras 3's own function, which is TensorFlow code."""
    if value is None or value in (*SAME_ACTIVATIONS, "silu"):
        return "swish" if value == "silu" else value
    return _registered(keras.activations.get(value))


@functools.cache
def _registered(activation):
    # tfmot clones layers from their configurations, which hold functions by their registered names.
    @tf_keras.saving.register_keras_serializable("keras_dlopt", f"keras3_{getattr(activation, '__name__', activation)}")
    def call(x):
        return activation(x)

    call.__name__ = f"keras3_{getattr(activation, '__name__', 'activation')}"
    return call


def _same_class(value, key):
    """A regularizer or constraint of tf_keras, by Keras 3's name and configuration."""
    if value is None:
        return None
    module = tf_keras.regularizers if key.endswith("_regularizer") else tf_keras.constraints
    kind = getattr(module, value["class_name"], None)
    if kind is None:
        raise NoTwin(f"tf_keras has no {key.rpartition('_')[2]} {value['class_name']}")
    return kind(**value["config"])


def _vocabulary(layer):
    words = layer.get_vocabulary(include_special_tokens=False)
    return {"vocabulary": [word.item() if hasattr(word, "item") else word for word in words]}


def _alpha(layer):
    return {"alpha": layer.negative_slope, "negative_slope": _defaults(layers.LeakyReLU)["negative_slope"]}


# Arguments that are named differently, or that lie in the layer's state.
ADAPTED = {
    # Fused, it would keep the variance as n / (n - 1) of what Keras 3 keeps.
    layers.BatchNormalization: lambda layer: {"fused": False},
    layers.LeakyReLU: _alpha,
    layers.StringLookup: _vocabulary,
    layers.IntegerLookup: _vocabulary,
    layers.TextVectorization: _vocabulary,
}


def _arguments(kind):
    """Names that the constructor takes, through its base classes as far as they hand keywords on."""
    names = {"name", "trainable", "dtype"}
    if issubclass(kind, tf_keras.layers.RNN):
        names.add("zero_output_for_mask")  # taken out of the keywords there
    for base in kind.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {parameter.name for parameter in parameters}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names


def _defaults(kind):
    values = {}
    for base in kind.__mro__:
        if "__init__" in vars(base):
            for parameter in inspect.signature(base.__init__).parameters.values():
                values.setdefault(parameter.name, parameter.default)
    return values


def _same(value, default):
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        return list(value) == list(default)
    return value is None or value is False or value == default or (value == "channels_last" and default is None)
