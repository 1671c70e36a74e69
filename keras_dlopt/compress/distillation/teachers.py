"""Who teaches: trained models, the student's own past, or answers on disk."""

import hashlib
import json
import os
import pathlib

import keras
import numpy as np

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.atomic import replacing
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.fake_quant import FakeQuant


class SelfTeacher:
    r"""The average of the student's own weights, $\theta' \leftarrow m \theta' + (1 - m) \theta$, once a step.

    Args:
        momentum: $m$, in [0, 1). Defaults to 0.999.

    Reference:
        Tarvainen, Valpola, "Mean teachers are better role models", arXiv 1703.01780.
    """

    def __init__(self, momentum=0.999):
        self.momentum = check_number("SelfTeacher", "momentum", momentum, low=0, high=1, ends="[)")


class CachedLogits:
    """A teacher's answers on disk, one row for each row of the data; made by `cache_logits`.

    Attributes:
        logits: the array of all answers, mapped from the file.
    """

    def __init__(self, logits):
        self.logits = logits


def cache_logits(teacher, x, path, batch_size=128):
    """Asks a teacher once for all rows and keeps the answers in a `.npy` file.

    They are, bit for bit, `teacher.predict(x, batch_size)`. A call that breaks off is taken up by the next one where it
    stopped; a file that is complete is only opened. What the file belongs to, the teacher's weights and the data, is
    written beside it in a `.json` file.

    Args:
        teacher: a built `keras.Model` that returns logits.
        x: an array, the training data in the order in which `fit` is given it.
        path: where the file is, or will be; ends in `.npy`.
        batch_size: how many rows the teacher gets at a time. Defaults to 128.

    Returns:
        A `CachedLogits`, to be given to `distill` as the teacher.

    Raises:
        ValueError: if the file has the answers of another teacher, or to other data, or is not one made here.

    Example:

    >>> import pathlib, tempfile
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> cached = cache_logits(teacher, np.ones((8, 4)), pathlib.Path(tempfile.mkdtemp()) / "answers.npy")
    >>> cached.logits.shape
    (8, 3)
    """
    path = pathlib.Path(path)
    if path.suffix != ".npy":
        raise invalid("cache_logits", "path", str(path), "a path that ends in .npy")
    check_logits("cache_logits", "teacher", teacher)
    if not hasattr(x, "__array__") or not len(x):
        raise invalid("cache_logits", "x", type(x), "an array with rows")
    check_number("cache_logits", "batch_size", batch_size, low=1, integer=True)
    x = np.asarray(x)
    beside, partial = path.with_suffix(".json"), path.with_suffix(".partial.npy")
    key = _fingerprint(teacher, x, batch_size)
    known = {"of": key, "rows": 0}
    if beside.exists():
        known = _known(path, beside)
    elif path.exists():
        raise invalid("cache_logits", "path", str(path), f"a new file, or one made here: {beside.name} is missing")
    if known["of"] != key:
        raise invalid("cache_logits", "path", str(path), "a file of this teacher, this data and this batch size")
    if not path.exists():
        known = _answer(teacher, x, batch_size, partial, beside, known)
        os.replace(partial, path)
    answers = np.load(path, mmap_mode="r")
    if list(answers.shape) != known["shape"]:
        accepted = f"a file of answers of shape {tuple(known['shape'])}, as {beside.name} says"
        raise invalid("cache_logits", "path", str(path), accepted)
    return CachedLogits(answers)


def _known(path, beside):
    """What the file beside the answers says of them."""
    try:
        known = json.loads(beside.read_text())
    except ValueError:
        known = None
    if not isinstance(known, dict) or known.keys() != {"of", "rows", "shape"}:
        raise invalid("cache_logits", "path", str(path), f"another: {beside.name} is not its own")
    return known


def _answer(teacher, x, batch_size, partial, beside, known):
    first = np.asarray(teacher.predict(x[:batch_size], batch_size=batch_size, verbose=0))
    fresh = not known["rows"] or not partial.exists()
    shape = [len(x), *first.shape[1:]]
    answers = np.lib.format.open_memmap(partial, mode="w+" if fresh else "r+", dtype=first.dtype, shape=tuple(shape))
    # Whole batches a piece: each row meets the same neighbours, and so the same arithmetic, as in one `predict`.
    piece = 32 * batch_size
    for start in range(0 if fresh else known["rows"], len(x), piece):
        rows = slice(start, start + piece)
        answers[rows] = teacher.predict(x[rows], batch_size=batch_size, verbose=0)
        answers.flush()
        known = {"of": known["of"], "rows": min(start + piece, len(x)), "shape": shape}
        with replacing(beside) as temporary:
            pathlib.Path(temporary).write_text(json.dumps(known))
    return known


def _fingerprint(teacher, x, batch_size):
    found = hashlib.blake2b(f"{x.shape} {x.dtype} {batch_size}".encode())
    for array in (*teacher.get_weights(), x):
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def check_logits(where, name, model):
    """Refuses what is no built model, or one whose outputs are seen to be probabilities."""
    if not isinstance(model, keras.Model) or not model.built:
        raise invalid(where, name, model, "a built keras.Model")
    layer = _makes_probabilities(model)
    if layer is not None:
        raise invalid(where, name, model, f"a model that returns logits, but `{layer.name}` makes probabilities")


def _makes_probabilities(model):
    """The layer that turns the model's output into probabilities, if that can be seen."""
    graph = graphs.functional(model)
    if graph is None:
        return None
    producers = graphs.producers(graph)
    for output in graph.outputs:
        node = producers.get(id(output))
        while node is not None and isinstance(node.operation, FakeQuant):
            node = producers.get(id(node.input_tensors[0]))
        if node is None:
            continue
        last = node.operation
        if isinstance(last, keras.Model):
            found = _makes_probabilities(last)
            if found is not None:
                return found
        activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
        if activation in ("softmax", "sigmoid"):
            return last
    return None
