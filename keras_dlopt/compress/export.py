"""Writing a Keras model in fewer bits, as a LiteRT or a Keras file, and checking what was written."""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import re
import tempfile
import warnings

import keras
import numpy as np

from keras_dlopt.arguments import check_choice, invalid
from keras_dlopt.atomic import replacing, save_model
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress import litert
from keras_dlopt.compress.keras_modes import layers_left_by_keras, quantized_by_keras
from keras_dlopt.compress.quantization import fake_quant_layers

LITERT_MODES = (None, "dynamic", "float16", "int8")


@dataclasses.dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        path: the file.
        bytes: its size.
        gzip_bytes: its size after gzip, which is where zeroed weights show.
        int8_tensors, float_tensors: number of tensors of each kind in it, without the model's inputs and outputs.
        float_layers: layers, or operations, that `allow_float` left in float32 in an 8-bit file.
        agreement: share of the rows of `check` for which the model and the file choose the same class, in each output
            that has classes; `None` without.
    """

    path: str
    bytes: int
    gzip_bytes: int
    int8_tensors: int
    float_tensors: int
    float_layers: tuple
    agreement: float | None


def export(model, path, int8=False, check=None, representative=None, allow_float=False, quantize=None, int8_ends=False):
    """Writes a model as a LiteRT file for one row at a time, runs it, and says what came out.

    `quantize` says how the numbers are stored and computed:

    - `None`: float32.
    - `"dynamic"`: weights in 8-bit integers, everything else in float32. Needs no data. A warning says how much slower
      than float32 the file is on this machine, if it is.
    - `"float16"`: weights in float16, which a processor without float16 turns back into float32 when it loads them.
    - `"int8"`, or for short `int8=True`: 8-bit integers throughout. The ranges of the values come from the training of
      a `quantize_aware` model, or are taken from `representative` rows for any other.

    Inputs and outputs stay float32 in all, so that the file is called like the model. Recurrent layers are unrolled.
    Needs Keras on the TensorFlow backend.

    With a path that ends in `.keras`, `quantize` is a mode of Keras's own `Model.quantize` ("int8", "int4", "float8"),
    or a `keras.quantizers.QuantizationConfig` of one: a quantized copy of the model is saved, on either backend. Keras
    has no such form of convolutions and recurrent layers, and no GPTQ or AWQ file that it can load.

    Args:
        model: a built Sequential or functional model in float32.
        path: where to write, ending in `.tflite` or `.keras`. An existing file is replaced only by a complete and
            accepted one.
        int8: the same as `quantize="int8"`.
        check: rows on which to compare the class that Keras and the file choose: an array of shape
            `(n, *input_shape)`, or for several inputs a list of these, in order, or a dict by name.
        representative: rows, like `check`, that show which values occur: a hundred from the training set will do. Only
            for integers, in a LiteRT file, on a model without learned ranges.
        allow_float: whether to accept layers that stay in float32 for lack of an 8-bit form.
        quantize: see above.
        int8_ends: whether float32 inputs and outputs become int8, too: whoever calls the file then applies the scales
            and zero points that it states. Only for integers.

    Returns:
        An `Exported`.

    Raises:
        ValueError: naming the layers left in float32, unless `allow_float`.
        OSError: if the file cannot be written; nothing of it remains.

    Example:

    >>> import keras, numpy as np, pathlib, tempfile
    >>> from keras_dlopt import compress
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> rows = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "model.tflite"
    >>> compress.export(model, target, int8=True, representative=rows, check=rows[:4]).float_tensors
    0
    """
    path = pathlib.Path(path)
    if path.suffix not in (".tflite", ".keras"):
        raise invalid("export", "path", str(path), "a path that ends in .tflite or .keras")
    if int8 and quantize not in (None, "int8"):
        raise invalid("export", "int8", int8, f"left out, next to quantize={quantize!r}")
    quantize = "int8" if int8 else quantize
    _check_model(model)
    rows = None if check is None else _rows(model, "check", check)
    if rows is not None and not any(shape[-1] > 1 for shape in _output_shapes(model)):
        raise invalid("export", "check", check, f"None for a model with output shape {model.output_shape}: no classes")
    if path.suffix == ".keras":
        return _export_keras(model, path, quantize, rows, representative, allow_float, int8_ends)
    check_choice("export", "quantize", quantize, LITERT_MODES)
    if int8_ends and quantize != "int8":
        raise invalid("export", "int8_ends", int8_ends, "False unless the file computes in integers (int8=True)")
    _check_litert(model)
    examples = _representative(model, quantize, representative)

    with _writing(path):
        content = _convert(model, quantize, examples, int8_ends)
    found = litert.contents(content)
    left = _layers_left(model, found) if quantize == "int8" else ()
    _accept(model, left, allow_float)
    agreement = None
    if rows is not None:
        agreement = _agreement(model.predict(_fed(model, rows), verbose=0), litert.run(content, _by_name(model, rows)))
    if quantize == "dynamic":
        _warn_if_slower(_convert(model, None, None, False), content)
    with _writing(path), replacing(path) as temporary:
        pathlib.Path(temporary).write_bytes(content)
    return _exported(path, len(found.int8_tensors), len(found.float_tensors), left, agreement)


def _export_keras(model, path, quantize, rows, representative, allow_float, int8_ends):
    for name, value in (("representative", representative), ("int8_ends", int8_ends or None)):
        if value is not None:
            raise invalid("export", name, value, "left out for a .keras file")
    copy = quantized_by_keras(model, quantize)
    left = layers_left_by_keras(copy)
    _accept(model, left, allow_float)
    agreement = None
    if rows is not None:
        expected, answers = (made.predict(_fed(model, rows), verbose=0) for made in (model, copy))
        agreement = _agreement(expected, answers)

    with _writing(path):
        save_model(copy, path)
    whole = sum(weight.dtype.startswith(("int", "uint")) for weight in copy.weights)
    return _exported(path, whole, len(copy.weights) - whole, left, agreement)


@contextlib.contextmanager
def _writing(path):
    """Tells errors of writing from others, TensorFlow's own included: conversion passes through a temporary folder."""
    kinds = (OSError,)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        kinds = (OSError, tf.errors.OpError)
    try:
        yield
    except kinds as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise OSError(f"`export` could not write {str(path)!r}, and left nothing of it: {reason}") from error


