"""Large matrices in blocks of bounded size."""

import math

from keras import ops


def block_shape(rows, columns, longest):
    """The shape of equal blocks, with no side longer than `longest`, that cover a matrix with the least padding.

    Example:

    >>> block_shape(1000, 300, 512)
    (500, 300)
    """
    return tuple(math.ceil(n / math.ceil(n / longest)) for n in (rows, columns))


def cut(matrices, shape):
    """The blocks of that shape, (..., rows, columns) -> (blocks, *shape), padded with zeros."""
    count, *sides = matrices.shape
    down, across = (math.ceil(n / size) for n, size in zip(sides, shape, strict=True))
    if (down, across) == (1, 1):
        return matrices
    pads = [(0, k * size - n) for k, size, n in zip((down, across), shape, sides, strict=True)]
    padded = ops.reshape(ops.pad(matrices, [(0, 0), *pads]), (count, down, shape[0], across, shape[1]))
    return ops.reshape(ops.transpose(padded, (0, 1, 3, 2, 4)), (-1, *shape))


def join(blocks, count, rows, columns):
    """The `count` matrices (rows, columns) that were cut into blocks: undoes `cut`."""
    height, width = blocks.shape[1:]
    down, across = math.ceil(rows / height), math.ceil(columns / width)
    if (down, across) == (1, 1):
        return blocks
    grid = ops.transpose(ops.reshape(blocks, (count, down, across, height, width)), (0, 1, 3, 2, 4))
    return ops.reshape(grid, (count, down * height, across * width))[:, :rows, :columns]
