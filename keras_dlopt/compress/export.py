"""Writing a Keras model as a LiteRT file, in float32 or in 8-bit integers throughout, and checking what was written."""

import dataclasses
import gzip
import os
import pathlib
import re
import tempfile

import keras
import numpy as np

from keras_dlopt.arguments import invalid
from keras_dlopt.atomic import replacing
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress import litert
from keras_dlopt.compress.quantization import fake_quant_layers


@dataclasses.dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        path: the file.
        bytes: its size.
        gzip_bytes: its size after gzip, which is where zeroed weights show.
        int8_tensors, float_tensors: number of tensors of each kind in it, without the model's input and output.
        float_layers: layers, or operations, that `allow_float` left in float32 in an 8-bit file.
        agreement: share of the rows of `check` for which Keras and LiteRT choose the same class; `None` without.
    """

    path: str
    bytes: int
    gzip_bytes: int
    int8_tensors: int
    float_tensors: int
    float_layers: tuple
    agreement: float | None


def export(model, path, int8=False, check=None, representative=None, allow_float=False):
    """Writes a model as a LiteRT file for one row at a time, runs it, and says what came out.

    Input and output stay float32 in both forms, so that the file is called like the model. With `int8=True` all between
    is computed in 8-bit integers; the ranges of the values come from the training of a `quantize_aware` model, or are
    taken from `representative` rows for any other. Needs Keras on the TensorFlow backend.

    Args:
        model: a built Sequential or functional model in float32 with one input and one output.
        path: where to write, ending in `.tflite`. An existing file is replaced only by a complete and accepted one.
        int8: whether to write 8-bit integers. Defaults to float32.
        check: rows, of shape `(n, *input_shape)`, on which to compare the class that Keras and LiteRT choose.
        representative: rows, of shape `(n, *input_shape)`, that show which values occur: a hundred from the training
            set will do. Only for `int8=True` on a model without learned ranges.
        allow_float: whether to accept operations that stay in float32 for lack of an 8-bit form.

    Returns:
        An `Exported`.

    Raises:
        ValueError: naming the layers left in float32, unless `allow_float`.

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
    if path.suffix != ".tflite":
        raise invalid("export", "path", str(path), "a path that ends in .tflite")
    _check_model(model)
    rows = None if check is None else _rows(model, "check", check)
    if rows is not None and model.output_shape[-1] < 2:
        raise invalid("export", "check", check, f"None for a model with output shape {model.output_shape}: no classes")
    examples = _representative(model, int8, representative)

    content = _convert(model, int8, examples)
    found = litert.contents(content)
    left = _layers_left(model, found) if int8 else ()
    if left and not allow_float:
        accepted = f"made of layers with an 8-bit form, or `allow_float=True`; left in float32: {', '.join(left)}"
        raise invalid("export", "model", model, accepted)
    agreement = None if rows is None else _agreement(model, content, rows)
    with replacing(path) as temporary:
        pathlib.Path(temporary).write_bytes(content)
    compressed = len(gzip.compress(content, mtime=0))
    return Exported(
        str(path), len(content), compressed, len(found.int8_tensors), len(found.float_tensors), left, agreement
    )


def _check_model(model):
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "`export` converts with TensorFlow: save the model as .keras and load it with KERAS_BACKEND=tensorflow. "
            f"Received: backend {keras.backend.backend()!r}"
        )
    graph = graphs.functional(model)
    if graph is None or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise invalid("export", "model", model, "a built Sequential or functional model with one input and one output")
    if None in model.input_shape[1:]:
        raise invalid("export", "model", model, f"a model with a fixed input shape, not {model.input_shape}")
    for layer in model._flatten_layers(include_self=False):
        if layer.compute_dtype in ("bfloat16", "float16"):
            raise invalid(
                "export",
                "model",
                model,
                f"a float32 model, but layer `{layer.name}` computes in {layer.compute_dtype}: build the model again "
                "under keras.config.set_dtype_policy('float32') and copy the weights with set_weights",
            )


def _representative(model, int8, representative):
    ranges = fake_quant_layers(model)
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
    return _rows(model, "representative", representative)


def _rows(model, name, rows):
    rows = np.asarray(rows)
    expected = tuple(model.input_shape[1:])
    if rows.shape[1:] != expected or not len(rows):
        raise ValueError(
            f"`export({name}=...)` must be an array of shape (n, {', '.join(map(str, expected))}) with n >= 1. "
            f"Received: {name}.shape={rows.shape}"
        )
    return rows.astype(model.inputs[0].dtype)


def _convert(model, int8, examples):
    import tensorflow as tf

    options = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if int8:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if examples is not None:
        options["representative_dataset"] = lambda: ([row[None]] for row in examples)
    signature = [keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype=model.inputs[0].dtype)]
    with tempfile.TemporaryDirectory() as folder, litert.quiet():
        written = os.path.join(folder, "model.tflite")
        model.export(written, format="litert", verbose=False, input_signature=signature, **options)
        return pathlib.Path(written).read_bytes()


def _layers_left(model, found):
    """The layers that the names of float32 tensors, `model_1/layer_1/op;model_1/other_1/op`, speak of."""
    known = {layer.name: type(layer).__name__ for layer in model._flatten_layers(include_self=False)}
    parts = [re.sub(r"_\d+$", "", part) for part in re.split("[/;]", ";".join(found.float_tensors))]
    layers = [f"`{name}` ({known[name]})" for name in dict.fromkeys(parts) if name in known]
    # Next to the model's ends the converter names nothing after a layer.
    return tuple(layers or [f"operation {kind}" for kind in found.float_operations])


def _agreement(model, content, rows):
    expected = np.asarray(model.predict(rows, verbose=0)).argmax(-1)
    return float((litert.run(content, rows).argmax(-1) == expected).mean())