def _exported(path, int8_tensors, float_tensors, left, agreement):
    content = path.read_bytes()
    compressed = len(gzip.compress(content, mtime=0))
    return Exported(str(path), len(content), compressed, int8_tensors, float_tensors, left, agreement)


def _accept(model, left, allow_float):
    if left and not allow_float:
        accepted = f"made of layers with an 8-bit form, or `allow_float=True`; left in float32: {', '.join(left)}"
        raise invalid("export", "model", model, accepted)


def _check_model(model):
    graph = graphs.functional(model)
    if graph is None:
        raise invalid("export", "model", model, "a built Sequential or functional model")
    for layer in model._flatten_layers(include_self=False):
        if layer.compute_dtype in ("bfloat16", "float16"):
            raise invalid(
                "export",
                "model",
                model,
                f"a float32 model, but layer `{layer.name}` computes in {layer.compute_dtype}: build the model again "
                "under keras.config.set_dtype_policy('float32') and copy the weights with set_weights",
            )


def _check_litert(model):
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "`export` converts with TensorFlow: save the model as .keras and load it with KERAS_BACKEND=tensorflow. "
            f"Received: backend {keras.backend.backend()!r}"
        )
    for tensor in model.inputs:
        if None in tensor.shape[1:]:
            raise invalid("export", "model", model, f"a model with a fixed input shape, not {tuple(tensor.shape)}")


def _representative(model, quantize, representative):
    ranges, int8 = fake_quant_layers(model), quantize == "int8"
    if ranges and not int8:
        raise invalid(
            "export", "int8", int8, "True for a quantize_aware model; export the float model it was made from"
        )
    unseen = [layer.name for layer in ranges if not layer.observed]
    if unseen:
        raise invalid(
            "export", "model", model, f"a quantize_aware model after training; `{unseen[0]}` has seen no batch"
        )
    if representative is None:
        if int8 and not ranges:
            raise invalid("export", "representative", None, "given for int8=True on a model that is not quantize_aware")
        return None
    if ranges or not int8:
        raise invalid(
            "export", "representative", representative, "None unless int8=True on a model that is not quantize_aware"
        )
    for node in graphs.all_nodes(graphs.functional(model)):
        if isinstance(node.operation, keras.layers.Embedding) and node.input_tensors[0].dtype.startswith("float"):
            accepted = (
                'one that is given token ids as keras.Input(..., dtype="int32"), for in float32, '
                f"as `{node.operation.name}` reads them, they would be rounded (`quantize_aware` makes the input int32)"
            )
            raise invalid("export", "model", model, accepted)
    return _rows(model, "representative", representative)


