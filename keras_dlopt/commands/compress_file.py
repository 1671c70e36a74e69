"""What `keras-dlopt compress` does with its files."""

import json
import pathlib
import zipfile

import keras
import numpy as np

from keras_dlopt import callbacks, compress
from keras_dlopt.arguments import invalid
from keras_dlopt.atomic import replacing, save_model


def compress_file(path, data, folder, *, prune=None, quantize=None, epochs=5, learning_rate=1e-4):
    """Prunes and quantizes a saved model, and reports what that gained.

    Args:
        path: a `.keras` file of a compiled Sequential or functional model.
        data: a `.npz` file with arrays x and y, and optionally x_test and y_test to score on; otherwise the last fifth
            of the rows is kept out of training for that.
        folder: where `before.tflite`, `after.tflite`, `after.keras`, `report.json` and `report.png` go.
        prune: share of weights to zero while training, in (0, 1), or None.
        quantize: "int8" (trained for it), "dynamic", "float16", or None.
        epochs: of training for each of pruning and int8.
        learning_rate: of Adam there.

    Returns:
        The `compress.Report` of `after.tflite` beside `before.tflite`.
    """
    model = keras.models.load_model(path)
    if model.loss is None:
        raise invalid("compress", "model", str(path), "a model that was compiled when it was saved")
    (x, y), (x_test, y_test) = _load(data)
    folder = pathlib.Path(folder)
    compress.report(model, x_test, y_test)  # refuses, before training, what cannot be scored
    before = compress.export(model, folder / "before.tflite")

    def train(model, *used):
        model.compile(keras.optimizers.Adam(learning_rate), loss)
        model.fit(x, y, epochs=epochs, callbacks=list(used), verbose=2)

    loss = model.loss
    if prune is not None:
        train(model, callbacks.Prune(prune))
    if quantize == "int8":
        model = compress.quantize_aware(model)
        train(model, *([callbacks.Prune.keep()] if prune is not None else []))
    rows = x_test[:500] if model.output_shape[-1] > 1 else None
    after = compress.export(model, folder / "after.tflite", quantize=quantize, check=rows)
    save_model(model, folder / "after.keras")
    report = compress.report(after.path, x_test, y_test, baseline=before.path)
    with replacing(folder / "report.json") as temporary:
        pathlib.Path(temporary).write_text(json.dumps(report.as_dict() | {"agreement": after.agreement}, indent=1))
    report.plot(folder / "report.png")
    return report


def _load(data):
    found = {}
    if zipfile.is_zipfile(data):
        with np.load(data) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    if not {"x", "y"} <= found.keys():
        raise invalid("compress", "data", sorted(found) or str(data), "a .npz file with arrays x and y")
    if {"x_test", "y_test"} <= found.keys():
        return (found["x"], found["y"]), (found["x_test"], found["y_test"])
    kept = len(found["x"]) - len(found["x"]) // 5
    return (found["x"][:kept], found["y"][:kept]), (found["x"][kept:], found["y"][kept:])
