"""Keras's own post-training quantization, on a copy of the model."""

import copy

import keras

from keras_dlopt.arguments import invalid

# Modes that need no more than their name.
KERAS_MODES = ("int8", "int4", "float8")


def quantized_by_keras(model, quantize):
    """A copy of `model` after `Model.quantize`.

    Args:
        model: a built Sequential or functional model.
        quantize: a mode's name, or a `keras.quantizers.QuantizationConfig`. The layers that a GPTQ or AWQ config lists
            are found in the copy by their names.
    """
    made = keras.models.clone_model(model)
    made.set_weights(model.get_weights())
    if isinstance(quantize, str):
        made.quantize(quantize)
        return made
    structure = getattr(quantize, "quantization_layer_structure", None)
    if structure is not None:
        quantize = copy.copy(quantize)
        quantize.quantization_layer_structure = keras.tree.map_structure(
            lambda layer: made.get_layer(layer.name), structure
        )
    elif quantize.mode in ("gptq", "awq"):
        raise invalid("export", "quantize", quantize, "a config with a quantization_layer_structure")
    made.quantize(config=quantize)
    return made


def layers_left_by_keras(model):
    """The layers with a kernel, of two axes or more, that `Model.quantize` left as they were."""
    left = []
    for layer in model._flatten_layers(include_self=False):
        kernels = [weight for weight in layer._trainable_variables if len(weight.shape) > 1]
        if kernels and not getattr(layer, "quantization_mode", None):
            left.append(f"`{layer.name}` ({type(layer).__name__})")
    return tuple(left)
