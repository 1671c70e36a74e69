"""Reductions over each variable of a bucket, whatever form the bucket has."""

import itertools
import math

from keras import ops


class Each:
    """One value a variable from its elements, and back.

    Args:
        dtype: of the values.
        runs: the sizes of the variables as (count, size), equal neighbours together; the count is `None` for a
            variable alone, whose values are scalars.
        matrices: whether the elements come as (count, rows, columns) and not as one vector.
    """

    def __init__(self, dtype, runs, matrices=False):
        self._dtype, self._runs, self._matrices = dtype, runs, matrices

    @property
    def size(self):
        """The number of elements of each variable."""
        sizes = [size for count, size in self._runs for _ in range(count or 1)]
        return ops.convert_to_tensor(sizes[0] if self._runs[0][0] is None else sizes, dtype=self._dtype)

    def sum(self, x):
        """The sum of each variable's elements."""
        return self._reduce(ops.sum, x)

    def max(self, x):
        """The largest of each variable's elements."""
        return self._reduce(ops.max, x)

    def mean(self, x):
        """The mean of each variable's elements."""
        return self._reduce(ops.mean, x)

    def norm(self, x):
        """The Euclidean norm of each variable."""
        return ops.sqrt(self.sum(ops.square(x)))

    def spread(self, values):
        """One value a variable, repeated (or to be broadcast) over its elements."""
        if self._runs[0][0] is None:
            return values
        if self._matrices:
            return ops.reshape(values, (-1, 1, 1))
        parts = [
            ops.reshape(ops.broadcast_to(ops.expand_dims(part, 1), (count, size)), (-1,))
            for part, (count, size) in zip(self._split(values, [c for c, _ in self._runs]), self._runs, strict=True)
        ]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts)

    def _reduce(self, reduction, x):
        if self._runs[0][0] is None:
            return reduction(x)
        if self._matrices:
            return reduction(x, axis=(1, 2))
        parts = [
            reduction(ops.reshape(part, (count, size)), axis=1)
            for part, (count, size) in zip(self._split(x, [math.prod(r) for r in self._runs]), self._runs, strict=True)
        ]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts)

    @staticmethod
    def _split(x, sizes):
        ends = list(itertools.accumulate(sizes))[:-1]
        return ops.split(x, ends) if ends else [x]
