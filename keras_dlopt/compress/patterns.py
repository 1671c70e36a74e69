"""What pruning removes together: single weights, blocks, m of every n. Each pattern cuts a kernel into units.

Ranking and masks see units only: `scores` makes one number of the importance of a unit's weights, `mask` spreads the
choice of units over the kernel again.
"""

import functools
import itertools
import math
import re

import numpy as np
from keras import ops

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.xla import compiled_by_xla

ACCEPTED = '"unstructured", "m:n" with 0 < m < n (as "2:4"), a block (rows, columns), or "channels"'


def parse(pattern, where="Prune"):
    """A function from a weight and its axes to its units, for a user's `pattern`; `None` for "channels".

    Raises:
        ValueError: for anything that is no pattern.
    """
    if pattern == "unstructured":
        return SingleWeights
    if pattern == "channels":
        return None
    if isinstance(pattern, str) and (found := re.fullmatch(r"(\d+):(\d+)", pattern)):
        m, n = map(int, found.groups())
        if 0 < m < n:
            return functools.partial(MOfN, m=m, n=n, where=where)
    if isinstance(pattern, (tuple, list)) and len(pattern) == 2:
        for extent in pattern:
            check_number(where, "pattern", extent, low=1, integer=True)
        return functools.partial(Blocks, rows=int(pattern[0]), columns=int(pattern[1]), where=where)
    raise invalid(where, "pattern", pattern, ACCEPTED)


class SingleWeights:
    """Every weight by itself.

    Args:
        weight: the kernel.
        axes: which of its axes are positions, which inputs, which outputs, as `prunable.matrix_axes` returns them. By
            default the last one holds the outputs and the one before it the inputs.
    """

    noun = "weights"

    def __init__(self, weight, axes=None):
        self.weights = [weight]
        self.size = math.prod(weight.shape)
        rank = len(weight.shape)
        self.axes = axes or (tuple(range(rank - 2)), (rank - 2,), (rank - 1,))

    def _extents(self):
        """How many positions, inputs and outputs there are."""
        return [math.prod(self.weights[0].shape[i] for i in axes) for axes in self.axes]

    def scores(self, importances):
        """One number a unit, from the importance of every weight: the larger, the sooner kept."""
        return ops.reshape(importances[0], (-1,))

    def masks(self, kept):
        """The mask of every weight, from which units are kept."""
        return [ops.reshape(kept, self.weights[0].shape)]

    def alive(self, arrays):
        """Which units have a weight that is not zero, from the values of the weights."""
        return (arrays[0] != 0).ravel()


