"""Which operations have an 8-bit form, what computes it, and why others have none."""

import keras
from keras import layers

from keras_dlopt.compress.quantized_attention import (
    QuantizeAwareLayerNormalization,
    QuantizeAwareMultiHeadAttention,
)
from keras_dlopt.compress.quantized_layers import (
    QuantizeAwareConv1D,
    QuantizeAwareConv2D,
    QuantizeAwareDense,
    QuantizeAwareDepthwiseConv2D,
    QuantizeAwareEinsumDense,
    QuantizeAwareEmbedding,
    QuantizeAwareHardSigmoid,
    QuantizeAwareNormalization,
    QuantizeAwareRescaling,
    QuantizeAwareSilu,
)
from keras_dlopt.compress.quantized_lstm import QuantizeAwareLSTM

# Layers that are replaced. BatchNormalization is, where no convolution takes it in.
REPLACED = {
    layers.Conv1D: QuantizeAwareConv1D,
    layers.Conv2D: QuantizeAwareConv2D,
    layers.Dense: QuantizeAwareDense,
    layers.DepthwiseConv2D: QuantizeAwareDepthwiseConv2D,
    layers.EinsumDense: QuantizeAwareEinsumDense,
    layers.Embedding: QuantizeAwareEmbedding,
    layers.LSTM: QuantizeAwareLSTM,
    layers.LayerNormalization: QuantizeAwareLayerNormalization,
    layers.MultiHeadAttention: QuantizeAwareMultiHeadAttention,
    layers.Normalization: QuantizeAwareNormalization,
    layers.Rescaling: QuantizeAwareRescaling,
}
CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D)
# Layers whose `activation` is applied to what they compute.
ACTIVATED = (*CONVOLUTIONS, layers.Dense, layers.EinsumDense)

# Layers whose output has the scale of their input, their table or their last gate: nothing is rounded after them.
SAME_RANGE = {
    layers.ActivityRegularization,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Dropout,
    layers.Embedding,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.LSTM,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.Permute,
    layers.RepeatVector,
    layers.Reshape,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.UpSampling2D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
}

# Layers that stay as they are, and whose output needs a range of its own.
NEW_RANGE = {
    layers.Activation,
    layers.Add,
    layers.Average,
    layers.BatchNormalization,
    layers.Concatenate,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.LeakyReLU,
    layers.Multiply,
    layers.ReLU,
    layers.Softmax,
    layers.Subtract,
}

# The same for operations of `keras.ops`, by the name of their class.
SAME_RANGE_OPERATIONS = {"ExpandDims", "Flatten", "GetItem", "Max", "Reshape", "Squeeze", "Transpose"}
NEW_RANGE_OPERATIONS = {"Add", "Concatenate", "Matmul", "Mean", "Multiply", "Subtract"}
ACTIVATIONS = {
    "Gelu": "gelu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "LeakyRelu": "leaky_relu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softmax": "softmax",
    "Tanh": "tanh",
}

# Those of both that only move numbers, so that token ids stay what they are.
RESHAPES = {layers.Cropping1D, layers.Cropping2D, layers.Flatten, layers.Permute, layers.RepeatVector, layers.Reshape}
RESHAPE_OPERATIONS = SAME_RANGE_OPERATIONS - {"Max"}

# Activations that LiteRT computes inside the operation before them.
FUSED = {"linear", "relu", "relu6"}
# Activations whose int8 output has a range that is prescribed, or known.
PRESCRIBED = {
    "hard_sigmoid": (0.0, 1.0),
    "sigmoid": (0.0, 255 / 256),
    "softmax": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
}
# Activations that are operations of their own, with a range that is learned.
LEARNED = {"gelu", "hard_silu", "leaky_relu", "silu"}
# Activations of more than one integer operation.
COMPOUND = {"hard_sigmoid": QuantizeAwareHardSigmoid, "silu": QuantizeAwareSilu}


def function_of(operation):
    """Name of the `keras.ops` class that an operation is; `None` for a layer."""
    return None if isinstance(operation, keras.Layer) else type(operation).__name__


