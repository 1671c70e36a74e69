"""Statistics of many variables at once: those of equal size are the rows of a matrix, large ones stand alone."""

import functools
import math

import keras
from keras import ops

from keras_dlopt.optimizers.executor.tiles import compiled_by_xla
from keras_dlopt.tensorboard.format import BINS, LOWEST_EXPONENT, OCTAVES

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


def by_variable(tensors, *functions):
    """Applies functions of a matrix, which reduce its rows, to each tensor.

    Args:
        tensors: tensors of any shape; `None` where there is none.
        *functions: float32 matrix (rows, elements) -> tensor (rows, ...), all of one shape and dtype.

    Returns:
        A tensor (functions, tensors, ...); NaN, or 0 for whole numbers, where there was none.
    """
    order, parts = [], []
    for indices, rows in matrices(tensors):
        order.append(indices)
        parts.append(ops.stack([function(rows) for function in functions]))
    return in_order(order, parts, len(tensors))


def in_order(order, parts, count):
    """Tensors (functions, rows, ...) for these positions of `count`, as one tensor (functions, count, ...)."""
    order = [index for indices in order for index in indices]
    missing = sorted(set(range(count)) - set(order))
    if missing:
        nothing = math.nan if keras.backend.is_float_dtype(parts[0].dtype) else 0
        parts = [*parts, ops.full((parts[0].shape[0], len(missing), *parts[0].shape[2:]), nothing, parts[0].dtype)]
        order += missing
    whole = ops.concatenate(parts, axis=1)
    return whole if order == sorted(order) else ops.take(whole, sorted(range(count), key=order.__getitem__), axis=1)


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


def sample(rows):
    """An evenly spread sample of each row's elements."""
    step = stride(rows.shape[1])
    return rows[:, ::step] if step > 1 else rows


def histogram(octaves):
    """A function: the codes of `format`'s histogram of a sample of each row, in bins of so many octaves (1 or 2)."""

    def codes(rows):
        x = sample(rows)
        exponents = ops.right_shift(ops.view(ops.abs(x), "int32"), 23) - 127
        places = ops.clip(ops.right_shift(exponents, octaves - 1) - LOWEST_EXPONENT, -1, OCTAVES) + 2
        places = ops.where(ops.equal(exponents, 128), BINS - 1, ops.where(ops.equal(x, 0), 0, places))
        count, elements = x.shape
        segments = ops.reshape(places + BINS * ops.arange(count, dtype="int32")[:, None], (-1,))
        counts = ops.segment_sum(ops.ones((count * elements,)), segments, num_segments=count * BINS)
        shares = ops.reshape(counts, (count, BINS)) / elements
        rounded = ops.maximum(ops.round(255 * ops.sqrt(shares)), ops.cast(shares > 0, "float32"))
        return ops.cast(rounded, "uint8")

    return codes
