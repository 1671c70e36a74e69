"""What a trained rung is worth: answers on the test rows, size, speed, all of the LiteRT file a user would ship."""

import dataclasses
import pathlib

import numpy as np

from keras_dlopt import compress


@dataclasses.dataclass(frozen=True)
class Measured:
    """One rung with one seed.

    Attributes:
        accuracy, loss: of the Keras model on the test rows.
        litert_accuracy: of the LiteRT file on the test rows.
        agreement: share of the test rows' answers on which Keras and LiteRT agree.
        parameters, nonzeros, bytes, gzip_bytes: of the LiteRT file.
        milliseconds: median time of one row, one thread.
        faster_than_first: how many times faster than the first rung measured with this seed.
        faster_than_float32: how many times faster than the same network in float32; 1 for a float32 file.
        file: the LiteRT file, relative to the output folder.
    """

    accuracy: float
    loss: float
    litert_accuracy: float
    agreement: float
    parameters: int
    nonzeros: int
    bytes: int
    gzip_bytes: int
    milliseconds: float
    faster_than_first: float
    faster_than_float32: float
    file: str


def measure(task, rung, model, folder, name, first=None, float32=None):
    """Exports a trained model and measures it.

    Args:
        task, rung: a `tasks.Task` and a `ladder.Rung`.
        model: the trained, compiled model.
        folder: the demo's output folder, a path; the file goes into its `models`.
        name: of the file, without suffix.
        first: LiteRT file of the first rung with this seed; `None` if this is it.
        float32: LiteRT file of the same network in float32; `None` if this is it.

    Returns:
        A `Measured`.
    """
    inputs, labels = task.test
    logits = model.predict(inputs, batch_size=256, verbose=0)
    path = pathlib.Path(folder, "models", f"{name}.tflite")
    compress.export(model, path, int8=rung.int8)
    answers = compress.litert.run(path, inputs)
    size = compress.report(path)
    against = {file: compress.latency_ratio(file, path) for file in {first or path, float32 or path}}
    return Measured(
        accuracy=accuracy(logits, labels),
        loss=cross_entropy(logits, labels),
        litert_accuracy=accuracy(answers, labels),
        agreement=accuracy(answers, logits.argmax(-1)),
        parameters=size.parameters,
        nonzeros=size.nonzeros,
        bytes=size.bytes,
        gzip_bytes=size.gzip_bytes,
        milliseconds=1000 * against[first or path].seconds,
        faster_than_first=against[first or path].median,
        faster_than_float32=against[float32 or path].median,
        file=path.relative_to(folder).as_posix(),
    )


def accuracy(logits, labels):
    """Share of labels that are the largest logit.

    Example:

    >>> accuracy(np.array([[0.1, 0.9], [2.0, 1.0]]), np.array([1, 1]))
    0.5
    """
    return float(np.mean(logits.argmax(-1) == labels))


def cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label].

    Example:

    >>> round(cross_entropy(np.array([[0.0, np.log(3.0)]]), np.array([1])), 6)  # -log(3 / 4)
    0.287682
    """
    shifted = logits.astype("float64") - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(shifted, np.asarray(labels)[..., None], -1)[..., 0]
    return float(np.mean(np.log(np.exp(shifted).sum(-1)) - chosen))