def _rows(model, name, given):
    """The arrays that a user gave for the model's inputs, in the order of `model.inputs`."""
    names = _input_names(model)
    arrays = [given[key] for key in names] if isinstance(given, dict) and given.keys() == set(names) else given
    if len(names) == 1 and not isinstance(given, dict):
        arrays = [given]
    if not isinstance(arrays, (list, tuple)) or len(arrays) != len(names):
        raise invalid("export", name, given, f"an array for each of the inputs {', '.join(names)}, as a list or a dict")
    arrays = [np.asarray(array) for array in arrays]
    for array, tensor in zip(arrays, model.inputs, strict=True):
        expected = tuple(tensor.shape[1:])
        if array.shape[1:] != expected or not len(array) or len(array) != len(arrays[0]):
            shown = ", ".join(["n", *map(str, expected)])
            raise ValueError(
                f"`export({name}=...)` must be an array of shape ({shown}) with n >= 1. "
                f"Received: {name}.shape={array.shape}"
            )
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise invalid("export", name, f"array of {array.dtype}", "made of finite numbers")
    return [array.astype(tensor.dtype) for array, tensor in zip(arrays, model.inputs, strict=True)]


def _input_names(model):
    return [tensor._keras_history.operation.name for tensor in model.inputs]


def _by_name(model, arrays):
    return dict(zip(_input_names(model), arrays, strict=True))


def _fed(model, arrays):
    """Arrays in the structure that the model is called with."""
    graph = graphs.functional(model)
    return keras.tree.pack_sequence_as(graph._inputs_struct, arrays)


def _output_shapes(model):
    return [tensor.shape for tensor in graphs.functional(model).outputs]


def _convert(model, quantize, examples, int8_ends):
    import tensorflow as tf

    options = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if quantize:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        options["target_spec"]["supported_types"] = [tf.float16]
    if examples is not None:
        named = _by_name(model, examples)
        options["representative_dataset"] = lambda: (
            {key: rows[i : i + 1] for key, rows in named.items()} for i in range(len(examples[0]))
        )
    if int8_ends:
        options["inference_input_type"] = options["inference_output_type"] = tf.int8
    graph = graphs.functional(model)
    specs = [
        keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype=tensor.dtype, name=name)
        for name, tensor in zip(_input_names(model), graph.inputs, strict=True)
    ]
    signature = [keras.tree.pack_sequence_as(graph._inputs_struct, specs)]
    with tempfile.TemporaryDirectory() as folder, litert.quiet(), _unrolled(model):
        written = os.path.join(folder, "model.tflite")
        model.export(written, format="litert", verbose=False, input_signature=signature, **options)
        return pathlib.Path(written).read_bytes()


@contextlib.contextmanager
def _unrolled(model):
    """Recurrent layers without their loop, which LiteRT cannot compute in integers."""
    looping = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN) and not layer.unroll]
    try:
        for layer in looping:
            layer.unroll = True
        yield
    finally:
        for layer in looping:
            layer.unroll = False


def _layers_left(model, found):
    """The layers that the names of float32 tensors, `model_1/layer_1/op;model_1/other_1/op`, speak of."""
    known = {layer.name: type(layer).__name__ for layer in model._flatten_layers(include_self=False)}
    parts = [re.sub(r"_\d+$", "", part) for part in re.split("[/;]", ";".join(found.float_tensors))]
    layers = [f"`{name}` ({known[name]})" for name in dict.fromkeys(parts) if name in known]
    # Next to the model's ends the converter names nothing after a layer.
    return tuple(layers or [f"operation {kind}" for kind in found.float_operations])


def _agreement(expected, answers):
    pairs = zip(keras.tree.flatten(expected), keras.tree.flatten(answers), strict=True)
    return float(np.mean([np.mean(a.argmax(-1) == b.argmax(-1)) for a, b in pairs if a.shape[-1] > 1]))


def _warn_if_slower(plain, dynamic):
    ratio = litert.timed_in_turns([plain, dynamic], rounds=100)
    if ratio.median < 1:
        warnings.warn(
            f"export: on this machine the dynamic int8 file runs {ratio.median:.2f} times as fast as float32 "
            f"(80% of the rounds: {ratio.low:.2f} to {ratio.high:.2f}), one thread.",
            stacklevel=3,
        )
