"""Quantization-aware training by tfmot, and its LiteRT file."""

import functools
import gzip
import pathlib

import numpy as np
import tensorflow as tf
import tf_keras

from keras_dlopt.arguments import check_choice, invalid
from keras_dlopt.atomic import replacing
from keras_dlopt.compress import litert
from keras_dlopt.compress.bridge.operations import KerasOperation
from keras_dlopt.compress.export import Exported
from keras_dlopt.compress.tfmot.choice import chosen_layers
from keras_dlopt.compress.tfmot.package import internal, load
from keras_dlopt.compress.tfmot.wrapped import Wrapped, enter

# After these tfmot folds BatchNormalization into the kernel.
BEFORE_NORMALIZATION = ("Conv2D", "Dense", "DepthwiseConv2D", "SeparableConv2D")
# What tfmot takes as an activation; with another it breaks off in the middle of its work.
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "swish", "tanh")

# Layers without weights that tfmot does not list, and LiteRT computes in integers if their output has a range.
NEW_RANGE = (
    KerasOperation,
    tf_keras.layers.Activation,
    tf_keras.layers.Average,
    tf_keras.layers.Maximum,
    tf_keras.layers.Minimum,
    tf_keras.layers.Multiply,
    tf_keras.layers.Rescaling,
    tf_keras.layers.Subtract,
)


def quantize_aware(model, *, skip=(), keep=()):
    """`compress.quantize_aware` with `engine="tfmot"`: the model with tfmot's 8-bit wrappers, for training.

    Args:
        model: a Keras 3 model that the bridge takes, or a tf_keras model; it is not changed.
        skip: which layers stay float, as in the native call; those that tfmot cannot quantize do in any case.
        keep: what survives training: "zeros" (tfmot's PQAT), "centroids" (CQAT), or both (PCQAT).

    Returns:
        A `Quantized`: compile and `fit` it, then `export` it.
    """
    kept = {keep} if isinstance(keep, str) else set(keep)
    for part in kept:
        check_choice("quantize_aware", "keep", part, ("zeros", "centroids"))
    annotate, output_range = load().quantization.keras.quantize_annotate_layer, _output_range()
    flat = enter(model, "quantize_aware")
    chosen = chosen_layers("quantize_aware", flat, _quantizable, (), skip)

    def wrap(layer):
        if layer.name not in chosen:
            return layer
        return annotate(layer, None if _known(layer) else output_range())

    annotated = tf_keras.models.clone_model(flat.model, clone_function=wrap)
    with load().quantization.keras.quantize_scope({"OutputRange": output_range}):
        twin = load().quantization.keras.quantize_apply(annotated, _scheme(kept))
    others = [layer for layer in flat.model.layers if layer.name not in chosen]
    left = [flat.layers.get(layer.name, layer).name for layer in others if not _is_input(layer)]
    return Quantized(model, flat, twin, tuple(left))


