"""Keras's own post-training quantization, on a copy of the model."""

import keras

from keras_dlopt.arguments import invalid

# Without GPTQ and AWQ: Keras 3.15 leaves their zero points out of the file, which then does not load.
KERAS_MODES = ("int8", "int4", "float8")


def quantized_by_keras(model, quantize):
    """A copy of `model` after `Model.quantize`.

    Args:
        model: a built Sequential or functional model.
        quantize: one of `KERAS_MODES`, or a `keras.quantizers.QuantizationConfig` of one.
    """
    config = quantize if isinstance(quantize, keras.quantizers.QuantizationConfig) else None
    if (config.mode if config else quantize) not in KERAS_MODES:
        accepted = f"one of {', '.join(map(repr, KERAS_MODES))}, or a config of one, for a file that ends in .keras"
        raise invalid("export", "quantize", quantize, accepted)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.quantize(None if config else quantize, config=config)
    return copy


def layers_left_by_keras(model):
    """The layers with a kernel, of two axes or more, that `Model.quantize` left as they were."""
    left = []
    for layer in model._flatten_layers(include_self=False):
        kernels = [weight for weight in layer._trainable_variables if len(weight.shape) > 1]
        if kernels and not getattr(layer, "quantization_mode", None):
            left.append(f"`{layer.name}` ({type(layer).__name__})")
    return tuple(left)
