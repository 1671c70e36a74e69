"""Quantization-aware training for Keras 3: where values are rounded, and the rewrite of the graph."""

import re

import keras
from keras import layers

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.engines import or_tfmot
from keras_dlopt.compress.fake_quant import FakeQuant
from keras_dlopt.compress.quantizable import (
    ACTIVATED,
    ACTIVATIONS,
    COMPOUND,
    CONVOLUTIONS,
    FUSED,
    PRESCRIBED,
    REPLACED,
    activation_of,
    function_of,
    keeps_range,
    refusal,
    reshapes,
    takes_activation,
)
from keras_dlopt.compress.quantized_layers import (
    KernelGroups,
    QuantizeAwareBatchNormalization,
    QuantizedKernels,
    StaysFloat,
)

KEPT = ("zeros", "centroids")


@or_tfmot
def quantize_aware(model, weight_bits=8, skip=(), keep=()):
    """A copy of a trained model that computes as its 8-bit integer version will, ready for fine-tuning.

    Kernels are rounded to 255 symmetric levels, with one scale a filter for convolutions and one scale a kernel for
    all others; activations to 256 levels over a range learned while training. Nothing is rounded inside what LiteRT
    computes as one operation: convolution -> BatchNormalization -> ReLU, `Dense` -> ReLU, `Add` -> ReLU. Zero is a
    level: weights that are pruned stay zero when the model is converted.

    Train the copy for a few epochs with a small learning rate, then `export(copy, "model.tflite", int8=True)`.

    Args:
        model: a built Sequential or functional model in float32. The layers of models inside it take their places in
            the copy. Its weights are copied; it is not changed.
        weight_bits: of a kernel's weight, from 2 to 8; or a dict from patterns, searched for in the names of layers, to
            bits: the first that is found counts, and other layers have 8. Defaults to 8.
        skip: what stays in float32, and is exported with `allow_float=True`: patterns, searched for in the names of
            layers; types of layers; functions from a layer to a bool.
        keep: what survives training (PQAT, CQAT and, with both, PCQAT): `"zeros"`, the weights that are zero now;
            `"centroids"`, the values that each kernel of at most 256 distinct ones shares, which move with the mean of
            their weights' gradients; or both in a tuple.
        engine: "native", or "tfmot" for a model that real tfmot quantizes, here or in tf_keras: it is trained and
            exported by its own methods. `weight_bits` is native.

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
    keep = _checked_keep(keep)
    graph, skip = _checked_graph(model, skip)
    bits_of = _checked_bits(weight_bits, list(dict.fromkeys(node.operation for node in graphs.nodes(graph))))
    rewrite = _Rewrite(graph, bits_of, skip, keep)
    inputs = _with_whole_tokens(model, graph, skip)
    rewritten = graphs.rebuild(graph, rewrite.input, rewrite.node, name=model.name, like=inputs)
    if not rewrite.copy_weights() and keep:
        raise invalid(
            "quantize_aware", "keep", keep, "left out for a model without zeros or shared values in its kernels"
        )
    return rewritten


def fake_quant_layers(model):
    """The layers of `model` that hold activation ranges; none means it is not quantization-aware."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, FakeQuant)]


def calibrate(model, rows, batch_size=32):
    """Learns the activation ranges of a `quantize_aware` model without training it: post-training quantization.

    For 8 bits `export(model, ..., int8=True, representative=rows)` does the same to the float model; this reaches fewer
    bits and `skip`, and spares the first steps of training the ranges that nothing has been seen of.

    Args:
        model: what `quantize_aware` returned. Its ranges change, and nothing else.
        rows: an array of shape `(n, *input_shape)`, or the structure of arrays that the model is called with. A hundred
            rows from the training set will do.
        batch_size: rows at a time; each counts like a batch of training. Defaults to 32.
    """
    ranges = fake_quant_layers(model) if isinstance(model, keras.Model) else ()
    if not ranges:
        raise invalid("calibrate", "model", model, "what `quantize_aware` returned")
    check_number("calibrate", "batch_size", batch_size, 1, integer=True)
    count = len(keras.tree.flatten(rows)[0])
    if not count:
        raise invalid("calibrate", "rows", rows, "at least one row")
    try:
        for layer in ranges:
            layer.observing = True
        for i in range(0, count, batch_size):
            model(keras.tree.map_structure(lambda array: array[i : i + batch_size], rows), training=False)  # noqa: B023
    finally:
        for layer in ranges:
            layer.observing = False


