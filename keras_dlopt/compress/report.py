"""What a model takes up and how well it does: layer by layer, in memory or in a file, beside another."""

import collections
import dataclasses
import gzip
import pathlib

import keras
import numpy as np

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import litert


@dataclasses.dataclass(frozen=True)
class Layer:
    """Weights of one layer, or one constant of a LiteRT file.

    Attributes:
        name, kind: the layer's path and type; of a constant, the layer's name and the dtype.
        parameters, nonzeros: number of weights, and of those that are not zero.
        bytes, gzip_bytes: what they take, and after gzip.
    """

    name: str
    kind: str
    parameters: int
    nonzeros: int
    bytes: int
    gzip_bytes: int

    @property
    def sparsity(self):
        """Share of zeros, in [0, 1]."""
        return (self.parameters - self.nonzeros) / max(self.parameters, 1)


@dataclasses.dataclass(frozen=True)
class Report:
    """Size of a model, and how well it does. `print(report)` shows a table.

    Attributes:
        parameters: number of weights, trainable or not.
        nonzeros: how many of them are not zero.
        bytes: size of the file; for a model in memory, of its weights.
        gzip_bytes: the same after gzip.
        layers: a `Layer` each, in the order of the model.
        operators: of a LiteRT file, how many operations of each kind: {"int8": {kind: count}, "float32": ...}.
        score: with data, the share of right classes, or the mean squared error where `y` holds no classes.
        score_name: "accuracy" or "mse"; None without data.
        baseline: the `Report` of what this is compared with.
        latency: how many times faster than the baseline, a `LatencyRatio`; of two LiteRT files.
    """

    parameters: int
    nonzeros: int
    bytes: int
    gzip_bytes: int
    layers: tuple = ()
    operators: dict = dataclasses.field(default_factory=dict)
    score: float | None = None
    score_name: str | None = None
    baseline: "Report | None" = None
    latency: litert.LatencyRatio | None = None

    @property
    def sparsity(self):
        """Share of zeros, in [0, 1]."""
        return (self.parameters - self.nonzeros) / max(self.parameters, 1)

    def as_dict(self):
        """All of it as plain numbers and text, for JSON."""
        made = dataclasses.asdict(self) | {"sparsity": self.sparsity}
        if self.baseline is not None:
            made["baseline"] = self.baseline.as_dict()
        return made

    def __str__(self):
        rows = [("layer", "kind", "weights", "zeros", "bytes", "gzip"), *map(_row, self.layers), self._total()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        ends = ("<", "<", ">", ">", ">", ">")
        lines = [
            "  ".join(f"{cell:{end}{width}}" for cell, end, width in zip(row, ends, widths, strict=True)).rstrip()
            for row in rows
        ]
        for dtype, kinds in self.operators.items():
            counted = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            lines.append(f"{dtype} operations: {counted or 'none'}")
        return "\n".join([*lines, *self._compared()])

    def _total(self):
        return ("all", "", f"{self.parameters:,}", f"{self.sparsity:.1%}", f"{self.bytes:,}", f"{self.gzip_bytes:,}")

    def _compared(self):
        before = self.baseline
        if self.score is not None:
            was = "" if before is None or before.score is None else f" (before: {before.score:.4g})"
            yield f"{self.score_name}: {self.score:.4g}{was}"
        if before is not None:
            smaller, zipped = before.bytes / self.bytes, before.gzip_bytes / self.gzip_bytes
            yield f"{smaller:.2f} times smaller than before, {zipped:.2f} times after gzip"
        if self.latency is not None:
            ratio = self.latency
            yield f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f}) times as fast on this machine, one thread"

    def plot(self, path):
        """Draws bytes, bytes after gzip and sparsity of every layer, with those of the baseline, into an image file."""
        from matplotlib.figure import Figure

        from keras_dlopt.atomic import replacing

        names = [f"{layer.name} ({layer.kind})" for layer in self.layers]
        figure = Figure(figsize=(8, 1.5 + 0.3 * len(names)), layout="constrained")
        sizes, zeros = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        places = np.arange(len(names))
        sizes.barh(places - 0.2, [layer.bytes for layer in self.layers], 0.4, label="bytes", color="#8da0cb")
        sizes.barh(places + 0.2, [layer.gzip_bytes for layer in self.layers], 0.4, label="gzip", color="#fc8d62")
        sizes.set_yticks(places, names)
        sizes.invert_yaxis()
        sizes.set_xlabel("bytes")
        sizes.legend(frameon=False)
        zeros.barh(places, [layer.sparsity for layer in self.layers], 0.6, color="#66c2a5")
        zeros.set(xlabel="share of zeros", xlim=(0, 1))
        for axes in (sizes, zeros):
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle("\n".join(self._compared()) or f"{self.bytes:,} bytes, {self.gzip_bytes:,} after gzip", size=10)
        with replacing(path) as temporary:
            figure.savefig(temporary, format=pathlib.Path(path).suffix.removeprefix(".") or "png", dpi=100)


