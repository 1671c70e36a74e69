"""The size of a model, in memory or in a file."""

import dataclasses
import gzip
import pathlib

import keras
import numpy as np

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import litert


@dataclasses.dataclass(frozen=True)
class Report:
    """Size of a model.

    Attributes:
        parameters: number of weights, trainable or not.
        nonzeros: how many of them are not zero.
        bytes: size of the file; for a model in memory, of its weights.
        gzip_bytes: the same after gzip.
    """

    parameters: int
    nonzeros: int
    bytes: int
    gzip_bytes: int

    @property
    def sparsity(self):
        """Share of zeros, in [0, 1]."""
        return (self.parameters - self.nonzeros) / max(self.parameters, 1)


def report(model):
    """Counts a model's weights and the bytes that hold them.

    Args:
        model: a `keras.Model`, or the path of a `.keras` or `.tflite` file. A `.tflite` file has fewer weights than its
            model: the converter folds BatchNormalization into those before it.

    Returns:
        A `Report`.

    Example:

    >>> import keras
    >>> from keras_dlopt import compress
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> found = compress.report(model)
    >>> found.parameters, found.nonzeros, found.bytes, found.sparsity
    (15, 12, 60, 0.2)
    """
    if isinstance(model, keras.Model):
        arrays = model.get_weights()
        content = b"".join(array.tobytes() for array in arrays)
        return _report(arrays, content)
    path = pathlib.Path(model) if isinstance(model, (str, pathlib.Path)) else pathlib.Path()
    if path.suffix not in (".keras", ".tflite") or not path.is_file():
        raise invalid("report", "model", model, "a keras.Model or the path of a .keras or .tflite file")
    content = path.read_bytes()
    if path.suffix == ".tflite":
        return _report(litert.contents(content).constants, content)
    return _report(keras.saving.load_model(path, compile=False).get_weights(), content)


def _report(arrays, content):
    parameters = sum(array.size for array in arrays)
    nonzeros = sum(int(np.count_nonzero(array)) for array in arrays)
    return Report(parameters, nonzeros, len(content), len(gzip.compress(content, mtime=0)))