class _Rewrite:
    """What becomes of each input and each node of a graph."""

    def __init__(self, graph, bits_of, skip, keep):
        self._readers, self._makers = graphs.consumers(graph), graphs.producers(graph)
        self._inputs = {tensor._keras_history.operation.name: tensor for tensor in graph.inputs}
        self._bits_of, self._skip, self._keep = bits_of, skip, keep
        self._copies, self._ranges = {}, {}

    def input(self, tensor):
        old = self._inputs[tensor._keras_history.operation.name]
        real = tensor.dtype == old.dtype and self._read_as_integers(old)  # else token ids
        return self._rounded(tensor, after="input") if real else tensor

    def node(self, node, args, kwargs):
        operation, name = node.operation, node.operation.name
        if _chosen(operation, self._skip):
            return self._left_float(node, args, kwargs)
        activation = activation_of(operation)
        if type(operation) is layers.Activation or function_of(operation) in ACTIVATIONS:
            outputs = self._activated(args[0], operation, activation, name)
        else:
            # An activation that is an operation of its own in LiteRT needs a range on both sides.
            apart = type(operation) in ACTIVATED and activation not in FUSED
            outputs = self._copy(operation, lambda: self._replacement(node, apart))(*args, **kwargs)
            if apart:
                outputs, name = self._rounded(outputs, after=name), f"{name}_{activation}"
                outputs = self._activated(outputs, operation, activation, name)
        if activation in PRESCRIBED:
            return self._rounded(outputs, after=name, limits=PRESCRIBED[activation])
        if keeps_range(operation) or self._computed_with_next(node):
            return outputs
        return self._rounded(outputs, after=name)

    def copy_weights(self):
        """Fills the copies, once they are built. Returns whether any of them keeps zeros or centroids."""
        kept = []
        for old, copy in self._copies.items():
            if isinstance(old, layers.Layer):
                added = [layer for layer in copy._flatten_layers() if isinstance(layer, (FakeQuant, KernelGroups))]
                own = {id(weight) for layer in added for weight in layer.weights}
                weights = [weight for weight in copy.weights if id(weight) not in own]
                for weight, value in zip(weights, old.get_weights(), strict=True):
                    weight.assign(value)
                if isinstance(copy, layers.Normalization):
                    copy.finalize_state()
                if isinstance(copy, QuantizedKernels):
                    kept.append(copy.find_groups())
        return any(kept)

    def _copy(self, key, make):
        if key not in self._copies:
            self._copies[key] = make()
        return self._copies[key]

    def _rounded(self, tensor, after, limits=None):
        count = self._ranges[after] = self._ranges.get(after, 0) + 1
        name = f"{after}_range" if count == 1 else f"{after}_range_{count}"
        return FakeQuant(limits=limits, name=name)(tensor)

    def _replacement(self, node, without_activation):
        operation = node.operation
        kind, config = type(operation), operation.get_config()
        if without_activation:
            config["activation"] = "linear"
        if kind is layers.BatchNormalization and not self._taken_in(node):
            kind = QuantizeAwareBatchNormalization
        kind = REPLACED.get(kind, kind)
        if issubclass(kind, QuantizedKernels):
            config |= {"weight_bits": self._bits_of(operation.name), "keep": self._keep}
        return kind.from_config(config)

    def _activated(self, tensor, operation, activation, name):
        def make():
            if activation in COMPOUND:
                return COMPOUND[activation](name=name)
            if isinstance(operation, layers.Layer):
                return layers.Activation(operation.activation, name=name)
            return type(operation).from_config(operation.get_config())

        return self._copy((operation, activation), make)(tensor)

    def _left_float(self, node, args, kwargs):
        name, operation = node.operation.name, node.operation
        outputs = self._copy(operation, lambda: type(operation).from_config(operation.get_config()))(*args, **kwargs)
        flat = [
            self._rounded(StaysFloat(name=f"{name}_stays_float")(new), after=name)
            if self._read_as_integers(old)
            else new
            for old, new in zip(node.outputs, keras.tree.flatten(outputs), strict=True)
        ]
        return keras.tree.pack_sequence_as(outputs, flat)

    def _read_as_integers(self, tensor):
        readers = self._readers.get(id(tensor), [])
        read = any(reader is not None and not _chosen(reader.operation, self._skip) for reader in readers)
        return read and tensor.dtype.startswith("float")

    def _computed_with_next(self, node):
        """Whether LiteRT computes this node and its only reader as one operation."""
        reading = self._readers.get(id(node.outputs[0]), [])
        if len(reading) != 1 or reading[0] is None or activation_of(node.operation) != "linear":
            return False
        operation, reader = node.operation, reading[0].operation
        if _chosen(operation, self._skip) or _chosen(reader, self._skip):
            return False
        if type(operation) in CONVOLUTIONS and type(reader) is layers.BatchNormalization:
            return True
        activates = activation_of(reader) in FUSED - {"linear"} and type(reader) not in ACTIVATED
        return activates and takes_activation(operation)

    def _taken_in(self, node):
        """Whether a convolution takes this normalization into its kernel."""
        before = self._makers.get(id(node.input_tensors[0]))
        return before is not None and type(before.operation) in CONVOLUTIONS and self._computed_with_next(before)


