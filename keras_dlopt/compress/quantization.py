"""Quantization-aware training for Keras 3: which layers, where values are rounded, and the rewrite of the graph."""

import keras
from keras import layers

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.fake_quant import (
    FakeQuant,
    QuantizeAwareConv1D,
    QuantizeAwareConv2D,
    QuantizeAwareDense,
    QuantizeAwareDepthwiseConv2D,
)

# Layers with a kernel, and what replaces them.
KERNEL_LAYERS = {
    layers.Dense: QuantizeAwareDense,
    layers.Conv1D: QuantizeAwareConv1D,
    layers.Conv2D: QuantizeAwareConv2D,
    layers.DepthwiseConv2D: QuantizeAwareDepthwiseConv2D,
}
CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D)

# Layers whose output lies within the range of their input: LiteRT gives both the same scale, so nothing is rounded.
SAME_RANGE = {
    layers.ActivityRegularization,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Dropout,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.Permute,
    layers.Reshape,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.UpSampling2D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
}

# Layers whose output needs a range of its own.
NEW_RANGE = {
    layers.Activation,
    layers.Add,
    layers.BatchNormalization,
    layers.Concatenate,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.LeakyReLU,
    layers.Multiply,
    layers.ReLU,
    layers.Softmax,
}

# Activations that LiteRT computes inside the operation before them.
FUSED = {"linear", "relu", "relu6"}
# Activations whose int8 output has a range that LiteRT prescribes.
PRESCRIBED = {"softmax": (0.0, 255 / 256), "sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}


def quantize_aware(model):
    """A copy of a trained model that computes as its 8-bit integer version will, ready for fine-tuning.

    Kernels are rounded to 255 symmetric levels, with one scale a filter for convolutions and one scale a kernel for
    `Dense`; activations to 256 levels over a range learned while training. Nothing is rounded inside what LiteRT
    computes as one operation: convolution -> BatchNormalization -> ReLU, `Dense` -> ReLU, `Add` -> ReLU. Zero is a
    level: weights that are pruned stay zero (`callbacks.Prune.keep()` keeps them so while training).

    Train the copy for a few epochs with a small learning rate, then `export(copy, "model.tflite", int8=True)`.

    Args:
        model: a built Sequential or functional model in float32, without nested models. Its weights are copied; it is
            not changed.

    Returns:
        A functional `keras.Model` whose layers keep their names, not compiled. It saves and loads as `.keras`.

    Raises:
        ValueError: naming each layer, with its type, that has no 8-bit form here.

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
        arXiv 1712.05877.

    Example:

    >>> import keras
    >>> from keras_dlopt import compress
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu", name="hidden")])
    >>> [layer.name for layer in compress.quantize_aware(model).layers[1:]]
    ['input_range', 'hidden', 'hidden_range']
    """
    graph = _checked_graph(model)
    readers, makers = graphs.consumers(graph), graphs.producers(graph)
    clones, ranges = {}, {}

    def rounded(tensor, after, limits=None):
        count = ranges[after] = ranges.get(after, 0) + 1
        name = f"{after}_range" if count == 1 else f"{after}_range_{count}"
        return FakeQuant(limits=limits, name=name)(tensor)

    def convert(node, args, kwargs):
        layer = node.operation
        activation, name = _activation_of(layer), layer.name
        # An activation that is an operation of its own in LiteRT needs a range on both sides.
        apart = type(layer) in KERNEL_LAYERS and activation not in FUSED
        if layer not in clones:
            clones[layer] = _clone(layer, without_activation=apart)
        outputs = clones[layer](*args, **kwargs)
        if apart:
            outputs = rounded(outputs, after=name)
            name = f"{name}_{activation}"
            outputs = layers.Activation(layer.activation, name=name)(outputs)
        if activation in PRESCRIBED:
            return rounded(outputs, after=name, limits=PRESCRIBED[activation])
        if type(layer) in SAME_RANGE or _computed_with_next(node, readers):
            return outputs
        return rounded(outputs, after=name)

    _check_normalizations(model, graph, makers, readers)
    rewritten = graphs.rebuild(graph, lambda tensor: rounded(tensor, after="input"), convert, name=model.name)
    for layer, copy in clones.items():
        copy.set_weights(layer.get_weights())
    return rewritten


def fake_quant_layers(model):
    """The layers of `model` that hold activation ranges; none means it is not quantization-aware."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, FakeQuant)]


def _clone(layer, without_activation):
    config = layer.get_config()
    if without_activation:
        config["activation"] = "linear"
    return KERNEL_LAYERS.get(type(layer), type(layer)).from_config(config)


def _activation_of(layer):
    """Name of the activation that a layer applies: "linear" for none."""
    if type(layer) is layers.ReLU:
        return "relu" if layer.max_value is None else f"relu{layer.max_value:g}"
    if type(layer) is layers.Softmax:
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _computed_with_next(node, readers):
    """Whether LiteRT computes this node and its only reader as one operation."""
    reading = readers.get(id(node.outputs[0]), [])
    if len(reading) != 1 or reading[0] is None or _activation_of(node.operation) != "linear":
        return False
    layer, reader = node.operation, reading[0].operation
    if type(layer) in CONVOLUTIONS and type(reader) is layers.BatchNormalization:
        return True
    activates = type(reader) in (layers.ReLU, layers.Activation) and _activation_of(reader) in FUSED
    return activates and type(layer) in (*CONVOLUTIONS, layers.Dense, layers.BatchNormalization, layers.Add)


def _checked_graph(model):
    if not isinstance(model, keras.Model):
        raise invalid("quantize_aware", "model", model, "a keras.Model")
    graph = graphs.functional(model)
    if graph is None:
        raise invalid(
            "quantize_aware", "model", model, "a built Sequential or functional model (others have no graph to rewrite)"
        )
    quantized = [layer.name for layer in graph.layers if isinstance(layer, (FakeQuant, *KERNEL_LAYERS.values()))]
    if quantized:
        raise invalid("quantize_aware", "model", model, f"a model that is not quantized yet, as `{quantized[0]}` is")
    refused = {node.operation.name: _refusal(node.operation) for node in graphs.nodes(graph)}
    _raise_refused(model, {name: reason for name, reason in refused.items() if reason})
    return graph


def _check_normalizations(model, graph, makers, readers):
    refused = {}
    for node in graphs.nodes(graph):
        if type(node.operation) is layers.BatchNormalization:
            before = makers.get(id(node.input_tensors[0]))
            if before is None or type(before.operation) not in CONVOLUTIONS or not _computed_with_next(before, readers):
                refused[node.operation.name] = (
                    "BatchNormalization that does not follow a convolution without activation"
                )
    _raise_refused(model, refused)


def _raise_refused(model, refused):
    if refused:
        names = {}
        for name, reason in refused.items():
            names.setdefault(reason, []).append(f"`{name}`")
        listed = "; ".join(f"{reason}: {_shown(found)}" for reason, found in names.items())
        raise invalid(
            "quantize_aware", "model", model, f"made of layers with an 8-bit form, which these lack: {listed}"
        )


def _shown(names):
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _refusal(layer):
    """Why a layer cannot be quantized, or `None`."""
    kind = type(layer).__name__
    if not isinstance(layer, keras.Layer):
        return f"operation {kind}, which is no layer"
    if isinstance(layer, keras.Model):
        return f"{kind}, a model inside the model"
    if not any(type(layer) in known for known in (KERNEL_LAYERS, SAME_RANGE, NEW_RANGE)):
        return kind
    if layer.compute_dtype != "float32":
        return f"{kind} that computes in {layer.compute_dtype}"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return f"{kind} with a quantized or LoRA kernel"
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        return f"{kind} with channels_first data"
    if type(layer) is layers.ReLU and (layer.negative_slope or layer.threshold):
        return f"{kind} with a negative slope or a threshold"
    if type(layer) is layers.Softmax and layer.axis != -1:
        return f"{kind} over axis {layer.axis}"
    if _activation_of(layer) not in FUSED | set(PRESCRIBED):
        return f"{kind} with activation {_activation_of(layer)}"
    return None
