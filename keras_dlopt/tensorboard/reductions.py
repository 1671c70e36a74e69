"""Statistics of many variables at once: those of equal size are the rows of a matrix, large ones stand alone."""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_dlopt.tensorboard.format import BINS, LOWEST_EXPONENT, OCTAVES
from keras_dlopt.xla import compiled_by_xla

# Elements from which on a variable is not copied together with others.
_LARGE = 2**15
_SAMPLE = 1024
_PARTS = 16


def matrices(tensors):
    """Pairs of positions and a float32 matrix that has the tensors there, flat, as its rows; without those `None`."""
    groups = {}
    for index, tensor in enumerate(tensors):
        if tensor is not None:
            size = math.prod(tensor.shape)
            groups.setdefault(size if size < _LARGE else (size, index), []).append(index)
    for indices in groups.values():
        flat = [ops.reshape(ops.cast(tensors[i], "float32"), (-1,)) for i in indices]
        yield indices, ops.stack(flat) if len(flat) > 1 else ops.expand_dims(flat[0], 0)


def by_variable(tensors, function):
    """Reduces each tensor to a number.

    Args:
        tensors: tensors of any shape; `None` where there is none.
        function: float32 matrix (rows, elements) -> tensor (rows,).

    Returns:
        A tensor (tensors,); NaN where there was none.
    """
    order, parts = [], []
    for indices, rows in matrices(tensors):
        order += indices
        parts.append(function(rows))
    missing = [index for index, tensor in enumerate(tensors) if tensor is None]
    if missing:
        parts.append(ops.full((len(missing),), math.nan, "float32"))
        order += missing
    whole = ops.concatenate(parts)
    return whole if order == sorted(order) else ops.take(whole, np.argsort(order))


def _folded(values, join):
    """Sixteen parts of each large row, joined element by element: what is left to reduce is a sixteenth.

    On a processor XLA reduces one number after the other; this makes it three times as fast.
    """
    count, size = values.shape
    if size < _LARGE or size % _PARTS or not compiled_by_xla():
        return values
    parts = ops.reshape(values, (count, _PARTS, size // _PARTS))
    return functools.reduce(join, [parts[:, i] for i in range(_PARTS)])


def _sum(values):
    return ops.sum(_folded(values, ops.add), axis=1)


def _is_large_and_not_fused(rows):
    """Whether what is computed of each element, to be reduced, takes memory that must be fetched for every record."""
    return keras.backend.backend() == "tensorflow" and rows.shape[1] >= _LARGE and not compiled_by_xla()


def norm(rows):
    if _is_large_and_not_fused(rows):
        import tensorflow as tf

        return ops.sqrt(2 * tf.nn.l2_loss(rows))[None]  # in one pass; a large variable is a matrix of its own
    return ops.sqrt(_sum(ops.square(rows)))


def largest(rows):
    if _is_large_and_not_fused(rows):
        return ops.maximum(ops.max(rows, axis=1), -ops.min(rows, axis=1))
    return ops.max(_folded(ops.abs(rows), ops.maximum), axis=1)


def mean(rows):
    return _sum(rows) / rows.shape[1]


def zeros(rows):
    """Share of elements that are zero."""
    return _share(ops.equal(rows, 0))


def nonfinite(rows):
    """Share of elements that are NaN or infinite."""
    return _share(ops.logical_not(ops.isfinite(rows)))


def above(limit):
    """A function: share of elements of a magnitude above `limit`."""
    return lambda rows: _share(ops.abs(rows) > limit)


def _share(condition):
    return mean(ops.cast(condition, "float32"))


def stride(size):
    """The step between the elements of a sample of at least 1,024 (all, if there are fewer than twice as many).

    It is a prime that does not divide the size, and so no column of a matrix is seen more often than another.

    Example:

    >>> stride(1000), stride(1000 * 1024), stride(2**20)
    (1, 997, 1021)
    """
    for candidate in range(size // _SAMPLE, 1, -1):
        if size % candidate and all(candidate % d for d in range(2, math.isqrt(candidate) + 1)):
            return candidate
    return 1


def samples(tensors):
    """An evenly spread sample of each tensor, all of one length: zeros fill up the short ones, and stand for `None`.

    Operations are what this costs: there is one chain of them for all tensors.

    Returns:
        A float32 tensor (tensors, length), and the true lengths as an array.
    """
    parts, lengths = [], []
    for tensor in tensors:
        if tensor is None:
            parts.append(())
        else:
            flat = ops.reshape(ops.cast(tensor, "float32"), (-1,))
            step = stride(flat.shape[0])
            parts.append(flat[::step] if step > 1 else flat)
        lengths.append(len(parts[-1]) if tensor is None else parts[-1].shape[0])
    width = max(lengths)
    filled = []
    for part, length in zip(parts, lengths, strict=True):
        filled += [part] if length else []
        filled += [ops.zeros((width - length,), "float32")] if length < width else []
    return ops.reshape(ops.concatenate(filled), (len(tensors), width)), np.array(lengths)


def sample_length(shape):
    """The length of the sample of a tensor of this shape."""
    size = math.prod(shape)
    return -(-size // stride(size))


def histograms(tensors, octaves):
    """The codes of `format`'s histograms of samples of the tensors: (tensors, bins).

    Args:
        tensors: tensors of any shape, or `None`, of which every share is 0.
        octaves: for each tensor how many octaves a bin has, 1 or 2.
    """
    x, lengths = samples(tensors)
    count = len(tensors)
    exponents = ops.right_shift(ops.view(ops.abs(x), "int32"), 23) - 127
    halvings = np.array(octaves, "int32")[:, None] - 1
    places = ops.clip(ops.right_shift(exponents, halvings) - LOWEST_EXPONENT, -1, OCTAVES) + 2
    places = ops.where(ops.equal(exponents, 128), BINS - 1, ops.where(ops.equal(x, 0), 0, places))
    segments = ops.reshape(places + BINS * np.arange(count, dtype="int32")[:, None], (-1,))
    counts = ops.segment_sum(ops.ones((math.prod(x.shape),), "float32"), segments, num_segments=count * BINS)
    filled = np.zeros((count, BINS), "float32")
    filled[:, 0] = x.shape[1] - lengths
    shares = (ops.reshape(counts, (count, BINS)) - filled) / np.maximum(lengths, 1)[:, None].astype("float32")
    rounded = ops.maximum(ops.round(255 * ops.sqrt(shares)), ops.cast(shares > 0, "float32"))
    return ops.cast(rounded, "uint8")