def _chosen(operation, choices):
    for choice in choices:
        if isinstance(choice, str):
            found = re.search(choice, operation.name)
        else:
            found = isinstance(operation, choice) if isinstance(choice, type) else choice(operation)
        if found:
            return True
    return False


def _checked_keep(keep):
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    if not set(keep) <= set(KEPT):
        raise invalid("quantize_aware", "keep", keep, '"zeros", "centroids" or both')
    return keep


def _checked_skip(skip, operations):
    skip = (skip,) if isinstance(skip, str) or callable(skip) else tuple(skip)
    for choice in skip:
        if not isinstance(choice, str) and not callable(choice):
            raise invalid(
                "quantize_aware", "skip", choice, "made of patterns, types of layers and functions of a layer"
            )
        if not any(_chosen(operation, (choice,)) for operation in operations):
            known = ", ".join(operation.name for operation in operations)
            raise invalid("quantize_aware", "skip", choice, f"what some layer matches (there are: {known})")
    return skip


def _checked_bits(weight_bits, operations):
    """A function from a layer's name to the bits of its weights."""
    given = weight_bits if isinstance(weight_bits, dict) else {"": weight_bits}
    for pattern, bits in given.items():
        check_number("quantize_aware", "weight_bits", bits, 2, 8, integer=True)
        if not any(re.search(pattern, operation.name) for operation in operations if type(operation) in REPLACED):
            known = ", ".join(operation.name for operation in operations if type(operation) in REPLACED)
            accepted = f"keyed by patterns that match the name of a layer with a kernel (there are: {known})"
            raise invalid("quantize_aware", "weight_bits", weight_bits, accepted)
    return lambda name: next((bits for pattern, bits in given.items() if re.search(pattern, name)), 8)


def _checked_graph(model, skip):
    """The graph to rewrite, without models inside it, and `skip` as a tuple."""
    if not isinstance(model, keras.Model):
        raise invalid("quantize_aware", "model", model, "a keras.Model")
    graph = graphs.functional(model)
    if graph is None:
        raise invalid(
            "quantize_aware", "model", model, "a built Sequential or functional model (others have no graph to rewrite)"
        )
    quantized = [layer.name for layer in model._flatten_layers() if isinstance(layer, (FakeQuant, QuantizedKernels))]
    if quantized:
        raise invalid("quantize_aware", "model", model, f"a model that is not quantized yet, as `{quantized[0]}` is")
    found = list(graphs.all_nodes(graph))
    skip = _checked_skip(skip, list(dict.fromkeys(node.operation for node in found)))
    names = {}
    for node in found:
        if not _chosen(node.operation, skip) and (reason := refusal(node)):
            names.setdefault(reason, {})[f"`{node.operation.name}`"] = None  # once, however often it is called
    if names:
        listed = "; ".join(f"{reason}: {_shown(list(found))}" for reason, found in names.items())
        accepted = f"made of layers with an 8-bit form, which these lack (`skip` leaves them in float32): {listed}"
        raise invalid("quantize_aware", "model", model, accepted)
    nested = any(isinstance(node.operation, keras.Model) for node in graphs.nodes(graph))
    return graphs.inlined(model) if nested else graph, skip


def _with_whole_tokens(model, graph, skip):
    """The graph's inputs, of type int32 where embeddings read them: as real numbers, token ids would be rounded."""
    readers, makers = graphs.consumers(graph), graphs.producers(graph)

    def others(tensor):
        """What reads a tensor as real numbers."""
        for reader in readers[id(tensor)]:
            if reader is not None and reshapes(reader.operation):
                yield from (name for output in reader.outputs for name in others(output))
            elif reader is None or type(reader.operation) is not layers.Embedding:
                yield "the model's output" if reader is None else f"`{reader.operation.name}`"

    tokens = set()
    for node in graphs.nodes(graph):
        tensor = node.input_tensors[0]
        if type(node.operation) is not layers.Embedding or not tensor.dtype.startswith("float"):
            continue
        while (maker := makers.get(id(tensor))) is not None and reshapes(maker.operation):
            tensor = maker.input_tensors[0]
        if all(reader is not None and _chosen(reader.operation, skip) for reader in readers[id(tensor)]):
            continue  # nothing is rounded before them
        used = f"are what `{maker.operation.name}` computes" if maker is not None else ""
        if maker is None and (found := list(others(tensor))):
            used = f"are read as real numbers, too, by {_shown(found)}"
        if used:
            accepted = f"one whose embeddings read token ids of type int32; those of `{node.operation.name}` {used}"
            raise invalid("quantize_aware", "model", model, accepted)
        tokens.add(id(tensor))
    return [keras.KerasTensor(old.shape, "int32") if id(old) in tokens else old for old in graph.inputs]


def _shown(names):
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