class Blocks(SingleWeights):
    """Blocks of `rows` x `columns` neighbours of the matrix that a kernel is: inputs x outputs.

    Of a convolution it is the matrix that its patches are multiplied by, (positions and input channels) x filters; of
    the projections of attention, inputs x (heads and their size), or the other way round. A block's importance is the
    mean of its weights'.
    """

    noun = "blocks"

    def __init__(self, weight, rows, columns, axes=None, where="Prune"):
        super().__init__(weight, axes)
        positions, inputs, width = self._extents()
        height = positions * inputs
        if height % rows or width % columns:
            raise _misfit(where, weight, (rows, columns), f"{height} x {width} is no multiple of {rows} x {columns}")
        self.order = sum(self.axes, ())
        self.cut = (height // rows, rows, width // columns, columns)
        self.size = self.size // (rows * columns)

    def scores(self, importances):
        blocks = ops.reshape(_turned(importances[0], self.order), self.cut)
        return ops.reshape(ops.mean(blocks, axis=(1, 3)), (-1,))

    def masks(self, kept):
        high, rows, wide, columns = self.cut
        blocks = ops.broadcast_to(ops.reshape(kept, (high, 1, wide, 1)), self.cut)
        return [_turned_back(blocks, self.order, self.weights[0].shape)]

    def alive(self, arrays):
        return (arrays[0] != 0).transpose(self.order).reshape(self.cut).any((1, 3)).ravel()


class MOfN(SingleWeights):
    """Of every n neighbours along the inputs of a kernel, as of a convolution its input channels, m are zero.

    On the way to that share the smallest go first among those that the pattern will take in the end.
    """

    def __init__(self, weight, m, n, axes=None, where="Prune"):
        super().__init__(weight, axes)
        positions, inputs, outputs = self.axes
        if (count := self._extents()[1]) % n:
            raise _misfit(where, weight, f"{m}:{n}", f"its {count} inputs are no multiple of {n}")
        self.order = positions + outputs + inputs
        self.m, self.n = m, n

    def scores(self, importances):
        groups = ops.reshape(_turned(importances[0], self.order), (-1, self.n))
        # The rank of each in its group, of equal ones the earlier the higher.
        ranks = ops.argsort(ops.argsort(ops.negative(groups), axis=-1), axis=-1)
        stays = ranks < self.n - self.m
        groups = ops.where(stays, ops.full_like(groups, float("inf")), groups)
        return ops.reshape(_turned_back(groups, self.order, self.weights[0].shape), (-1,))


def _turned(kernel, order):
    return kernel if order == tuple(range(len(order))) else ops.transpose(kernel, order)


def _turned_back(values, order, shape):
    """A kernel of that shape, of whose axes in another order these are the values."""
    turned = ops.reshape(values, [shape[i] for i in order])
    return _turned(turned, tuple(int(i) for i in np.argsort(order)))


def _misfit(where, weight, pattern, reason):
    accepted = f"one that fits every kernel: `{weight.path}` it does not, {reason} (`skip` leaves a kernel dense)"
    return invalid(where, "pattern", pattern, accepted)


def keep_largest(scores, kept):
    """A boolean mask: true for the `kept` largest scores, of equal ones those that come later.

    Example:

    >>> keep_largest(ops.array([0.1, 3.0, 0.2, 2.0]), 2).numpy()
    array([False,  True, False,  True])
    """
    # No sort: it takes a hundred times as long under XLA on a CPU, and many times on a GPU.
    bits = _ordered_bits(scores)
    kept = ops.cast(kept, "int32")
    least = (_kth_largest_by_halves if compiled_by_xla() else _kth_largest_by_counts)(bits, kept)
    enough = bits >= least

    def without_ties():
        larger, equal = bits > least, bits == least
        missing = kept - ops.sum(ops.cast(larger, "int32"))
        behind = ops.flip(ops.cumsum(ops.flip(ops.cast(equal, "int32"))))  # how many equal ones come from here on
        return ops.logical_or(larger, ops.logical_and(equal, behind <= missing))

    return ops.cond(ops.equal(ops.sum(ops.cast(enough, "int32")), kept), lambda: enough, without_ties)


def _ordered_bits(scores):
    """Integers in the order of the scores."""
    bits = ops.view(ops.cast(scores, "float32"), "int32")
    # Of negative numbers minus their magnitude: of -0 the 0 that equals it.
    return ops.where(bits < 0, ops.convert_to_tensor(-(2**31), "int32") - bits, bits)


def _kth_largest_by_halves(values, k):
    """The k-th largest of 32-bit integers, in 32 passes over them: each halves the interval that has it."""

    def halve(_, interval):
        low, high = interval  # at least k values are >= low, fewer than k are > high
        middle = (low | high) - ops.right_shift(low ^ high, 1)  # the mean, upwards, without overflow
        enough = ops.sum(ops.cast(values >= middle, "int32")) >= k
        return ops.where(enough, middle, low), ops.where(enough, high, middle - 1)

    interval = ops.convert_to_tensor(-(2**31), "int32"), ops.convert_to_tensor(2**31 - 1, "int32")
    return ops.fori_loop(0, 32, halve, interval)[0]


def _kth_largest_by_counts(values, k):
    """The same, three times as fast without XLA: counts by the upper 16 bits, then by the lower of those that tie."""
    import tensorflow as tf

    def largest_bin(bins, k):
        """The bin with the k-th largest, and how many are in those above."""
        counts = tf.raw_ops.DenseBincount(input=bins, size=2**16, weights=tf.zeros((0,), tf.int32))
        from_here = tf.cumsum(counts, reverse=True)
        found = tf.reduce_sum(tf.cast(from_here >= k, tf.int32)) - 1
        return found, from_here[found] - counts[found]

    upper = tf.bitwise.right_shift(values, 16)
    found, above = largest_bin(upper + 2**15, tf.maximum(k, 1))
    lower = tf.boolean_mask(values, tf.equal(upper, found - 2**15)) & 0xFFFF
    return (found - 2**15) * 2**16 + largest_bin(lower, k - above)[0]


def choose(units, importances, kept):
    """Which units to keep, and the masks this makes.

    Args:
        units: list of units, as `SingleWeights`.
        importances: for each of them, a list of tensors shaped like its weights.
        kept: how many units to keep: of each, or, if this is a single number, of all of them together.

    Returns:
        Boolean masks of `weights_of(units)`.
    """
    scores = [unit.scores(importance) for unit, importance in zip(units, importances, strict=True)]
    if len(kept) == len(units):
        chosen = [keep_largest(score, number) for score, number in zip(scores, kept, strict=True)]
    else:
        ends = [int(end) for end in itertools.accumulate(unit.size for unit in units[:-1])]
        chosen = ops.split(keep_largest(ops.concatenate(scores), kept[0]), ends)
    return masks_of(units, chosen)


def weights_of(units):
    """The weights of all units, each once."""
    return list({id(weight): weight for unit in units for weight in unit.weights}.values())


def masks_of(units, chosen):
    """The masks of `weights_of(units)`, from which units are kept."""
    masks = {}
    for unit, kept in zip(units, chosen, strict=True):
        for weight, mask in zip(unit.weights, unit.masks(kept), strict=True):
            key = id(weight)
            masks[key] = ops.logical_and(masks[key], mask) if key in masks else mask
    return list(masks.values())