def activation_of(operation):
    """Name of the activation that an operation applies: "linear" for none."""
    if type(operation) is layers.ReLU:
        return "relu" if operation.max_value is None else f"relu{operation.max_value:g}"
    if type(operation) is layers.Softmax:
        return "softmax"
    if not isinstance(operation, keras.Layer):
        return ACTIVATIONS.get(function_of(operation), "linear")
    if not isinstance(operation, (layers.Activation, *ACTIVATED)):
        return "linear"
    return getattr(operation.activation, "__name__", "linear")


def keeps_range(operation):
    """Whether what an operation answers needs no range of its own."""
    return type(operation) in SAME_RANGE or function_of(operation) in SAME_RANGE_OPERATIONS


def reshapes(operation):
    """Whether what an operation answers are numbers of its input, in other places."""
    return type(operation) in RESHAPES or function_of(operation) in RESHAPE_OPERATIONS


def takes_activation(operation):
    """Whether LiteRT can compute an activation of `FUSED` together with this operation."""
    summed = (layers.Add, layers.BatchNormalization, layers.Subtract, layers.Multiply)
    return type(operation) in (*ACTIVATED, *summed) or function_of(operation) in {"Add", "Subtract", "Multiply"}


def refusal(node):
    """Why the operation that a graph's node calls cannot be quantized, or `None`."""
    operation = node.operation
    kind = type(operation).__name__
    if not isinstance(operation, keras.Layer):
        return _operation_refusal(operation, kind)
    if isinstance(operation, keras.Model):
        return f"{kind}, a subclassed model inside the model"
    if type(operation) not in REPLACED.keys() | SAME_RANGE | NEW_RANGE:
        return kind
    if operation.compute_dtype != "float32":
        return f"{kind} that computes in {operation.compute_dtype}"
    if getattr(operation, "quantization_mode", None) or getattr(operation, "lora_enabled", False):
        return f"{kind} with a quantized or LoRA kernel"
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return f"{kind} with channels_first data"
    activation = activation_of(operation)
    if activation not in FUSED | PRESCRIBED.keys() | LEARNED:
        return f"{kind} with activation {activation}"
    reason = _layer_refusal(operation, node)
    return reason and f"{kind} {reason}"


def _operation_refusal(operation, kind):
    known = SAME_RANGE_OPERATIONS | NEW_RANGE_OPERATIONS | ACTIVATIONS.keys()
    if kind not in known or not type(operation).__module__.startswith("keras."):
        return f"operation {kind}, which is no layer"
    if kind == "Softmax" and operation.axis != -1:
        return f"operation Softmax over axis {operation.axis}"
    return None


def _layer_refusal(layer, node):
    kind = type(layer)
    if kind is layers.ReLU and (layer.negative_slope or layer.threshold):
        return "with a negative slope or a threshold"
    if kind is layers.Softmax and layer.axis != -1:
        return f"over axis {layer.axis}"
    rank = len(node.input_tensors[0].shape)
    if kind in (layers.BatchNormalization, layers.LayerNormalization, layers.Normalization):
        axis = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        if [i % rank for i in axis if i is not None] not in ([], [rank - 1]):
            return f"over axis {layer.axis}, not the last"
        if getattr(layer, "rms_scaling", False):
            return "with rms_scaling"
    if kind is layers.Embedding and layer.mask_zero:
        return "with mask_zero"
    if kind is layers.MultiHeadAttention:
        plain = layer._attention_axes == (1,) and not (layer._use_gate or layer._sliding_window or layer._output_shape)
        if rank != 3 or not plain:
            return "other than plain attention over the second axis"
        given = node.arguments.kwargs
        if given.get("use_causal_mask") or given.get("attention_mask") is not None:
            return "with a mask"
        if given.get("return_attention_scores"):
            return "that returns its scores"
    if kind is layers.LSTM:
        cell = layer.cell
        if (activations := (cell.activation.__name__, cell.recurrent_activation.__name__)) != ("tanh", "sigmoid"):
            return f"with activations {activations}"
        if layer.stateful or cell.recurrent_dropout:
            return "that is stateful" if layer.stateful else "with recurrent_dropout"
    return None
