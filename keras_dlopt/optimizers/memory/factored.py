"""A matrix of averaged squares, kept as its row means and its column means (arXiv 1804.04235, section 3)."""

from keras import ops


def row_means(x):
    """Means over the last axis."""
    return ops.mean(x, axis=-1)


def column_means(x):
    """Means over the last axis but one."""
    return ops.mean(x, axis=-2)


def factor_shape(factor, shape):
    """The shape of the row means "r" or column means "c" of a variable of `shape`."""
    return shape[:-1] if factor == "r" else (*shape[:-2], shape[-1])


def inverse_root(r, c):
    r"""$1 / \sqrt{V}$ for the matrix $V = r c^\top / \mathrm{mean}(r)$, the best of rank 1 with these means."""
    rows = ops.rsqrt(r / ops.mean(r, axis=-1, keepdims=True))
    return ops.expand_dims(rows, -1) * ops.expand_dims(ops.rsqrt(c), -2)