class Quantized(Wrapped):
    """A model that tfmot trains for 8-bit integers.

    Attributes:
        float_layers: names of the layers that stay float, by choice or because tfmot cannot quantize them.
    """

    def __init__(self, origin, flat, twin, float_layers):
        super().__init__(origin, flat, twin)
        self.float_layers = float_layers

    def strip(self):
        """Raises a `ValueError`: rounding has no place in a plain Keras 3 model. See `export` and `tf_keras_model`."""
        raise ValueError(
            "A model that tfmot has quantized does not come back to Keras 3: `export` writes it as a LiteRT file, "
            "`tf_keras_model` is what was trained. `compress.quantize_aware` without `engine` stays in Keras 3."
        )

    def save(self, filepath, overwrite=True, **kwargs):
        """Saves the tf_keras model; load it with tf_keras, in tfmot's `quantize_scope`."""
        self.tf_keras_model.save(filepath, overwrite=overwrite, **kwargs)

    def export(self, path, check=None, allow_float=False):
        """Writes the LiteRT file, with integers inside and float32 ends, for one row at a time.

        Args:
            path: where to write, ending in `.tflite`. An existing file is replaced only by a complete one.
            check: rows on which to compare the class that this model and LiteRT choose.
            allow_float: whether to accept layers that stay float.

        Returns:
            A `compress.Exported`.

        Raises:
            ValueError: naming the layers left in float32, unless `allow_float`.
        """
        path = pathlib.Path(path)
        if path.suffix != ".tflite":
            raise invalid("export", "path", str(path), "a path that ends in .tflite")
        if self.float_layers and not allow_float:
            accepted = f"one that tfmot quantizes throughout, or `allow_float=True`; float are {self.float_layers}"
            raise invalid("export", "model", self.name, accepted)
        content = self._convert()
        found = litert.contents(content)
        agreement = None
        if check is not None:
            expected = np.asarray(self.predict(check, verbose=0)).argmax(-1)
            agreement = float((litert.run(content, np.asarray(check, "float32")).argmax(-1) == expected).mean())
        with replacing(path) as temporary:
            pathlib.Path(temporary).write_bytes(content)
        sizes = len(content), len(gzip.compress(content, mtime=0))
        counts = len(found.int8_tensors), len(found.float_tensors)
        return Exported(str(path), *sizes, *counts, self.float_layers, agreement)

    def _convert(self):
        twin = self.tf_keras_model
        specs = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in twin.inputs]
        run = tf.function(lambda *inputs: twin(inputs[0] if len(inputs) == 1 else list(inputs), training=False))
        with litert.quiet():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function(*specs)], twin)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            return converter.convert()


def _scheme(kept):
    kinds = "quantization.keras.collab_opts"
    if "centroids" in kept:
        module = internal(f"{kinds}.cluster_preserve.default_8bit_cluster_preserve_quantize_scheme")
        return module.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity="zeros" in kept)
    if kept:
        module = internal(f"{kinds}.prune_preserve.default_8bit_prune_preserve_quantize_scheme")
        return module.Default8BitPrunePreserveQuantizeScheme()
    return internal("quantization.keras.default_8bit.default_8bit_quantize_scheme").Default8BitQuantizeScheme()


def _is_input(layer):
    return isinstance(layer, tf_keras.layers.InputLayer)


def _quantizable(layer):
    return _known(layer) or isinstance(layer, NEW_RANGE)


def _known(layer):
    """Whether tfmot has a way for this layer, alone or, BatchNormalization, together with the kernel before it."""
    if _is_input(layer):
        return False
    if isinstance(layer, tf_keras.layers.BatchNormalization):
        before = layer.inbound_nodes[0].inbound_layers
        follows = type(before).__name__ in BEFORE_NORMALIZATION and len(before.outbound_nodes) == 1
        return follows and _activation(before) == "linear"
    if isinstance(layer, tf_keras.layers.SeparableConv1D | tf_keras.layers.SeparableConv2D):
        return True  # tfmot splits them first
    if _activation(layer) not in ACTIVATIONS:
        return False
    registry = internal("quantization.keras.default_8bit.default_8bit_quantize_registry")
    return registry.Default8BitQuantizeRegistry().supports(layer)


def _activation(layer):
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


@functools.cache
def _output_range():
    """tfmot's `QuantizeConfig` for a layer without weights, whose output has a range of its own."""
    keras = load().quantization.keras

    class OutputRange(keras.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            return []

        def get_activations_and_quantizers(self, layer):
            return []

        def set_quantize_weights(self, layer, quantize_weights):
            pass

        def set_quantize_activations(self, layer, quantize_activations):
            pass

        def get_output_quantizers(self, layer):
            return [keras.quantizers.MovingAverageQuantizer(8, per_axis=False, symmetric=False, narrow_range=False)]

        def get_config(self):
            return {}

    return OutputRange