def report(model, x=None, y=None, *, baseline=None):
    """Counts a model's weights and the bytes that hold them, scores it, and compares it with what it was before.

    Args:
        model: a `keras.Model`, or the path of a `.keras` or `.tflite` file. A `.tflite` file has fewer weights than its
            model: the converter folds BatchNormalization into those before it.
        x, y: rows to score it on: classes as whole numbers or one-hot give the accuracy, other targets the mean squared
            error. Of a model with a single output, targets of only 0 and 1 are classes: 1 is an answer above 0.5, or
            above 0 where answers leave [0, 1] and so are logits.
        baseline: the model before, in one of the same forms. Two `.tflite` files are timed against each other.

    Returns:
        A `Report`.

    Example:

    >>> import keras
    >>> from keras_dlopt import compress
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    >>> found = compress.report(model)
    >>> found.parameters, found.nonzeros, found.bytes, found.sparsity
    (15, 12, 60, 0.2)
    >>> [(layer.name.split("/")[-1], layer.kind, layer.bytes) for layer in found.layers]
    [('dense', 'Dense', 60)]
    """
    if (x is None) != (y is None):
        raise invalid("report", "y" if y is None else "x", None, "given together with the other: both, or neither")
    before = None if baseline is None else report(baseline, x, y)
    made = _counted(model)
    if x is not None:
        made = dataclasses.replace(made, **_scored(model, x, np.asarray(y)))
    if before is None:
        return made
    latency = None
    if _is_litert(model) and _is_litert(baseline):
        latency = litert.latency_ratio(baseline, model)
    return dataclasses.replace(made, baseline=before, latency=latency)


def _counted(model):
    if isinstance(model, keras.Model):
        return _of_model(model, None)
    path = pathlib.Path(model) if isinstance(model, (str, pathlib.Path)) else pathlib.Path()
    if path.suffix not in (".keras", ".tflite") or not path.is_file():
        raise invalid("report", "model", model, "a keras.Model or the path of a .keras or .tflite file")
    content = path.read_bytes()
    if path.suffix == ".keras":
        return _of_model(keras.saving.load_model(path, compile=False), content)
    found = litert.contents(content)
    layers = [_layer(_short(name), array.dtype.name, [array]) for name, array in found.named_constants]
    operators = {
        "int8": dict(collections.Counter(found.int8_operations)),
        "float32": dict(collections.Counter(found.float_operations)),
    }
    return _total(layers, content, operators)


def _short(name):
    """A constant's layer: the converter joins the names of all that it has put into one operation."""
    parts = name.split(";")[0].split("/")
    return "/".join(parts[1:-1]) or name


def _of_model(model, content):
    layers = [
        _layer(layer.path or layer.name, type(layer).__name__, [keras.ops.convert_to_numpy(v) for v in own])
        for layer in model._flatten_layers()
        if (own := [*layer._trainable_variables, *layer._non_trainable_variables])
    ]
    if content is None:
        content = b"".join(array.tobytes() for array in model.get_weights())
    return _total(layers, content, {})


def _layer(name, kind, arrays):
    content = b"".join(array.tobytes() for array in arrays)
    nonzeros = sum(int(np.count_nonzero(array)) for array in arrays)
    return Layer(name, kind, sum(a.size for a in arrays), nonzeros, len(content), len(gzip.compress(content, mtime=0)))


def _total(layers, content, operators):
    parameters, nonzeros = (sum(getattr(layer, name) for layer in layers) for name in ("parameters", "nonzeros"))
    zipped = len(gzip.compress(content, mtime=0))
    return Report(parameters, nonzeros, len(content), zipped, tuple(layers), operators)


def _row(layer):
    sizes = f"{layer.bytes:,}", f"{layer.gzip_bytes:,}"
    return (layer.name, layer.kind, f"{layer.parameters:,}", f"{layer.sparsity:.1%}", *sizes)


def _scored(model, x, y):
    if isinstance(model, keras.Model):
        answers = model.predict(x, verbose=0)
    elif _is_litert(model):
        answers = litert.run(model, x)
    else:
        answers = keras.saving.load_model(model, compile=False).predict(x, verbose=0)
    if not isinstance(answers, np.ndarray):
        raise invalid("report", "model", model, "a model with one output, where it is to be scored; leave out x and y")
    return _score(answers, y)


def _score(answers, y):
    classes = answers.shape[-1] if answers.ndim > 1 else 1
    if classes > 1 and y.dtype.kind in "iub":
        labels = y[..., 0] if y.shape == (*answers.shape[:-1], 1) else y
        if labels.shape == answers.shape[:-1]:
            return _accuracy(answers.argmax(-1) == labels)
    if y.size != answers.size:
        raise invalid("report", "y", y.shape, f"targets of the model's outputs, of shape {answers.shape}, or classes")
    y = y.reshape(answers.shape)
    if ((y == 0) | (y == 1)).all():
        if classes == 1:
            # No sigmoid leaves [0, 1]: then these are logits.
            threshold = 0.5 if answers.min() >= 0 and answers.max() <= 1 else 0.0
            return _accuracy((answers > threshold) == y)
        if (y.sum(-1) == 1).all():
            return _accuracy(answers.argmax(-1) == y.argmax(-1))
    return {"score": float(np.mean(np.square(answers - y))), "score_name": "mse"}


def _accuracy(right):
    return {"score": float(right.mean()), "score_name": "accuracy"}


def _is_litert(model):
    return isinstance(model, (str, pathlib.Path)) and pathlib.Path(model).suffix == ".tflite"
